//! leaktrace: finds memory leaks in programs that are already running.
//!
//! Data flows one way: process, probe, ring, ledger, growth, symbolize, report. `trace` is the loop that carries it,
//! `cli` what a person types. This is a library so that the benchmark and the fuzzers reach the same code as the
//! program; it promises them nothing from one version to the next. README.md shows how leaktrace is used.

pub mod cli;
pub mod diff;
pub mod doctor;
pub mod export;
pub mod flame;
pub mod growth;
pub mod history;
pub mod ledger;
pub mod look;
pub mod memory;
pub mod metrics;
pub mod notice;
pub mod offline;
pub mod page;
pub mod plot;
pub mod probe;
pub mod process;
mod progress;
pub mod push;
pub mod python;
pub mod report;
pub mod sample;
pub mod session;
mod signals;
pub mod symbolize;
pub mod text;
pub mod trace;
pub mod units;
pub mod unwind;
pub mod watch;
