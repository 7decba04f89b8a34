//! Strings and numbers, as far as paths have them in them.

use super::View;
use crate::python::layout::STRING_LENGTH;

/// Most characters of a name that are read.
pub const MAX_NAME: usize = 200;

/// Most characters of a key that are shown.
const MAX_KEY: usize = 40;

impl View<'_> {
    /// The text of a string, shortened to [`MAX_NAME`] characters. It may hold anything.
    pub fn text(&self, address: u64) -> Option<String> {
        let mut text = self.reader().string(address, MAX_NAME)?;
        if self.any_word(address.checked_add(STRING_LENGTH)?)? > MAX_NAME as u64 {
            text.push('…');
        }
        Some(text)
    }

    /// Whether a string is this text.
    pub fn is_text(&self, address: u64, text: &str) -> bool {
        let length = address.checked_add(STRING_LENGTH).and_then(|at| self.any_word(at));
        length == Some(text.len() as u64) && self.text(address).as_deref() == Some(text)
    }

    /// What a dict has something under, as Python writes it: `'x'`, `3`; of other types their names: `<tuple>`.
    pub fn key(&self, address: u64) -> String {
        let Some(kind) = self.kind_of(address) else { return "?".to_owned() };
        match self.kind(kind).builtin {
            "str" => self.text(address).map_or_else(|| "<str>".to_owned(), |text| quoted(&text)),
            "NoneType" => "None".to_owned(),
            "int" => self.integer(address).map_or_else(|| "<int>".to_owned(), |number| number.to_string()),
            "bool" => {
                self.integer(address).map_or("<bool>", |number| if number == 0 { "False" } else { "True" }).to_owned()
            }
            _ => format!("<{}>", self.name_of(kind)),
        }
    }

    /// An integer of at most two digits of 30 bits.
    fn integer(&self, address: u64) -> Option<i64> {
        let head = self.any_word(address + 16)?;
        let (digits, is_negative) = if self.minor() >= 12 {
            (head >> 3, head & 3 == 2)
        } else {
            ((head as i64).unsigned_abs(), (head as i64) < 0)
        };
        if digits > 2 {
            return None;
        }
        let value = match digits {
            0 => 0,
            1 => self.any_word(address + 24)? & 0xffff_ffff,
            _ => {
                let words = self.any_word(address + 24)?;
                (words & 0xffff_ffff) | (words >> 32) << 30
            }
        };
        let value = i64::try_from(value).ok()?;
        // The highest of Python's 30 bits are never more than that.
        (value < 1 << 60).then_some(if is_negative { -value } else { value })
    }
}

/// A text in quotes as Python has them, shortened.
fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_KEY)
        .flat_map(|c| (c == '\\' || c == '\'').then_some('\\').into_iter().chain([c]))
        .collect();
    if text.chars().nth(MAX_KEY).is_some() {
        shown.push('…');
    }
    format!("'{shown}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_python_does_and_a_long_one_is_cut() {
        assert_eq!(quoted("x"), "'x'");
        assert_eq!(quoted("it's"), "'it\\'s'");
        let long = quoted(&"y".repeat(1000));
        assert_eq!(long.chars().count(), MAX_KEY + 3);
        assert!(long.ends_with("…'"));
    }
}
