//! The tables that a profile's samples point into: strings, functions, and locations with what was inlined there.

use std::collections::HashMap;

use super::{
    mappings::Mappings,
    proto::{Function, Line, Location},
};
use crate::{
    export::names,
    report::{Frame, folded},
    text::printable,
};

/// Every text once, fit for a terminal: the tools that read profiles print names as they are.
pub struct Strings {
    /// All of them; the first is empty, as the format demands.
    pub all: Vec<String>,
    known: HashMap<String, i64>,
}

impl Default for Strings {
    fn default() -> Self {
        Self { all: vec![String::new()], known: HashMap::from([(String::new(), 0)]) }
    }
}

impl Strings {
    /// The place of this text.
    pub fn index_of(&mut self, text: &str) -> i64 {
        let text = printable(text);
        if let Some(index) = self.known.get(&*text) {
            return *index;
        }
        let index = self.all.len() as i64;
        self.all.push(text.clone().into_owned());
        self.known.insert(text.into_owned(), index);
        index
    }
}

/// Every function once: a name in a file.
#[derive(Default)]
pub struct Functions {
    /// All of them.
    pub all: Vec<Function>,
    known: HashMap<(i64, i64), u64>,
}

impl Functions {
    fn id_of(&mut self, name: i64, filename: i64) -> u64 {
        *self.known.entry((name, filename)).or_insert_with(|| {
            let id = self.all.len() as u64 + 1;
            self.all.push(Function { id, name, system_name: name, filename });
            id
        })
    }
}

/// Every location once.
#[derive(Default)]
pub struct Locations {
    /// All of them.
    pub all: Vec<Location>,
    /// The functions that they name.
    pub functions: Functions,
    known: HashMap<(u64, u64, Vec<Line>), u64>,
}

impl Locations {
    /// The locations of a stack, innermost first; never none, or its bytes would be in no graph.
    pub fn of_stack(&mut self, frames: &[Frame], mappings: &Mappings<'_>, strings: &mut Strings) -> Vec<u64> {
        if frames.is_empty() {
            let name = strings.index_of(folded::NO_FRAMES);
            let line = Line { function_id: self.functions.id_of(name, 0), line: 0 };
            return vec![self.id_of(0, 0, vec![line])];
        }
        // Inlined functions stand ahead of the one that they are inlined into, which ends the location.
        let places = frames.chunk_by(|inner, _| inner.inlined);
        places.map(|place| self.of_place(place, mappings, strings)).collect()
    }

    fn of_place(&mut self, frames: &[Frame], mappings: &Mappings<'_>, strings: &mut Strings) -> u64 {
        let lines = frames.iter().filter_map(|frame| {
            let function = frame.function.as_deref().filter(|name| !name.is_empty())?;
            let name = strings.index_of(&names::cut(function));
            let filename = strings.index_of(&names::cut(frame.file.as_deref().unwrap_or_default()));
            let function_id = self.functions.id_of(name, filename);
            Some(Line { function_id, line: frame.line.unwrap_or_default().into() })
        });
        let lines = lines.collect();
        let (mapping_id, address) = frames.last().map_or((0, 0), |outer| (mappings.id_of(outer), outer.offset));
        self.id_of(mapping_id, address, lines)
    }

    fn id_of(&mut self, mapping_id: u64, address: u64, line: Vec<Line>) -> u64 {
        *self.known.entry((mapping_id, address, line)).or_insert_with_key(|(_, _, line)| {
            let id = self.all.len() as u64 + 1;
            self.all.push(Location { id, mapping_id, address, line: line.clone() });
            id
        })
    }
}
