//! Names on the page, each kept once, and as long as there is room for them.

use std::collections::HashMap;

use crate::{
    report::Frame,
    text::{printable, shorten_middle},
};

/// Bytes of names up to which they are kept as long as [`printable`] leaves them, and up to which in part.
const ROOM: usize = 2 << 20;
const LAST_ROOM: usize = 4 << 20;

/// Columns of a name that is kept in part.
const PART: usize = 48;

/// What a function is called: its name, or its place where it has none.
pub fn function(frame: &Frame) -> String {
    match frame.function.as_deref() {
        Some(name) if !name.is_empty() => printable(name).into_owned(),
        _ => frame.place(),
    }
}

/// Names by number. The empty name is number 0.
pub struct Names {
    list: Vec<String>,
    numbers: HashMap<String, usize>,
    bytes: usize,
}

impl Names {
    pub fn new() -> Self {
        Self { list: vec![String::new()], numbers: HashMap::from([(String::new(), 0)]), bytes: 0 }
    }

    /// The number of a name, which may hold anything.
    pub fn number(&mut self, name: &str) -> usize {
        let name = printable(name);
        let name = match self.bytes {
            0..ROOM => name,
            ROOM..LAST_ROOM => shorten_middle(&name, PART).into_owned().into(),
            _ => shorten_middle(&name, 1).into_owned().into(),
        };
        if let Some(number) = self.numbers.get(name.as_ref()) {
            return *number;
        }
        let number = self.list.len();
        self.bytes += name.len();
        self.list.push(name.clone().into_owned());
        self.numbers.insert(name.into_owned(), number);
        number
    }

    /// All of them, in order of their numbers.
    pub fn into_list(self) -> Vec<String> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once() {
        let mut names = Names::new();
        assert_eq!(["a", "", "b", "a"].map(|name| names.number(name)), [1, 0, 2, 1]);
        assert_eq!(names.into_list(), ["", "a", "b"]);
    }

    #[test]
    fn names_without_end_take_a_bounded_room() {
        let mut names = Names::new();
        for number in 0..60_000 {
            names.number(&format!("{number}{}{number}", "x".repeat(490)));
        }
        assert!(names.into_list().iter().map(String::len).sum::<usize>() <= LAST_ROOM + 512);
    }
}
