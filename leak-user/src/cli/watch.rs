//! `leaktrace watch`: all processes for almost nothing, and a close look at those that grow.

use std::{path::PathBuf, time::Duration};

use anyhow::ensure;
use clap::Args;

use super::{Outcome, block_on, kept::Kept};
use crate::{
    metrics::Address,
    notice::Notices,
    text::printable,
    units::{parse_duration, parse_size, seconds},
    watch::{WatchPlan, watch as run},
};

#[derive(Args, Debug)]
pub struct Watch {
    /// Time between two rounds over all processes
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_duration)]
    interval: Duration,
    /// Look at a process that grew steadily for this long
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    within: Duration,
    /// And by at least this much
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = parse_size)]
    least_growth: u64,
    /// How long to trace it
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_duration)]
    look: Duration,
    /// Trace at most this many processes at a time
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    at_once: usize,
    /// Leave it alone for this long then; the time doubles with each look, up to a day
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    cool_down: Duration,
    #[command(flatten)]
    kept: Kept,
    /// Look only at processes whose name, program path or control group this matches (* and ?); may be given several times
    #[arg(long, value_name = "PATTERN")]
    allow: Vec<String>,
    /// Never look at these; may be given several times
    #[arg(long, value_name = "PATTERN")]
    deny: Vec<String>,
    /// Read more patterns from a file, `allow PATTERN` or `deny PATTERN` a line; again at SIGHUP
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Serve figures for Prometheus over HTTP, at /metrics of this port of the loopback address, or of HOST:PORT
    #[arg(long, value_name = "ADDR")]
    metrics: Option<Address>,
}

/// Watches until told to stop.
pub fn watch(args: &Watch) -> Outcome {
    ensure!(
        args.interval >= Duration::from_millis(100),
        "rounds every {} cost too much; give --interval 100ms or more",
        shown(args.interval)
    );
    ensure!(
        args.within >= args.interval * FEWEST_ROUNDS,
        "in --within {} there are too few rounds to tell growth by; give at least {FEWEST_ROUNDS} times --interval",
        shown(args.within)
    );
    let plan = WatchPlan {
        interval: args.interval,
        within: args.within,
        least_growth: args.least_growth,
        manner: args.kept.manner(args.look, Vec::new()),
        at_once: args.at_once,
        cool_down: args.cool_down,
        shelf: args.kept.shelf(),
        allow: args.allow.clone(),
        deny: args.deny.clone(),
        list: args.list.clone(),
        metrics: args.metrics,
    };
    block_on(run(plan, Notices::Normal)).map(|()| None)
}

/// Fewer levels show no trend.
const FEWEST_ROUNDS: u32 = 10;

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("\"{}\" is not a number of processes; give 1 or more", printable(text))),
    }
}

fn shown(time: Duration) -> String {
    seconds(time.as_secs_f64())
}
