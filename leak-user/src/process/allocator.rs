//! Which allocator functions an object defines.
//!
//! [`Allocator::of`] promises each function once, however many names it has, with what a probe on it needs. It decides
//! by symbols alone: an object is an allocator if it defines `malloc` and `free`, or `mmap` and `munmap`. What it finds
//! but cannot trace is reported too, in [`Allocator::refused`], for a trace that misses the half of an allocator shows
//! leaks that are none.
//!
//! It leaves out what is no C allocator interface: C++ `operator new` (which in jemalloc, tcmalloc and mimalloc does not
//! pass through `malloc`), jemalloc's `mallocx` family, and allocators a program keeps to itself.

use anyhow::{Result, ensure};
use leak_ebpf::Signature;

use super::elf::{Code, ElfFile, Symbol};

/// The heap functions, the plainest name first: of two names for one address the earlier is kept.
const HEAP: [(&str, Signature); 11] = [
    ("malloc", Signature::Size0),
    ("calloc", Signature::Product01),
    ("realloc", Signature::Realloc),
    ("reallocarray", Signature::ReallocProduct),
    ("free", Signature::Free),
    ("cfree", Signature::Free),
    ("memalign", Signature::Size1),
    ("posix_memalign", Signature::OutPointer),
    ("aligned_alloc", Signature::Size1),
    ("valloc", Signature::Size0),
    ("pvalloc", Signature::PageRounded0),
];

/// The functions that hand out address space; they have no prefix in any allocator.
const MAPPING: [(&str, Signature); 4] = [
    ("mmap", Signature::Mmap),
    ("mmap64", Signature::Mmap),
    ("munmap", Signature::Munmap),
    ("mremap", Signature::Mremap),
];

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
    /// kind; `prefix` comes before the names of the heap functions, as in `je_malloc`, and is mostly empty.
    pub fn of(object: &ElfFile<'data>, path: &str, prefix: &str) -> Result<Option<Self>> {
        let heap = HEAP.iter().map(|(name, signature)| (format!("{prefix}{name}"), *signature));
        let mapping = MAPPING.iter().map(|(name, signature)| ((*name).to_owned(), *signature));
        let family: Vec<(String, Signature)> = heap.chain(mapping).collect();
        let mallctl = format!("{prefix}mallctl");
        let evidence = EVIDENCE.iter().map(|(name, _)| *name).chain([mallctl.as_str()]);
        // One pass over the symbols for all names: a big program has a million.
        let wanted: Vec<&str> = family.iter().map(|(name, _)| name.as_str()).chain(evidence).collect();
        let symbols = object.symbols(&wanted)?;

        let defines = |name: String| symbols.iter().any(|symbol| symbol.name == name);
        let has_heap = defines(format!("{prefix}malloc")) && defines(format!("{prefix}free"));
        let has_mapping = defines("mmap".into()) && defines("munmap".into());
        if !has_heap && !has_mapping {
            return Ok(None);
        }
        let kind = kind_by_symbols(&symbols, &mallctl).unwrap_or_else(|| kind_by_name(object, path));
        let mut allocator = Self { kind, functions: Vec::new(), refused: Vec::new() };
        for (name, signature) in &family {
            let is_whole = if signature.is_mapping() { has_mapping } else { has_heap };
            for symbol in symbols.iter().filter(|symbol| is_whole && symbol.name == name) {
                allocator.add(object, symbol, *signature);
            }
        }
        Ok(Some(allocator))
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
            Err(error) => self.refused.push(Refused { name, reason: error.to_string() }),
        }
    }
}

/// The function's code, if its address is that of a function.
fn code_of<'data>(object: &ElfFile<'data>, symbol: &Symbol<'_>) -> Result<Code<'data>> {
    let name = symbol.name;
    ensure!(!symbol.indirect, "{name} is chosen when the program starts (IFUNC), so the file does not say where it is");
    object.code(symbol)
}

/// The kind, by what the object defines.
fn kind_by_symbols(symbols: &[Symbol<'_>], mallctl: &str) -> Option<AllocatorKind> {
    let is_defined = |name: &str| symbols.iter().any(|symbol| symbol.name == name);
    let evident = EVIDENCE.iter().find(|(name, _)| is_defined(name)).map(|(_, kind)| *kind);
    if is_defined(mallctl) { Some(AllocatorKind::Jemalloc) } else { evident }
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

    const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";

    fn names(allocator: &Allocator<'_>) -> Vec<String> {
        allocator.functions.iter().map(|function| function.name.clone()).collect()
    }

    fn with_allocator(path: &str, prefix: &str, check: impl Fn(Option<Allocator<'_>>)) {
        // A machine without this library has nothing to check.
        let Some(data) = library(path) else { return };
        let object = ElfFile::parse(&data, path).unwrap();
        check(Allocator::of(&object, path, prefix).unwrap());
    }

    #[test]
    fn glibc_defines_each_function_once_under_its_plainest_name() {
        with_allocator(LIBC, "", |allocator| {
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
        with_allocator(JEMALLOC, "", |allocator| {
            let allocator = allocator.expect("an allocator");
            assert_eq!(allocator.kind, AllocatorKind::Jemalloc);
            assert!(allocator.functions.iter().all(|function| !function.signature.is_mapping()));
        });
    }

    #[test]
    fn a_prefix_takes_the_heap_functions_of_other_names_away() {
        with_allocator(JEMALLOC, "je_", |allocator| assert_eq!(allocator, None));
        with_allocator(LIBC, "je_", |allocator| {
            let names = names(&allocator.expect("an allocator of mappings"));
            assert_eq!(names, ["mmap", "munmap", "mremap"]);
        });
        with_allocator(LIBC, "__libc_", |allocator| {
            let names = names(&allocator.expect("an allocator"));
            assert_eq!(&names[..2], ["__libc_malloc", "__libc_calloc"]);
        });
    }

    #[test]
    fn a_library_that_only_calls_malloc_is_no_allocator() {
        with_allocator("/lib/x86_64-linux-gnu/libm.so.6", "", |allocator| assert_eq!(allocator, None));
        with_allocator("/proc/self/exe", "", |allocator| assert_eq!(allocator, None));
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
