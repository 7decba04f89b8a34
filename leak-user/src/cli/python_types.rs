//! `leaktrace python-types`: what a running Python's heap holds, by type.

use std::{
    io::{self, BufWriter},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use super::{
    Outcome,
    args::{pid, style},
    offline::finish,
};
use crate::{
    process::{identity::Target, memory_use},
    python::{
        heap::Heap,
        interpreter::Interpreter,
        snapshot::Snapshot,
        type_report::{Sums, TypeReport},
    },
    report::Format,
    text::printable,
    units::parse_duration,
};

/// Of what the system still has, the copy of a process may take a half.
const SHARE_OF_AVAILABLE: u64 = 2;

#[derive(Args, Debug)]
pub struct PythonTypes {
    /// The process
    #[arg(value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pid: u32,
    /// Show at most so many types
    #[arg(short = 'T', long, value_name = "N", default_value = "20", value_parser = top, allow_negative_numbers = true)]
    top: usize,
    /// Look twice, so long apart, and show what grew meanwhile
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    interval: Option<Duration>,
    /// table, or json (one document)
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// Looks, and says what was found.
pub fn python_types(args: &PythonTypes) -> Outcome {
    ensure!(args.format != Format::Folded, "types have no folded form; give table or json");
    let process = Target::open(args.pid)?;
    let interpreter = Interpreter::find(args.pid)
        .with_context(|| format!("the objects of process {} cannot be counted", args.pid))?
        .with_context(|| {
            let comm = printable(&process.comm);
            format!("process {} ({comm}) runs no CPython; give the PID of a program in Python", args.pid)
        })?;
    let earlier = match args.interval {
        None => None,
        Some(interval) => {
            let sums = Sums::of(&Heap::scan(&interpreter, &copy(&interpreter)?)?);
            sleep(interval);
            Some(sums)
        }
    };
    let snapshot = copy(&interpreter)?;
    let heap = Heap::scan(&interpreter, &snapshot)?;
    let report = TypeReport::of(args.pid, &process.comm, &heap, earlier.as_ref(), args.top);
    finish(BufWriter::new(io::stdout().lock()), |out| -> Result<()> {
        if args.format == Format::Json {
            serde_json::to_writer(&mut *out, &report)?;
            return Ok(writeln!(out)?);
        }
        Ok(report.write(style(), out)?)
    })?;
    Ok(None)
}

fn copy(interpreter: &Interpreter) -> Result<Snapshot> {
    let available = memory_use::limits_of(interpreter.pid).system_available_bytes;
    Snapshot::take(interpreter, available.map_or(u64::MAX, |bytes| bytes / SHARE_OF_AVAILABLE))
}

fn top(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("\"{}\" is not a number of types; give 1 or more", printable(text))),
    }
}
