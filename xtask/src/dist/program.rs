//! The two programs that are handed out: as it is built, and linked statically.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{cargo, paths, run};

/// Builds the static program.
pub fn build_static() -> Result<()> {
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut command = cargo::host();
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    command.args(["build", "--release", "--package", "leak-user", "--target", &target]);
    run::stream(&mut command, || eprintln!("compiling leaktrace, linked statically …"))
        .context("leaktrace cannot be linked statically")?;
    let program = paths::static_leaktrace();
    let headers =
        run::output(Command::new("readelf").args(["--wide", "--program-headers", "--dynamic"]).arg(&program))?;
    ensure!(
        !headers.contains("INTERP") && !headers.contains("(NEEDED)"),
        "{} was to be static, and asks for shared libraries",
        paths::short(&program)
    );
    Ok(())
}

/// Copies a program without its debug information.
pub fn strip(from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new("strip");
    command.args(["--strip-unneeded", "--remove-section=.comment", "-o"]).args([to, from]);
    run::run(&mut command)
}
