//! By what stacks of two views are the same: the functions of their frames and the modules of those.
//!
//! Lines, offsets and build IDs do not count, nor do the marks that compilers put behind a name for a copy of a function.
//! A frame without a name counts by its offset where both views know its very build, and else as any nameless frame of
//! its module. The program itself may have been renamed.

use std::{collections::HashSet, sync::Arc};

use foldhash::fast::RandomState;

use super::program;
use crate::{process::who::file_name, session::View, symbolize::Frame};

/// What compilers put behind the name of a copy of a function.
const COPIES: [&str; 7] = [" [clone ", ".isra.", ".constprop.", ".part.", ".cold", ".lto_priv.", ".llvm."];

/// A call, as far as both views can tell it from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call<'view> {
    module: Option<&'view str>,
    function: Option<&'view str>,
    offset: Option<u64>,
}

/// What of a view decides whether its calls are those of another.
#[derive(Clone, Debug, Default)]
pub struct Builds {
    /// Build IDs that it knows.
    ids: HashSet<Arc<str>>,
    /// What the program is called.
    program: String,
}

impl Builds {
    /// Those of a view.
    pub fn of(view: &View) -> Self {
        let frames = view.stacks.iter().flat_map(|stack| &stack.frames);
        let mut ids: Vec<&Arc<str>> = frames.filter_map(|frame| frame.build_id.as_ref()).collect();
        // Neighbours are mostly of one module: what is in a set is then hashed but a few times.
        ids.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let ids = ids.into_iter().cloned().collect();
        Self { ids, program: file_name(&program(view)).to_owned() }
    }

    /// What a stack is known by in every view, if all its frames have names. Else it depends on the builds of both.
    pub fn key(&self, frames: &[Frame]) -> Option<String> {
        let calls = Calls::between(self, self, false);
        let mut key = String::new();
        for frame in frames {
            let call = calls.call(frame, &self.program);
            // No name holds these, but one that somebody has made up to be taken for another.
            key.extend([call.module.unwrap_or_default(), "\0", call.function?, "\n"]);
        }
        Some(key)
    }
}

/// Tells calls apart.
pub struct Calls<'view> {
    before: &'view Builds,
    after: &'view Builds,
    /// Whether both are of one trace, where bare addresses mean the same.
    one_trace: bool,
    /// What the program is called here.
    program: &'static str,
}

impl<'view> Calls<'view> {
    /// Between two views.
    pub fn between(before: &'view Builds, after: &'view Builds, one_trace: bool) -> Self {
        Self { before, after, one_trace, program: "the program" }
    }

    /// The calls of the one before.
    pub fn before(&self, frames: &'view [Frame]) -> Vec<Call<'view>> {
        frames.iter().map(|frame| self.call(frame, &self.before.program)).collect()
    }

    /// The calls of the one after.
    pub fn after(&self, frames: &'view [Frame]) -> Vec<Call<'view>> {
        frames.iter().map(|frame| self.call(frame, &self.after.program)).collect()
    }

    fn call(&self, frame: &'view Frame, program: &str) -> Call<'view> {
        let module = frame.module.as_deref();
        let module = module.map(|module| if module == program { self.program } else { module });
        let function = frame.function.as_deref().filter(|name| !name.is_empty()).map(original);
        let known = match (&frame.build_id, &frame.module) {
            (Some(build), _) => self.before.ids.contains(build) && self.after.ids.contains(build),
            (None, Some(_)) => false,
            (None, None) => self.one_trace,
        };
        Call { module, function, offset: (function.is_none() && known).then_some(frame.offset) }
    }

    /// Whether it makes sense to compare: they are of one trace, have a stack in common, or are of one program, with a
    /// function in common wherever both hold something.
    pub fn have_something_in_common(&self, before: &'view View, after: &'view View) -> bool {
        if self.one_trace {
            return true;
        }
        let stacks: HashSet<_, RandomState> = before.stacks.iter().map(|stack| self.before(&stack.frames)).collect();
        if after.stacks.iter().any(|stack| !stack.frames.is_empty() && stacks.contains(&self.after(&stack.frames))) {
            return true;
        }
        let own = |call: &Call<'_>| call.module == Some(self.program) && call.function.is_some();
        let functions: HashSet<_> = stacks.into_iter().flatten().filter(own).collect();
        self.before.program == self.after.program
            && (before.stacks.is_empty()
                || after.stacks.is_empty()
                || after
                    .stacks
                    .iter()
                    .flat_map(|stack| self.after(&stack.frames))
                    .any(|call| functions.contains(&call)))
    }
}

/// The name of the function that a compiler has copied, without Rust's hash.
fn original(name: &str) -> &str {
    // Most names have neither letter, and there are many to look through.
    let begins = |at: &usize| matches!(name.as_bytes()[*at], b'.' | b' ');
    let is_mark = |at: &usize| COPIES.iter().any(|mark| name.as_bytes()[*at..].starts_with(mark.as_bytes()));
    let end = (1..name.len()).filter(begins).find(is_mark);
    let name = &name[..end.unwrap_or(name.len())];
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) => path,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::original;

    #[test]
    fn a_copy_of_a_function_is_the_function() {
        for (name, of) in [
            ("main", "main"),
            ("lookup.isra.0", "lookup"),
            ("lookup.constprop.0.isra.0", "lookup"),
            ("Cache::put(int) [clone .cold]", "Cache::put(int)"),
            ("app::run::h0123456789abcdef", "app::run"),
            ("app::hash", "app::hash"),
            (".cold", ".cold"),
        ] {
            assert_eq!(original(name), of);
        }
    }
}
