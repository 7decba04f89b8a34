//! `cargo xtask bench`: what leaktrace costs, as ratios measured in one run.
//!
//! The measuring itself is a program of its own, `tests/bench`; here it is built with all that it measures, and run
//! as root.

use std::{ffi::OsString, path::Path};

use anyhow::{Context, Result};

use crate::{build, cargo, paths, run, targets};

/// Builds and measures.
pub fn run() -> Result<()> {
    build::run()?;
    targets::compile("pair")?;
    targets::compile("pair-nofp")?;
    run::run(cargo::host().args(["build", "--release", "--package", "leak-bench"]))
        .context("the benchmark does not compile")?;
    let mut bench = run::as_root("env");
    for (name, path) in [
        ("LEAKTRACE_BIN", paths::leaktrace()),
        ("LEAKTRACE_TARGETS", paths::targets()),
        ("LEAKTRACE_FLOOR_OBJECT", paths::floor_object()),
        ("LEAKTRACE_BENCH_OUTPUT", paths::bench()),
    ] {
        bench.arg(assignment(name, &path));
    }
    bench.arg(paths::target().join("release/leak-bench"));
    run::run(&mut bench)
}

/// `NAME=value` as env(1) takes it.
fn assignment(name: &str, value: &Path) -> OsString {
    let mut assignment = OsString::from(name);
    assignment.push("=");
    assignment.push(value);
    assignment
}
