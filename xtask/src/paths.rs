//! Where everything lies, all of it below the repository's root.
//!
//! The places are fixed, whatever `CARGO_TARGET_DIR` says: the README, the tests and `leak-user/build.rs` name them.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Everything that is built.
pub fn target() -> PathBuf {
    root().join("target")
}

/// The product.
pub fn leaktrace() -> PathBuf {
    target().join("release/leaktrace")
}

/// Cargo's directory for the kernel programs.
pub fn bpf() -> PathBuf {
    target().join("bpf")
}

/// The kernel programs, as `leak-user/build.rs` takes them in.
pub fn object() -> PathBuf {
    bpf().join("leaktrace.bpf.o")
}

/// The kernel programs that watch writes, which `leak-user/build.rs` takes in as well.
pub fn writes_object() -> PathBuf {
    bpf().join("writes.bpf.o")
}

/// The empty kernel programs that the benchmark measures against.
pub fn floor_object() -> PathBuf {
    bpf().join("floor.bpf.o")
}

/// Where the benchmark leaves its tables.
pub fn bench() -> PathBuf {
    target().join("bench")
}

/// Root of our own `cargo install` of `bpf-linker`.
pub fn linker() -> PathBuf {
    target().join("bpf-linker")
}

/// Root of our own `cargo install` of `cargo-fuzz`.
pub fn cargo_fuzz() -> PathBuf {
    target().join("cargo-fuzz")
}

/// The fuzzers, compiled, and what they have found worth keeping.
pub fn fuzz() -> PathBuf {
    target().join("fuzz")
}

/// Sources of the programs that leaktrace is tried on.
pub fn target_sources() -> PathBuf {
    root().join("tests/targets")
}

/// Those programs, compiled.
pub fn targets() -> PathBuf {
    target().join("targets")
}

/// A Python environment with the packages that tests need.
pub fn python() -> PathBuf {
    target().join("python")
}

/// Debian's package of Prometheus, unpacked.
pub fn prometheus() -> PathBuf {
    target().join("prometheus")
}

/// Exported sessions, for tests to read.
pub fn exports() -> PathBuf {
    target().join("exports")
}

/// Pages of made-up sessions, for the tests to open in a browser.
pub fn pages() -> PathBuf {
    target().join("pages")
}

/// The product, linked statically.
pub fn static_leaktrace() -> PathBuf {
    target().join(format!("{}-unknown-linux-gnu/release/leaktrace", std::env::consts::ARCH))
}

/// What is handed to people without the source.
pub fn dist() -> PathBuf {
    target().join("dist")
}

/// Trees of files on their way into it.
pub fn staged() -> PathBuf {
    target().join("dist/staged")
}

/// Man pages, completions and licences.
pub fn described() -> PathBuf {
    staged().join("described")
}

/// Units, settings and what dpkg is told.
pub fn dist_source() -> PathBuf {
    root().join("leak-user/dist")
}

/// A clean Debian to install it on: its disk, kernel and first programs.
pub fn clean_debian() -> PathBuf {
    target().join("clean-debian")
}

/// `path` as a person in the repository's root would write it.
pub fn short(path: &Path) -> std::path::Display<'_> {
    path.strip_prefix(root()).unwrap_or(path).display()
}
