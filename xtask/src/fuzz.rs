//! `cargo xtask fuzz`: random input for what reads bytes that a traced program controls.
//!
//! The fuzzers are a workspace of their own, `tests/fuzz`, compiled by cargo-fuzz with its address sanitizer; stable Rust
//! has both once it is told to pass for a nightly. What they start from is made here of programs that are compiled
//! anyway, so that the repository holds none; what they find worth keeping stays under `target/fuzz` for the next time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::progress::Progress;
use crate::{build, cargo, paths, run, targets};

/// The version of cargo-fuzz that is installed.
const VERSION: &str = "0.13.2";

/// The fuzzers, by the name of their file in `tests/fuzz/fuzz_targets`.
const FUZZERS: [&str; 6] = ["eh_frame", "cache", "step", "perf_map", "python_heap", "session"];

/// Programs whose `.eh_frame` the fuzzers start from.
const SAMPLES: [&str; 2] = ["first", "demo"];

/// A perf map of functions that overlap.
const PERF_MAP: &str = "1000 100 one\n0x1040 0x10 two words\n10f0 20 three\n";

/// What every fuzzer is told: largest input in bytes, memory in MiB, seconds for one input.
const LIMITS: [&str; 3] = ["-max_len=65536", "-rss_limit_mb=2048", "-timeout=10"];

/// The options of `cargo xtask fuzz`.
#[derive(Args)]
pub struct Options {
    /// Seconds for each of the fuzzers
    #[arg(default_value_t = 20)]
    seconds: u32,
}

/// Builds and runs them, one after the other.
pub fn run(options: &Options) -> Result<()> {
    // leak-user takes in the kernel programs.
    build::build_programs(&mut Progress::new(3))?;
    let cargo_fuzz = cargo_fuzz()?;
    let seeds = seeds()?;
    for fuzzer in FUZZERS {
        let corpus = paths::fuzz().join("corpus").join(fuzzer);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", paths::short(&corpus)))?;
        let mut command = cargo::with_rustc(&cargo_fuzz, Path::new(&cargo::rustc()));
        command.env("CARGO_TARGET_DIR", paths::fuzz());
        command.args(["run", "--fuzz-dir"]).arg(paths::root().join("tests/fuzz")).arg(fuzzer);
        command.args([&corpus, &seeds]).arg("--").args(LIMITS).arg(format!("-max_total_time={}", options.seconds));
        run::run(&mut command)
            .with_context(|| format!("the fuzzer {fuzzer} has found something: its lines above say what"))?;
    }
    eprintln!("{} fuzzers found nothing in {} s each", FUZZERS.len(), options.seconds);
    Ok(())
}

/// Our own cargo-fuzz, installed first where it is missing.
fn cargo_fuzz() -> Result<PathBuf> {
    let program = paths::cargo_fuzz().join("bin/cargo-fuzz");
    let is_installed = run::output(Command::new(&program).arg("--version"))
        .is_ok_and(|version| version == format!("cargo-fuzz {VERSION}"));
    if !is_installed {
        let mut command = cargo::isolated(cargo::program());
        // It only calls cargo: a slow one is as good, and there sooner.
        command.args(["install", "cargo-fuzz", "--version", VERSION, "--locked", "--force", "--debug", "--root"]);
        run::stream(command.arg(paths::cargo_fuzz()), || ()).context("cargo-fuzz cannot be installed")?;
    }
    Ok(program)
}

/// A directory with what the fuzzers start from: programs, their `.eh_frame`, and a perf map.
fn seeds() -> Result<PathBuf> {
    let directory = paths::fuzz().join("seeds");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", paths::short(&directory)))?;
    for sample in SAMPLES {
        let program = targets::compile(sample)?;
        let section = directory.join(sample);
        run::run(
            Command::new("objcopy").args(["-O", "binary", "--only-section=.eh_frame"]).args([&program, &section]),
        )?;
        run::run(Command::new("strip").arg("-o").args([&directory.join(format!("{sample}.elf")), &program]))?;
    }
    let map = directory.join("perf.map");
    fs::write(&map, PERF_MAP).with_context(|| format!("cannot write {}", paths::short(&map)))?;
    Ok(directory)
}
