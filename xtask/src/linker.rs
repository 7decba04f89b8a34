//! `bpf-linker`, which makes one BPF object of compiled Rust, and the LLVM it stands on.
//!
//! A linker of our own is installed under `target/`, of one version, for one LLVM; the machine's are left alone.
//! `LEAKTRACE_BPF_LINKER` names another one, which is taken as it is. LLVM itself is only found here; where a
//! distribution is known, `toolchain.rs` installs it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::Progress;
use crate::{cargo, paths, run};

/// The version that is installed.
const VERSION: &str = "0.13.0";

/// The LLVM versions it can be built for.
const SUPPORTED: std::ops::RangeInclusive<u32> = 21..=23;

/// Names a `bpf-linker` to use instead of our own.
const OVERRIDE: &str = "LEAKTRACE_BPF_LINKER";

/// An LLVM to build the linker with.
#[derive(Clone, Debug)]
pub struct Llvm {
    /// Its major version.
    major: u32,
    /// The directory that has its `bin/llvm-config`.
    prefix: PathBuf,
}

impl Llvm {
    /// An LLVM, with what is needed to link to it, that reads what a compiler with LLVM `major` writes.
    ///
    /// The same version is best; later ones read what earlier ones write.
    pub fn reading(major: u32) -> Option<Self> {
        let majors = major.max(*SUPPORTED.start())..=*SUPPORTED.end();
        majors.into_iter().find_map(|major| {
            let candidates = env::var_os("LLVM_PREFIX").map(PathBuf::from).into_iter().chain([
                format!("/usr/lib/llvm-{major}").into(),
                format!("/usr/lib64/llvm{major}").into(),
                format!("/usr/lib/llvm{major}").into(),
                "/usr".into(),
            ]);
            candidates.map(|prefix| Self { major, prefix }).find(Self::is_usable)
        })
    }

    /// Whether it is there, of that version, and with its library for development.
    fn is_usable(&self) -> bool {
        let library = |directory: &str| self.prefix.join(directory).join("libLLVM.so").exists();
        (library("lib") || library("lib64"))
            && run::output(Command::new(self.prefix.join("bin/llvm-config")).arg("--version"))
                .is_ok_and(|version| version.split('.').next() == Some(&self.major.to_string()))
    }
}

/// Whether the person named a linker, so that no LLVM is needed.
pub fn is_overridden() -> bool {
    env::var_os(OVERRIDE).is_some()
}

/// The linker for compilers with LLVM `major`, installed first where it is missing.
pub fn find(llvm: Option<&Llvm>, progress: &mut Progress) -> Result<PathBuf> {
    if let Some(linker) = env::var_os(OVERRIDE).map(PathBuf::from) {
        if run::quietly(Command::new(&linker).arg("--version")) {
            return Ok(linker);
        }
        bail!("{OVERRIDE} names {}, which does not run: set it to a bpf-linker, or unset it", linker.display());
    }
    let Some(llvm) = llvm else {
        bail!("no LLVM to build bpf-linker with: install LLVM's development files, or set {OVERRIDE}");
    };
    let linker = paths::linker().join("bin/bpf-linker");
    if !is_installed(&linker, llvm) {
        progress.announce();
        install(llvm)?;
    }
    Ok(linker)
}

/// Whether our own linker is there, of our version and for this LLVM, and runs.
fn is_installed(linker: &Path, llvm: &Llvm) -> bool {
    let record = fs::read_to_string(paths::linker().join(".crates2.json")).unwrap_or_default();
    record.contains(&format!("\"features\":[\"{}\"]", feature(llvm)))
        && run::output(Command::new(linker).arg("--version"))
            .is_ok_and(|version| version == format!("bpf-linker {VERSION}"))
}

/// Installs our own linker.
fn install(llvm: &Llvm) -> Result<()> {
    let mut command = cargo::isolated(cargo::program());
    command.args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force", "--no-default-features"]);
    command.args(["--features", &feature(llvm), "--root"]).arg(paths::linker());
    command.env("LLVM_PREFIX", &llvm.prefix).env(format!("LLVM_SYS_{}1_PREFIX", llvm.major), &llvm.prefix);
    // Cargo would advise to put the directory on PATH; nobody needs it there.
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain([paths::linker().join("bin")]);
    if let Ok(path) = env::join_paths(directories) {
        command.env("PATH", path);
    }
    run::stream(&mut command, || ()).context("bpf-linker cannot be installed")
}

/// The feature of `bpf-linker` for the LLVM.
fn feature(llvm: &Llvm) -> String {
    format!("llvm-{}", llvm.major)
}
