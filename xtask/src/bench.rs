//! `cargo xtask bench`: what leaktrace costs, as ratios measured in one run.
//!
//! The measuring itself is a program of its own, `tests/bench`; here it is built with all that it measures, and run
//! as root. What it compares with and does not find, it names.

use std::{
    env,
    ffi::{OsStr, OsString},
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{build, cargo, paths, run, targets};

/// The programs of `tests/targets` that are measured.
const TARGETS: [&str; 3] = ["pair", "pair-nofp", "churn"];

/// Where bcc finds kernel headers, as its users say it. sudo would not pass it on.
const PASSED_ON: &str = "BCC_KERNEL_SOURCE";

/// The options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    /// Only these: pair, pair-2, pair-4, churn, redis-1, redis-16, python, walks, or redis-budget, which takes five
    /// minutes and is measured only when named
    scenario: Vec<String>,
}

/// Builds and measures.
pub fn run(options: &Options) -> Result<()> {
    build::run()?;
    for target in TARGETS {
        targets::compile(target)?;
    }
    run::run(cargo::host().args(["build", "--release", "--package", "leak-bench"]))
        .context("the benchmark does not compile")?;
    // Before whatever else the machine does, with all that it measures: else that would be measured too.
    let mut bench = run::as_root("nice");
    bench.args(["-n", "-10", "env"]);
    for (name, path) in [
        ("LEAKTRACE_BIN", paths::leaktrace()),
        ("LEAKTRACE_TARGETS", paths::targets()),
        ("LEAKTRACE_FLOOR_OBJECT", paths::floor_object()),
        ("LEAKTRACE_BENCH_OUTPUT", paths::bench()),
    ] {
        bench.arg(assignment(name, path.as_os_str()));
    }
    if let Some(value) = env::var_os(PASSED_ON) {
        bench.arg(assignment(PASSED_ON, &value));
    }
    bench.arg(paths::target().join("release/leak-bench")).args(&options.scenario);
    run::run(&mut bench)
}

/// `NAME=value` as env(1) takes it.
fn assignment(name: &str, value: &OsStr) -> OsString {
    let mut assignment = OsString::from(name);
    assignment.push("=");
    assignment.push(value);
    assignment
}
