//! Which allocator functions an object defines.
//!
//! [`Allocator::of`] promises each function once, however many names it has, with what a probe on it needs. It decides
//! by symbols alone: an object is an allocator if it defines `malloc` and `free`, or `mmap` and `munmap`. What it finds
//! but cannot trace is reported too, in [`Allocator::refused`], for a trace that misses the half of an allocator shows
//! leaks that are none.
//!
//! It leaves out allocators that a program keeps to itself under names of its own.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use leak_ebpf::Signature;

pub use super::family::PREFIXES;
use super::{
    elf::{Code, ElfFile, Symbol},
    family::{HEAP, JEMALLOC, MAPPING, MIMALLOC, MIMALLOC_PREFIX, Member, OPERATORS},
};

/// Functions that only one kind of allocator defines. An allocator linked into a libc's client comes before the libc.
const EVIDENCE: [(&str, AllocatorKind); 6] = [
    ("mallctl", AllocatorKind::Jemalloc),
    ("tc_version", AllocatorKind::Tcmalloc),
    ("MallocExtension_Internal_GetStats", AllocatorKind::Tcmalloc),
    ("mi_malloc", AllocatorKind::Mimalloc),
    ("gnu_get_libc_version", AllocatorKind::Glibc),
    ("__dls2b", AllocatorKind::Musl),
];

/// Parts of file names that tell the kind.
const NAMES: [(&str, AllocatorKind); 6] = [
    ("jemalloc", AllocatorKind::Jemalloc),
    ("tcmalloc", AllocatorKind::Tcmalloc),
    ("mimalloc", AllocatorKind::Mimalloc),
    ("musl", AllocatorKind::Musl),
    ("libc.so.6", AllocatorKind::Glibc),
    ("libc-2.", AllocatorKind::Glibc),
];

/// Whose allocator it is: a guess, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocatorKind {
    /// The GNU C library.
    Glibc,
    /// The musl C library.
    Musl,
    /// jemalloc.
    Jemalloc,
    /// tcmalloc, of gperftools or Google's own.
    Tcmalloc,
    /// mimalloc.
    Mimalloc,
    /// None of these, or not to be told.
    Unknown,
}

impl AllocatorKind {
    /// The name to show.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
            Self::Jemalloc => "jemalloc",
            Self::Tcmalloc => "tcmalloc",
            Self::Mimalloc => "mimalloc",
            Self::Unknown => "unknown",
        }
    }
}

/// A function to probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocatorFunction<'data> {
    /// Its plainest name, with the prefix.
    pub name: String,
    /// How it takes its arguments.
    pub signature: Signature,
    /// Its virtual address, as linked.
    pub vaddr: u64,
    /// Where its code begins in the file.
    pub offset: u64,
    /// Its code.
    pub code: &'data [u8],
}

/// A function that belongs to the allocator and cannot be probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name, with the prefix.
    pub name: String,
    /// How it takes its arguments.
    pub signature: Signature,
    /// Why not, as a sentence.
    pub reason: String,
}

/// An object's allocator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocator<'data> {
    /// Whose it seems to be.
    pub kind: AllocatorKind,
    /// What can be probed: one entry an address, the heap functions first.
    pub functions: Vec<AllocatorFunction<'data>>,
    /// What cannot.
    pub refused: Vec<Refused>,
}

impl<'data> Allocator<'data> {
    /// The allocator that an object defines, if it does. `path` is where it was found, and serves only to guess its
    /// kind; each of `prefixes` may come before the names of the heap functions, as in `je_malloc`.
    pub fn of(object: &ElfFile<'data>, path: &str, prefixes: &[&str]) -> Result<Option<Self>> {
        let family = Family::new(prefixes);
        let is_static = object.is_static_pie();
        // One pass over the symbols for all names: a big program has a million.
        let symbols = object.symbols(&family.names(), |name| is_static || family.is_unmistakable(name))?;
        let defines = |name: &str| symbols.iter().any(|symbol| symbol.name == name);
        let evident = EVIDENCE.iter().find(|(name, _)| defines(name)).map(|(_, kind)| *kind);
        let has_mallctl = prefixes.iter().any(|prefix| defines(&format!("{prefix}mallctl")));
        let kind = if has_mallctl { Some(AllocatorKind::Jemalloc) } else { evident };
        let kind = kind.unwrap_or_else(|| kind_by_name(object, path));

        let mut allocator = Self { kind, functions: Vec::new(), refused: Vec::new() };
        for group in family.groups.iter().filter(|group| group.is_of_use(kind, &defines)) {
            for (name, signature) in &group.members {
                for symbol in symbols.iter().filter(|symbol| symbol.name == name) {
                    allocator.add(object, symbol, *signature);
                }
            }
        }
        let is_none = allocator.functions.is_empty() && allocator.refused.is_empty();
        Ok((!is_none).then_some(allocator))
    }

