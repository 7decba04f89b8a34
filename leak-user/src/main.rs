//! leaktrace: finds memory leaks in programs that are already running.
//!
//! Data flows one way: process, probe, ring, ledger, growth, symbolize, report. `trace` is the loop that carries it,
//! `cli` what a person types. README.md shows how it is used.

use std::process::ExitCode;

mod cli;
mod growth;
mod ledger;
mod notice;
mod probe;
mod process;
mod report;
mod symbolize;
mod text;
mod trace;
mod units;

fn main() -> ExitCode {
    cli::main()
}
