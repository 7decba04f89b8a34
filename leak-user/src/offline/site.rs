//! Where memory is allocated: the innermost function that is the program's own.
//!
//! Promises that allocators, what wraps them in well-known libraries, and the containers of C++ and Rust are looked
//! through, for `malloc` is in every stack and says nothing. It goes by names, so a program's own function that is named
//! like an allocator (`xmalloc`) is looked through as well: its callers tell more. Leaves out frames without names:
//! those count as the program's.

use std::borrow::Cow;

use crate::{symbolize::Frame, text::printable};

/// Beginnings of paths that belong to the runtimes of C++ and Rust.
const RUNTIMES: [&str; 7] = ["std::", "core::", "alloc::", "hashbrown::", "__gnu_cxx::", "__rustc::", "__cxxabiv1::"];

/// What the names of allocator functions have within them, spelled as programs do.
const WITHIN: [&str; 13] = [
    "malloc", "Malloc", "MALLOC", "calloc", "Calloc", "CALLOC", "realloc", "Realloc", "REALLOC", "memalign", "strdup",
    "strndup", "_zalloc",
];

/// Whole names, without underscores in front, that do not show it.
const WHOLE: [&str; 30] = [
    "mmap",
    "mmap64",
    "mremap",
    "aligned_alloc",
    "valloc",
    "pvalloc",
    "rallocx",
    "xallocx",
    "zalloc",
    "mi_new",
    "mi_new_n",
    "rust_alloc",
    "rdl_alloc",
    "rg_alloc",
    "asprintf",
    "vasprintf",
    "wcsdup",
    "g_slice_alloc",
    "g_slice_alloc0",
    "g_memdup2",
    "palloc",
    "palloc0",
    "apr_palloc",
    "ngx_alloc",
    "ngx_palloc",
    "AllocSetAlloc",
    "MemoryContextAlloc",
    "PyType_GenericAlloc",
    "PyObject_GC_New",
    "PyObject_New",
];

/// What functions are the same by: the name in its module, or the place where there is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'view> {
    pub module: Option<&'view str>,
    pub function: Option<&'view str>,
    /// 0 where there is a name.
    pub offset: u64,
}

impl<'view> Key<'view> {
    pub fn of(frame: &'view Frame) -> Self {
        let function = frame.function.as_deref().filter(|name| !name.is_empty());
        let offset = if function.is_some() { 0 } else { frame.offset };
        Self { module: frame.module.as_deref(), function, offset }
    }
}

/// What a frame is called. Safe to print.
pub fn label(frame: &Frame) -> Cow<'_, str> {
    match frame.function.as_deref() {
        Some(function) if !function.is_empty() => printable(function),
        _ => frame.place().into(),
    }
}

/// Names of the program's own frames and of their callers, innermost first. Safe to print.
pub fn names(frames: &[Frame]) -> Vec<String> {
    let own = frames.iter().skip(site(frames).unwrap_or(0));
    own.map(|frame| label(frame).into_owned()).collect()
}

/// The innermost frame that is the program's own, or the innermost of all where none is; none of a stack without frames.
pub fn site(frames: &[Frame]) -> Option<usize> {
    let own = frames.iter().position(|frame| !frame.function.as_deref().is_some_and(hands_out));
    own.or((!frames.is_empty()).then_some(0))
}

/// Whether a function only hands out memory for its callers.
fn hands_out(name: &str) -> bool {
    let path = bare(name);
    if path.starts_with("operator new") || path.contains("::operator new") || is_runtime(path) {
        return true;
    }
    let leaf = outside_brackets(path).rsplit("::").next().unwrap_or("").trim_start_matches('_').to_owned();
    let within = |word: &&str| {
        // `reallocate_slots` decides for itself; `zrealloc` does not.
        leaf.match_indices(*word).any(|(at, word)| !leaf[at + word.len()..].starts_with("at"))
    };
    WHOLE.contains(&leaf.as_str()) || WITHIN.iter().any(within) || leaf.starts_with("Znwm") || leaf.starts_with("Znam")
}

