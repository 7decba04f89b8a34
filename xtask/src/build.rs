//! `cargo xtask build`: from a bare machine to `target/release/leaktrace`.
//!
//! It says what it does while it does it, and one line when there was nothing to do.

use anyhow::{Context, Result};

use crate::progress::Progress;
use crate::toolchain::{self, Toolchain};
use crate::{cargo, linker, paths, programs, run};

/// Builds, and says so.
pub fn run() -> Result<()> {
    let mut progress = Progress::new(4);
    build_programs(&mut progress)?;
    progress.begin("compiling leaktrace");
    let mut command = cargo::host();
    command.args(["build", "--release", "--package", "leak-user"]);
    run::stream(&mut command, || progress.announce()).context("leaktrace does not compile")?;
    progress.done("");
    let leaktrace = paths::leaktrace();
    let shown = paths::short(&leaktrace);
    if progress.spoke() {
        eprintln!("built {shown} in {}", progress.elapsed());
    } else {
        eprintln!("{shown} is up to date ({})", progress.elapsed());
    }
    Ok(())
}

/// The three steps to the kernel programs; gives the toolchain and the linker that made them.
pub fn build_programs(progress: &mut Progress) -> Result<(Toolchain, std::path::PathBuf)> {
    progress.begin("finding a BPF toolchain");
    let toolchain = toolchain::find(progress)?;
    progress.done(&toolchain.name);
    progress.begin("finding bpf-linker");
    let linker = linker::find(toolchain.llvm.as_ref(), progress)?;
    progress.done(&paths::short(&linker).to_string());
    progress.begin("compiling the kernel programs");
    programs::compile(&toolchain, &linker, || progress.announce())?;
    progress.done("");
    Ok((toolchain, linker))
}