    /// Adds a function, unless it is there under another name.
    fn add(&mut self, object: &ElfFile<'data>, symbol: &Symbol<'_>, signature: Signature) {
        if self.functions.iter().any(|known| known.vaddr == symbol.vaddr) {
            return;
        }
        let name = symbol.name.to_owned();
        match code_of(object, symbol) {
            Ok(Code { offset, bytes: code }) => {
                self.functions.push(AllocatorFunction { name, signature, vaddr: symbol.vaddr, offset, code });
            }
            Err(error) => self.refused.push(Refused { name, signature, reason: error.to_string() }),
        }
    }
}

/// The function's code, if its address is that of a function.
fn code_of<'data>(object: &ElfFile<'data>, symbol: &Symbol<'_>) -> Result<Code<'data>> {
    let name = symbol.name;
    ensure!(!symbol.indirect, "{name} is chosen when the program starts (IFUNC), so the file does not say where it is");
    object.code(symbol)
}

/// Functions that count together or not at all.
struct Group {
    /// What all must be there for the group to count.
    needs: [String; 2],
    /// What must not: then the group only calls it.
    unless: Option<(&'static str, AllocatorKind)>,
    /// Kinds of allocator in which the group only calls another.
    not_in: &'static [AllocatorKind],
    members: Vec<(String, Signature)>,
}

/// All names that are looked for.
struct Family {
    groups: Vec<Group>,
    unmistakable: HashSet<String>,
    others: Vec<String>,
}

impl Family {
    fn new(prefixes: &[&str]) -> Self {
        let with = |prefix: &str, members: &[Member]| -> Vec<(String, Signature)> {
            members.iter().map(|(name, signature)| (format!("{prefix}{name}"), *signature)).collect()
        };
        let mut groups = Vec::new();
        for prefix in prefixes {
            let own = if *prefix == MIMALLOC_PREFIX { &MIMALLOC[..] } else { &JEMALLOC[..] };
            let mut members = with(prefix, &HEAP);
            members.append(&mut with(prefix, own));
            // The shared mimalloc's malloc is a jump to mi_malloc, and would be hit twice.
            let unless = (*prefix == MIMALLOC_PREFIX).then_some(("malloc", AllocatorKind::Mimalloc));
            groups.push(Group {
                needs: [format!("{prefix}malloc"), format!("{prefix}free")],
                unless,
                not_in: &[],
                members,
            });
        }
        if prefixes.contains(&"") {
            groups.push(Group {
                needs: ["malloc".into(), "free".into()],
                unless: None,
                // A C library has none of its own: those linked in with it come from libstdc++ and call malloc.
                not_in: &[AllocatorKind::Glibc, AllocatorKind::Musl],
                members: with("", &OPERATORS),
            });
        }
        groups.push(Group {
            needs: ["mmap".into(), "munmap".into()],
            unless: None,
            not_in: &[],
            members: with("", &MAPPING),
        });
        let unmistakable = prefixes
            .iter()
            .filter(|prefix| !prefix.is_empty())
            .flat_map(|prefix| with(prefix, &HEAP).into_iter().chain(with(prefix, &JEMALLOC)));
        let evidence = EVIDENCE.iter().map(|(name, _)| (*name).to_owned());
        Self {
            groups,
            unmistakable: unmistakable.map(|(name, _)| name).collect(),
            others: evidence.chain(prefixes.iter().map(|prefix| format!("{prefix}mallctl"))).collect(),
        }
    }

