//! By what stacks of two views are the same: the functions of their frames and the modules of those.
//!
//! Lines, offsets and build IDs do not count, nor do the marks that compilers put behind a name for a copy of a function.
//! A frame without a name counts by its offset where both views know its very build, and else as any nameless frame of
//! its module. The program itself may have been renamed.

use std::collections::HashSet;

use super::program;
use crate::{
    session::{StackView, View},
    symbolize::Frame,
};

/// What compilers put behind the name of a copy of a function.
const COPIES: [&str; 7] = [" [clone ", ".isra.", ".constprop.", ".part.", ".cold", ".lto_priv.", ".llvm."];

/// A call, as far as both views can tell it from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call<'view> {
    module: Option<&'view str>,
    function: Option<&'view str>,
    offset: Option<u64>,
}

/// Tells calls apart.
pub struct Calls<'view> {
    /// Builds that both views know.
    builds: HashSet<&'view str>,
    /// Whether both are of one trace, where bare addresses mean the same.
    one_trace: bool,
    /// What the program is called before and after.
    programs: (String, String),
    /// What it is called here.
    program: &'view str,
}

impl<'view> Calls<'view> {
    pub fn of(before: &'view View, after: &'view View, one_trace: bool) -> Self {
        let builds = |view: &'view View| -> HashSet<&str> {
            let frames = view.stacks.iter().flat_map(|stack| &stack.frames);
            frames.filter_map(|frame| frame.build_id.as_deref()).collect()
        };
        let file_name = |view| {
            let program = program(view);
            let path = program.strip_suffix(" (deleted)").unwrap_or(&program);
            path.rsplit('/').next().unwrap_or_default().to_owned()
        };
        let builds = builds(before).intersection(&builds(after)).copied().collect();
        Self { builds, one_trace, programs: (file_name(before), file_name(after)), program: "the program" }
    }

    pub fn before(&self, stack: &'view StackView) -> Vec<Call<'view>> {
        stack.frames.iter().map(|frame| self.call(frame, &self.programs.0)).collect()
    }

    pub fn after(&self, stack: &'view StackView) -> Vec<Call<'view>> {
        stack.frames.iter().map(|frame| self.call(frame, &self.programs.1)).collect()
    }

    fn call(&self, frame: &'view Frame, program: &str) -> Call<'view> {
        let module = frame.module.as_deref();
        let module = module.map(|module| if module == program { self.program } else { module });
        let function = frame.function.as_deref().filter(|name| !name.is_empty()).map(original);
        let known = match (&frame.build_id, &frame.module) {
            (Some(build), _) => self.builds.contains(build.as_ref()),
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
        let stacks: HashSet<_> = before.stacks.iter().map(|stack| self.before(stack)).collect();
        if after.stacks.iter().any(|stack| !stack.frames.is_empty() && stacks.contains(&self.after(stack))) {
            return true;
        }
        let own = |call: &Call<'_>| call.module == Some(self.program) && call.function.is_some();
        let functions: HashSet<_> = stacks.into_iter().flatten().filter(own).collect();
        self.programs.0 == self.programs.1
            && (before.stacks.is_empty()
                || after.stacks.is_empty()
                || after.stacks.iter().flat_map(|stack| self.after(stack)).any(|call| functions.contains(&call)))
    }
}

/// The name of the function that a compiler has copied, without Rust's hash.
fn original(name: &str) -> &str {
    let end = COPIES.iter().filter_map(|mark| name.find(mark)).filter(|at| *at > 0).min();
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
