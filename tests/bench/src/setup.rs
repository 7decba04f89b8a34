//! Where what is measured lies, as `cargo xtask bench` says it.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};

/// Places of what the benchmark needs and makes.
pub struct Setup {
    /// The programs of `tests/targets`, compiled.
    pub targets: PathBuf,
    /// leaktrace.
    pub binary: PathBuf,
    /// The empty kernel programs.
    pub floor_object: PathBuf,
    /// Where the tables go.
    pub output: PathBuf,
}

impl Setup {
    /// Takes them from the environment.
    pub fn from_environment() -> Result<Self> {
        let place = |name: &str| {
            env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set; run `cargo xtask bench`"))
        };
        Ok(Self {
            targets: place("LEAKTRACE_TARGETS")?,
            binary: place("LEAKTRACE_BIN")?,
            floor_object: place("LEAKTRACE_FLOOR_OBJECT")?,
            output: place("LEAKTRACE_BENCH_OUTPUT")?,
        })
    }
}