/// Whether a path is of a runtime; of `<T as Trait>::f` by the type, and by the trait where the type is of no crate.
fn is_runtime(path: &str) -> bool {
    let Some(inner) = path.strip_prefix('<') else {
        return RUNTIMES.iter().any(|runtime| path.starts_with(runtime));
    };
    let (of, by) = inner.split_once(" as ").unwrap_or((inner, ""));
    let of = of.trim_start_matches(['&', '[', '*', '(']).trim_start_matches("mut ").trim_start_matches("const ");
    RUNTIMES.iter().any(|runtime| of.starts_with(runtime) || (!of.contains("::") && by.starts_with(runtime)))
}

/// A demangled name without what it returns and takes: `std::vector<int>::push_back` of `void std::vector<int>::push_back(int&&)`.
pub fn bare(name: &str) -> &str {
    let (mut depth, mut start, mut before) = (0_usize, 0, ' ');
    for (at, c) in name.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth = depth.saturating_sub(1),
            '(' if depth == 0 && at > start && !is_part(name, at) => return &name[start..at],
            ' ' if depth == 0 && !name[..at].ends_with("operator") && !name[..at].ends_with("(anonymous") => {
                start = at + 1;
            }
            _ => {}
        }
        before = c;
    }
    &name[start..]
}

/// Whether a bracket belongs to the name: `(anonymous namespace)`, `operator()`.
fn is_part(name: &str, at: usize) -> bool {
    name[at..].starts_with("(anonymous") || (name[at..].starts_with("()") && name[..at].ends_with("operator"))
}

/// A path without what stands in angle brackets.
pub fn outside_brackets(path: &str) -> String {
    let (mut depth, mut before) = (0_usize, ' ');
    let mut outside = String::with_capacity(path.len().min(256));
    for c in path.chars() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ if depth == 0 => outside.push(c),
            _ => {}
        }
        before = c;
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocators_and_what_wraps_them_are_looked_through() {
        for name in [
            "malloc",
            "je_malloc",
            "zmalloc_usable",
            "__libc_calloc",
            "PyObject_Malloc",
            "sqlite3Malloc",
            "CRYPTO_zalloc",
            "operator new(unsigned long)",
            "operator new[](unsigned long)",
            "_Znwm",
            "g_strdup",
            "__rust_alloc",
            "void std::vector<Conn, std::allocator<Conn>>::_M_realloc_insert<Conn>(Conn&&)",
            "alloc::raw_vec::RawVec<T,A>::grow_one",
            "<alloc::alloc::Global as core::alloc::Allocator>::allocate",
            "<str as alloc::borrow::ToOwned>::to_owned",
            "<[T] as alloc::slice::hack::ConvertVec>::to_vec",
            "hashbrown::raw::RawTable<T,A>::reserve_rehash",
        ] {
            assert!(hands_out(name), "{name}");
        }
    }

    #[test]
    fn a_function_of_the_program_is_not() {
        for name in [
            "main",
            "_sdsnewlen",
            "alloc_session",
            "allocate_connection",
            "localLock",
            "optimalLocation",
            "reallocate_slots",
            "<app::Cache as core::clone::Clone>::clone",
            "app::main::{{closure}}",
            "(anonymous namespace)::remember(int)",
            "Foo::operator()(int)",
            "void cache::put<std::string>(std::string const&)",
            "",
        ] {
            assert!(!hands_out(name), "{name}");
        }
    }

    #[test]
    fn a_bare_name_has_no_type_and_no_arguments() {
        for (name, left) in [
            ("main", "main"),
            ("void std::vector<int>::push_back(int&&)", "std::vector<int>::push_back"),
            ("(anonymous namespace)::f(int)", "(anonymous namespace)::f"),
            ("Foo<void (int)>::operator()(int) const", "Foo<void (int)>::operator()"),
            ("operator new(unsigned long)", "operator new"),
            ("<app::A as core::fmt::Debug>::fmt", "<app::A as core::fmt::Debug>::fmt"),
            ("", ""),
        ] {
            assert_eq!(bare(name), left);
        }
    }

    #[test]
    fn a_stack_of_wrappers_alone_is_at_the_innermost() {
        let frame = |name: &str| Frame { function: Some(name.into()), ..Frame::default() };
        assert_eq!(site(&[frame("malloc"), frame("operator new(unsigned long)")]), Some(0));
        assert_eq!(site(&[frame("malloc"), Frame::default(), frame("main")]), Some(1));
        assert_eq!(site(&[]), None);
        assert_eq!(names(&[frame("malloc"), frame("f"), frame("main")]), ["f", "main"]);
    }
}
