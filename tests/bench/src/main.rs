//! What leaktrace costs, as ratios in one run. `cargo xtask bench` builds and starts it; it needs root.
//!
//! Each contender traces a process of its own that runs the same loop, and all stay attached while the loops take
//! turns: whatever else the machine does meets all of them alike. Absolute times are printed for orientation only.

mod loops;
mod probes;
mod table;
mod tracer;
mod walker;
mod walks;

use std::{
    env, fs,
    io::{IsTerminal, stderr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};

use leak_user::probe::load::LinkKind;
use loops::{Build, PairLoop};
use probes::{FLOOR, Probes};
use table::{Contender, Table};
use tracer::Leaktrace;

/// Turns that each loop takes.
const ROUNDS: usize = 15;

/// Milliseconds of one turn.
const TURN_MS: u64 = 200;

/// Frames of the loop's stack, beside those that start its thread.
const DEPTH: u32 = 5;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    let folder = |name: &str| {
        env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set; run `cargo xtask bench`"))
    };
    let targets = folder("LEAKTRACE_TARGETS")?;
    let binary = folder("LEAKTRACE_BIN")?;
    let floor_object = folder("LEAKTRACE_FLOOR_OBJECT")?;
    let output = folder("LEAKTRACE_BENCH_OUTPUT")?;

    let mut bare = PairLoop::start(&targets, Build::FramePointers, DEPTH)?;
    let mut floored = PairLoop::start(&targets, Build::FramePointers, DEPTH)?;
    let mut traced = PairLoop::start(&targets, Build::FramePointers, DEPTH)?;
    let floor = Probes::attach(&floor_object, floored.pid(), &FLOOR, LinkKind::detect())?;
    let leaktrace = Leaktrace::attach(&binary, traced.pid())?;

    let mut contenders = [
        Contender::new("no tracer"),
        Contender::new("floor: empty probes on malloc, its return, and free"),
        Contender::new("leaktrace, every allocation, stacks by unwind tables"),
    ];
    for round in 0..ROUNDS {
        for (contender, pair) in contenders.iter_mut().zip([&mut bare, &mut floored, &mut traced]) {
            contender.add(pair.run(TURN_MS)?);
        }
        show_progress(round, ROUNDS);
    }
    let loss = leaktrace.finish()?;

    let table =
        Table { title: format!("malloc(64) and free in a tight loop, {DEPTH} frames deep"), contenders: &contenders };
    let links = floor.links.name();
    let text = format!("{table}\nThe floor's probes are attached by {links}. leaktrace lost {loss}.\n");
    print!("{text}");
    fs::create_dir_all(&output)?;
    fs::write(output.join("pair.md"), &text).context("the table cannot be written")?;

    let text = walks::measure(&targets, &floor_object)?.to_string();
    print!("\n{text}");
    fs::write(output.join("walks.md"), &text).context("the table cannot be written")
}

/// Says on a terminal which round of how many is over.
fn show_progress(round: usize, rounds: usize) {
    if stderr().is_terminal() {
        eprint!("\rround {} of {rounds}{}", round + 1, if round + 1 == rounds { "\n" } else { "" });
    }
}