    /// Every name once.
    fn names(&self) -> Vec<&str> {
        let members = self.groups.iter().flat_map(|group| &group.members).map(|(name, _)| name.as_str());
        let mut names: Vec<&str> = members.chain(self.others.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether the name is so much an allocator's own that a local symbol will do: linking statically makes them local.
    fn is_unmistakable(&self, name: &str) -> bool {
        self.unmistakable.contains(name)
    }
}

impl Group {
    fn is_of_use(&self, kind: AllocatorKind, defines: &impl Fn(&str) -> bool) -> bool {
        self.needs.iter().all(|name| defines(name))
            && !self.not_in.contains(&kind)
            && !self.unless.is_some_and(|(name, of)| kind == of && defines(name))
    }
}

/// The kind, by what the object calls itself or is called.
fn kind_by_name(object: &ElfFile<'_>, path: &str) -> AllocatorKind {
    let soname = object.soname().map(String::from_utf8_lossy).unwrap_or_default();
    let file_name = path.rsplit('/').next().unwrap_or_default();
    let is_named = |part: &str| soname.contains(part) || file_name.contains(part);
    NAMES.iter().find(|(part, _)| is_named(part)).map_or(AllocatorKind::Unknown, |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::{LIBC, library};
    use super::*;

    const LIBJEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";

    fn names(allocator: &Allocator<'_>) -> Vec<String> {
        allocator.functions.iter().map(|function| function.name.clone()).collect()
    }

    fn with_allocator(path: &str, prefixes: &[&str], check: impl Fn(Option<Allocator<'_>>)) {
        // A machine without this library has nothing to check.
        let Some(data) = library(path) else { return };
        let object = ElfFile::parse(&data, path).unwrap();
        check(Allocator::of(&object, path, prefixes).unwrap());
    }

    #[test]
    fn glibc_defines_each_function_once_under_its_plainest_name() {
        with_allocator(LIBC, &PREFIXES, |allocator| {
            let allocator = allocator.expect("an allocator");
            assert_eq!(allocator.kind, AllocatorKind::Glibc);
            assert_eq!(allocator.refused, []);
            let names = names(&allocator);
            for name in
                ["malloc", "calloc", "realloc", "free", "memalign", "posix_memalign", "mmap", "munmap", "mremap"]
            {
                assert!(names.iter().any(|found| found == name), "{name}");
            }
            assert!(!names.iter().any(|name| name == "mmap64"), "the same code as mmap");
            let mut addresses: Vec<u64> = allocator.functions.iter().map(|function| function.vaddr).collect();
            addresses.sort_unstable();
            assert!(addresses.windows(2).all(|pair| pair[0] != pair[1]));
        });
    }

    #[test]
    fn jemalloc_is_known_by_mallctl_and_maps_nothing_by_itself() {
        with_allocator(LIBJEMALLOC, &PREFIXES, |allocator| {
            let allocator = allocator.expect("an allocator");
            assert_eq!(allocator.kind, AllocatorKind::Jemalloc);
            assert!(allocator.functions.iter().all(|function| !function.signature.is_mapping()));
        });
    }

    #[test]
    fn a_prefix_takes_the_heap_functions_of_other_names_away() {
        with_allocator(LIBJEMALLOC, &["je_"], |allocator| assert_eq!(allocator, None));
        with_allocator(LIBC, &["je_"], |allocator| {
            let names = names(&allocator.expect("an allocator of mappings"));
            assert_eq!(names, ["mmap", "munmap", "mremap"]);
        });
        with_allocator(LIBC, &["__libc_"], |allocator| {
            let names = names(&allocator.expect("an allocator"));
            assert_eq!(&names[..2], ["__libc_malloc", "__libc_calloc"]);
        });
    }

    #[test]
    fn a_library_that_only_calls_malloc_is_no_allocator() {
        with_allocator("/lib/x86_64-linux-gnu/libm.so.6", &PREFIXES, |allocator| assert_eq!(allocator, None));
        with_allocator("/proc/self/exe", &PREFIXES, |allocator| assert_eq!(allocator, None));
    }

    #[test]
    fn a_function_that_cannot_be_probed_is_reported_with_the_reason() {
        let Some(data) = library(LIBC) else { return };
        let object = ElfFile::parse(&data, LIBC).unwrap();
        let mut allocator = Allocator { kind: AllocatorKind::Unknown, functions: Vec::new(), refused: Vec::new() };
        let symbol = Symbol { name: "malloc", vaddr: 0, size: 8, indirect: true, default: true };
        allocator.add(&object, &symbol, Signature::Size0);
        allocator.add(&object, &Symbol { indirect: false, ..symbol }, Signature::Size0);
        assert_eq!(allocator.functions, []);
        let reasons: Vec<&str> = allocator.refused.iter().map(|refused| refused.reason.as_str()).collect();
        assert!(reasons[0].contains("IFUNC") && reasons[1].contains("outside its code"), "{reasons:?}");
    }
}
