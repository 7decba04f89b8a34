//! `cargo xtask lint`: formatting and clippy, warnings being errors, for the host and for the kernel programs.
//!
//! Clippy must be of the compiler that it judges for. A nightly has one beside its rustc; Debian has one in the
//! package `rust-web-clippy`. Where there is none, the compiler's own warnings are errors, and that is said.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Progress;
use crate::toolchain::Toolchain;
use crate::{build, cargo, packages, paths, programs, run};

/// Debian's package with the clippy of its `rustc-web`.
const PACKAGE: &str = "rust-web-clippy";

/// Checks everything.
pub fn run() -> Result<()> {
    // The compiler's version of leak-user takes in the kernel programs, so they come first.
    let mut progress = Progress::new(6);
    progress.begin("checking the formatting");
    run::run(cargo::host().args(["fmt", "--all", "--check"]))
        .context("the formatting differs: run `cargo fmt --all`")?;
    progress.done("well formatted");
    let (toolchain, linker) = build::build_programs(&mut progress)?;
    progress.begin("running clippy on the host's code");
    progress.announce();
    // As everything is built, so that what compiling takes (macros, C libraries) is compiled once.
    run::run(cargo::host().args(["clippy", "--workspace", "--all-targets", "--release", "--", "-D", "warnings"]))?;
    progress.done("no warnings");
    progress.begin("running clippy on the kernel programs");
    progress.announce();
    let judge = kernel_programs(&toolchain, &linker)?;
    progress.done(judge);
    eprintln!("no warnings anywhere ({})", progress.elapsed());
    Ok(())
}

/// Runs clippy on the kernel programs, or the compiler where it has no clippy; says which.
fn kernel_programs(toolchain: &Toolchain, linker: &Path) -> Result<&'static str> {
    let clippy = toolchain.rustc.with_file_name("cargo-clippy");
    if !clippy.exists() && toolchain.is_debians && packages::can_install() {
        packages::install(&[PACKAGE], "running clippy on the kernel programs", &[])?;
    }
    let has_clippy = clippy.exists();
    let mut command = if has_clippy {
        let mut command = cargo::with_rustc(&clippy, &toolchain.rustc);
        command.env("CARGO", &toolchain.cargo).arg("clippy");
        command
    } else {
        let mut command = cargo::with_rustc(&toolchain.cargo, &toolchain.rustc);
        command.arg("check");
        command
    };
    programs::arguments(&mut command, toolchain);
    command.arg("--target-dir").arg(paths::bpf());
    let more: &[&str] = if has_clippy { &[] } else { &["-Dwarnings"] };
    command.env("CARGO_ENCODED_RUSTFLAGS", programs::flags(linker, more));
    if has_clippy {
        command.args(["--", "-D", "warnings"]);
    }
    judge(&mut command, has_clippy)
}

/// Runs the chosen command; says what it was.
fn judge(command: &mut Command, has_clippy: bool) -> Result<&'static str> {
    run::run(command)?;
    Ok(if has_clippy { "no warnings" } else { "the compiler has no clippy; none of its own warnings" })
}
