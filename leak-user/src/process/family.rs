//! The names of allocator functions and how each is called. Tables only; `allocator` says which of them count when.

use leak_ebpf::Signature::{
    self, Free, Mmap, Mremap, Munmap, OutPointer, PageRounded0, Product01, Realloc, ReallocProduct, ResizeInPlace,
    Size0, Size1,
};

/// A function's name and how it is called.
pub type Member = (&'static str, Signature);

/// Prefixes that allocators are built with, tried in every object: jemalloc's own, and those of its Rust bindings.
pub const PREFIXES: [&str; 5] = ["", "je_", "_rjem_", "_rjem_je_", "mi_"];

/// The prefix of mimalloc's own interface.
pub const MIMALLOC_PREFIX: &str = "mi_";

/// The heap functions of C, which allocators offer with or without a prefix. The plainest name first: of two names for
/// one address the earlier is kept.
pub const HEAP: [Member; 13] = [
    ("malloc", Size0),
    ("calloc", Product01),
    ("realloc", Realloc),
    ("reallocarray", ReallocProduct),
    ("free", Free),
    ("cfree", Free),
    ("free_sized", Free),
    ("free_aligned_sized", Free),
    ("memalign", Size1),
    ("posix_memalign", OutPointer),
    ("aligned_alloc", Size1),
    ("valloc", Size0),
    ("pvalloc", PageRounded0),
];

/// jemalloc's own interface, with the same prefix as its heap functions.
pub const JEMALLOC: [Member; 5] =
    [("mallocx", Size0), ("rallocx", Realloc), ("xallocx", ResizeInPlace), ("dallocx", Free), ("sdallocx", Free)];

/// mimalloc's own interface, behind its prefix.
pub const MIMALLOC: [Member; 19] = [
    ("zalloc", Size0),
    ("malloc_small", Size0),
    ("zalloc_small", Size0),
    ("mallocn", Product01),
    ("reallocn", ReallocProduct),
    ("recalloc", ReallocProduct),
    ("malloc_aligned", Size0),
    ("zalloc_aligned", Size0),
    ("calloc_aligned", Product01),
    ("realloc_aligned", Realloc),
    ("rezalloc", Realloc),
    ("new", Size0),
    ("new_nothrow", Size0),
    ("new_aligned", Size0),
    ("new_n", Product01),
    ("new_realloc", Realloc),
    ("free_size", Free),
    ("free_size_aligned", Free),
    ("free_aligned", Free),
];

/// C++'s operators `new` and `delete`, plain and array, with alignment, size and nothrow: of interest where the object
/// is the allocator itself, for there they do not pass `malloc`.
pub const OPERATORS: [Member; 20] = [
    ("_Znwm", Size0),
    ("_Znam", Size0),
    ("_ZnwmRKSt9nothrow_t", Size0),
    ("_ZnamRKSt9nothrow_t", Size0),
    ("_ZnwmSt11align_val_t", Size0),
    ("_ZnamSt11align_val_t", Size0),
    ("_ZnwmSt11align_val_tRKSt9nothrow_t", Size0),
    ("_ZnamSt11align_val_tRKSt9nothrow_t", Size0),
    ("_ZdlPv", Free),
    ("_ZdaPv", Free),
    ("_ZdlPvm", Free),
    ("_ZdaPvm", Free),
    ("_ZdlPvRKSt9nothrow_t", Free),
    ("_ZdaPvRKSt9nothrow_t", Free),
    ("_ZdlPvSt11align_val_t", Free),
    ("_ZdaPvSt11align_val_t", Free),
    ("_ZdlPvmSt11align_val_t", Free),
    ("_ZdaPvmSt11align_val_t", Free),
    ("_ZdlPvSt11align_val_tRKSt9nothrow_t", Free),
    ("_ZdaPvSt11align_val_tRKSt9nothrow_t", Free),
];

/// The functions that hand out address space; they have no prefix in any allocator.
pub const MAPPING: [Member; 4] = [("mmap", Mmap), ("mmap64", Mmap), ("munmap", Munmap), ("mremap", Mremap)];
