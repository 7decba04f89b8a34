//! `cargo xtask`: the commands that build, show, check and hand out leaktrace.
//!
//! | file           | what it holds                                                       |
//! |----------------|---------------------------------------------------------------------|
//! | `build.rs`     | `build`: from a bare machine to `target/release/leaktrace`          |
//! | `demo.rs`      | `demo`: leaktrace on a program with three known leaks               |
//! | `test.rs`      | `test`: every test, the ones that need BPF included                 |
//! | `bench.rs`     | `bench`: what leaktrace costs, beside empty probes and other tracers  |
//! | `fuzz.rs`      | `fuzz`: random input for what reads bytes of hostile programs         |
//! | `lint.rs`      | `lint`: formatting and clippy, for the host and for BPF             |
//! | `dist/`        | `dist`: a Debian package, and an archive with a static program      |
//! | `toolchain.rs` | finds (or installs) a compiler for the kernel programs              |
//! | `linker.rs`    | finds (or installs) `bpf-linker`, and the LLVM under it             |
//! | `programs.rs`  | compiles the kernel programs with the two                           |
//! | `targets.rs`   | compiles the programs that leaktrace is tried on                    |
//! | `exports.rs`   | writes the exports and pages that other programs are to read in tests |
//! | `python.rs`    | Python packages that tests need, in an environment of their own     |
//! | `prometheus.rs` | Prometheus, which tests ask what it has read of leaktrace           |
//! | `tools.rs`     | the tools that tests drive: compilers, Redis, a browser             |
//! | `clean_debian.rs` | a Debian to install the package on, for `test --full`            |
//! | `packages.rs`  | Debian packages: what would be installed, and installing it         |
//! | `cargo.rs`     | calls of cargo that do not inherit the calling cargo's choices      |
//! | `run.rs`       | running commands, as oneself or as root                             |
//! | `signals.rs`   | Ctrl-C, and child processes that must not outlive this one          |
//! | `progress.rs`  | a line per step, none where there was nothing to do                 |
//! | `paths.rs`     | where everything lies                                               |
//!
//! A new command is a file with a `run` function, a variant of [`Task`] and an arm in [`main`].
//! Everything here is for people who have the source; nothing of it is in the product.

mod bench;
mod build;
mod cargo;
mod clean_debian;
mod demo;
mod dist;
mod exports;
mod fuzz;
mod linker;
mod lint;
mod packages;
mod paths;
mod programs;
mod progress;
mod prometheus;
mod python;
mod run;
mod signals;
mod targets;
mod test;
mod toolchain;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// leaktrace's development commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// What to do.
#[derive(Subcommand)]
enum Task {
    /// Build the kernel programs and target/release/leaktrace, and first whatever that needs
    Build,
    /// Build, then watch leaktrace find three leaks in a small program (about 15 seconds)
    Demo,
    /// Build, then run all tests (they load BPF programs: as root, or through sudo)
    Test(test::Options),
    /// Build, then measure what leaktrace costs beside empty probes and other tracers (about five minutes)
    Bench(bench::Options),
    /// Build with cargo-fuzz (installed first where it is missing), then feed the parsers nonsense
    Fuzz(fuzz::Options),
    /// Build, then make a Debian package and an archive with a static program in target/dist
    Dist(dist::Options),
    /// Check formatting, and run clippy on everything, warnings being errors
    Lint,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Build => build::run(),
        Task::Demo => demo::run(),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Dist(options) => dist::run(&options),
        Task::Lint => lint::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
