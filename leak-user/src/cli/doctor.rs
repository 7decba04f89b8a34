//! `leaktrace doctor`: what this kernel, this user and this place can do, and what to change.

use anyhow::{Result, bail, ensure};
use clap::Args;
use serde::Serialize;

use super::args::pid;
use crate::{
    doctor::{self, Check, State},
    report::Format,
};

#[derive(Args, Debug)]
pub struct Doctor {
    /// Also say whether this process could be traced, without touching it
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pid: Option<u32>,
    /// table, or json (one document)
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// What was found, for programs.
#[derive(Serialize)]
struct Document<'c> {
    schema: &'static str,
    /// Whether something can be traced: of one process, that.
    can_trace: bool,
    checks: &'c [Check],
    pid: Option<u32>,
    /// Of the process.
    process: Option<&'c [Check]>,
}

/// Checks, and prints a line for each check. Fails when nothing, or not the process, can be traced.
pub fn doctor(args: &Doctor) -> Result<()> {
    ensure!(args.format != Format::Folded, "what a doctor finds has no folded form; give table or json");
    let checks = doctor::examine();
    let process = args.pid.map(doctor::examine_target);
    let (is_hopeless, is_lost) = (doctor::is_hopeless(&checks), process.as_deref().is_some_and(doctor::is_hopeless));
    if args.format == Format::Json {
        let can_trace = !is_hopeless && !is_lost;
        let document = Document {
            schema: "leaktrace.doctor/1",
            can_trace,
            checks: &checks,
            pid: args.pid,
            process: process.as_deref(),
        };
        println!("{}", serde_json::to_string(&document)?);
    } else {
        checks.iter().for_each(print);
        if let (Some(pid), Some(process)) = (args.pid, &process) {
            println!("\nprocess {pid}:");
            process.iter().for_each(print);
        }
    }
    if is_hopeless {
        bail!("this user cannot trace anything on this machine yet; the lines marked BAD say what to change");
    }
    if let Some(pid) = args.pid.filter(|_| is_lost) {
        bail!("process {pid} cannot be traced; the lines marked BAD say what to change");
    }
    Ok(())
}

fn print(check: &Check) {
    let mark = match check.state {
        State::Good => "ok  ",
        State::Poor => "poor",
        State::Bad => "BAD ",
    };
    println!("{mark}  {:<19}  {}", check.what, check.found);
    if let Some(advice) = &check.advice {
        println!("      {:<19}  -> {advice}", "");
    }
}
