//! Frames, running or kept: what their variables hold and are called.

use super::{Label, Shape, View};
use crate::python::layout::{CELL_CONTENT, SIZE, TUPLE_ITEMS};

/// The variables of a function that runs, rests or is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its code object.
    pub code: u64,
    /// The dict of its module.
    pub globals: u64,
    /// Where its variables are.
    variables: u64,
}

/// What a variable is to the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// One of its own.
    Local(String),
    /// One of a function around it.
    Free(String),
}

/// Most variables of a function that are looked at.
const MAX_VARIABLES: u64 = 4096;

/// Most values that a function is about to use that are looked at.
const MAX_VALUES: u64 = 256;

/// Most frames on a stack that are followed.
pub const MAX_FRAMES: usize = 4096;

impl View<'_> {
    /// The frames of all threads, innermost first.
    pub fn running_frames(&self) -> Vec<Frame> {
        let layout = self.layout();
        let mut frames = Vec::new();
        for thread in self.interpreter.threads() {
            let innermost =
                self.any_pointer(thread + layout.thread.frame).and_then(|frame| match layout.thread.through {
                    Some(at) => self.any_pointer(frame + at),
                    None => Some(frame),
                });
            let stack = std::iter::successors(innermost, |frame| self.any_pointer(frame + layout.frame.previous));
            frames.extend(stack.take(MAX_FRAMES).filter_map(|frame| self.frame_at(frame)));
            if frames.len() > MAX_FRAMES {
                break;
            }
        }
        frames
    }

    /// The frame at this address, as the interpreter has it.
    pub fn frame_at(&self, address: u64) -> Option<Frame> {
        let layout = &self.layout().frame;
        let code = self.any_pointer(address + layout.code)? & !7;
        self.kind_of(code).filter(|kind| self.kind(*kind).builtin == "code")?;
        let globals = self.any_word(address + layout.globals)?;
        Some(Frame { code, globals, variables: address + layout.locals })
    }

    /// The frame that a frame object stands for.
    pub fn frame_of_object(&self, address: u64) -> Option<Frame> {
        // From 3.11 on it points to the interpreter's own.
        const OWN_FRAME: u64 = 24;
        if self.minor() < 11 { self.frame_at(address) } else { self.frame_at(self.pointer(address + OWN_FRAME)?) }
    }

    /// The frame of a generator that has not ended.
    pub fn frame_of_generator(&self, address: u64) -> Option<Frame> {
        let layout = &self.layout().generator;
        if !layout.is_inside {
            return self.frame_at(self.pointer(address + layout.frame)?);
        }
        // A byte: above 0 when there is no frame any more.
        let state_at = address + layout.frame - 5;
        let state = self.word(state_at / 8 * 8)? >> (state_at % 8 * 8);
        if state as u8 as i8 > 0 { None } else { self.frame_at(address + layout.frame) }
    }

    /// What a frame's variables refer to. The content of a cell stands for the cell.
    pub fn variables_of(&self, frame: &Frame, mut visit: impl FnMut(u64, Label)) {
        let count = self.names_of(frame.code).count.min(MAX_VARIABLES);
        let values = self.values_at_most(frame.code).min(MAX_VALUES);
        for index in 0..count + values {
            let Some(value) = self.any_word(frame.variables + index * 8) else { return };
            let value = value & !7;
            let Some(kind) = self.kind_of(value) else { continue };
            let (code, globals) = (frame.code, frame.globals);
            let label = match u32::try_from(index).ok().filter(|_| index < count) {
                Some(index) => Label::Variable { code, globals, index },
                None => Label::Temporary { code, globals },
            };
            visit(value, label);
            if index < count
                && self.kind(kind).shape == Shape::Cell
                && let Some(content) = self.pointer(value + CELL_CONTENT)
            {
                visit(content, label);
            }
        }
    }

    /// What a variable is and is called.
    pub fn variable(&self, code: u64, index: u32) -> Option<Variable> {
        let names = self.names_of(code);
        let index = u64::from(index);
        let text = |name: u64| self.text(name).unwrap_or_else(|| "?".to_owned());
        for (place, names_of_part) in names.parts.iter().enumerate() {
            let before: u64 = names.parts[..place].iter().map(|(_, count)| count).sum();
            let (tuple, count) = names_of_part;
            if index >= before && index < before + count {
                let name =
                    self.any_word(tuple + TUPLE_ITEMS + (index - before) * 8).map_or_else(|| "?".to_owned(), text);
                return Some(if index >= names.free_from { Variable::Free(name) } else { Variable::Local(name) });
            }
        }
        None
    }

    /// A function as Python names it, by its code and its globals: `app.Store.add`.
    pub fn name_of_code(&self, code: u64, globals: u64) -> String {
        let layout = &self.layout().code;
        let name = self
            .pointer(code + layout.qualified_name.unwrap_or(layout.name))
            .and_then(|name| self.text(name))
            .unwrap_or_else(|| "?".to_owned());
        match self.name_of_globals(globals) {
            Some(module) => format!("{module}.{name}"),
            None => name,
        }
    }

    /// A function as Python names it: `app.make.<locals>.inner`.
    pub fn name_of_function(&self, function: u64) -> String {
        let layout = &self.layout().function;
        let text = |at: u64| self.pointer(function + at).and_then(|text| self.text(text));
        let name = text(layout.qualified_name).unwrap_or_else(|| "?".to_owned());
        text(layout.module).map_or_else(|| name.clone(), |module| format!("{module}.{name}"))
    }

    /// The name of a variable that a function shares with the one around it, by its place among those.
    pub fn shared_name(&self, function: u64, place: u64) -> String {
        let code = self.any_pointer(function + self.layout().function.code).unwrap_or(0);
        let free_from = self.names_of(code).free_from;
        match self.variable(code, free_from.saturating_add(place).min(u64::from(u32::MAX)) as u32) {
            Some(Variable::Free(name) | Variable::Local(name)) => name,
            None => "?".to_owned(),
        }
    }

    /// How many results a function remembers at most because of `functools.lru_cache`, by where its dict of them is.
    pub fn cache_bound(&self, wrapper: u64, dict_at: u64) -> Option<u64> {
        // Behind the dict: hits, the function, the bound.
        let most = self.word(wrapper + dict_at + 24)?;
        ((most as i64) >= 0).then_some(most)
    }

    /// The name of the module whose dict this is.
    pub fn name_of_globals(&self, dict: u64) -> Option<String> {
        self.kind_of(dict).filter(|kind| self.kind(*kind).shape == Shape::Dict)?;
        // It is among the first.
        let (_, name) = self.entries(dict)?.iter().take(16).find(|(key, _)| self.is_text(*key, "__name__"))?;
        self.text(name)
    }

    fn names_of(&self, code: u64) -> Names {
        let layout = &self.layout().code;
        let part = |at: u64| {
            let tuple = self.any_pointer(code + at).unwrap_or(0);
            let count = if tuple == 0 { 0 } else { self.any_word(tuple + SIZE).unwrap_or(0).min(MAX_VARIABLES) };
            (tuple, count)
        };
        let locals = part(layout.locals);
        if let (Some(cells), Some(free)) = (layout.cells, layout.free) {
            let parts = [locals, part(cells), part(free)];
            let free_from = parts[0].1 + parts[1].1;
            return Names { parts, free_from, count: free_from + parts[2].1 };
        }
        let free = layout.free_count.and_then(|at| self.half_word(code + at)).unwrap_or(0);
        Names { parts: [locals, (0, 0), (0, 0)], free_from: locals.1.saturating_sub(free), count: locals.1 }
    }

    /// `co_stacksize`: how many values the function may be about to use.
    fn values_at_most(&self, code: u64) -> u64 {
        let before_line = if self.minor() < 11 { 8 } else { 4 };
        self.half_word(code + self.layout().code.first_line - before_line).unwrap_or(0)
    }

    fn half_word(&self, address: u64) -> Option<u64> {
        self.any_word(address & !7).map(|word| word >> (address % 8 * 8) & 0xffff_ffff)
    }
}

/// Where the names of a function's variables are: tuples, and how many each has.
struct Names {
    parts: [(u64, u64); 3],
    /// The first that is one of a function around it.
    free_from: u64,
    count: u64,
}
