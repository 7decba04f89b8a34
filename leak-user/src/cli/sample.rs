//! `leaktrace sample`: one look at a service, as a timer asks for it.

use std::time::Duration;

use anyhow::ensure;
use clap::Args;

use super::{Outcome, block_on, kept::Kept};
use crate::{
    notice::Notices,
    report::Condition,
    sample::{SamplePlan, sample as run},
    units::{parse_duration, seconds},
};

/// A shorter look judges nothing.
const SHORTEST: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub struct Sample {
    /// A systemd unit (nginx.service, or nginx), of which the main process is traced; or else the name of a program
    #[arg(value_name = "NAME")]
    name: String,
    /// How long to trace it
    #[arg(long = "for", value_name = "TIME", default_value = "2m", value_parser = parse_duration)]
    time: Duration,
    #[command(flatten)]
    kept: Kept,
    /// End with 1 if this holds at the end: leak, growth=RATE (such as 1M/min) or bytes=SIZE; several with commas
    #[arg(long, value_name = "CONDITION", value_delimiter = ',', value_parser = condition)]
    fail_on: Vec<String>,
}

/// Looks, and says what was found.
pub fn sample(args: &Sample) -> Outcome {
    ensure!(
        args.time >= SHORTEST,
        "in --for {} nothing can be told; give 5s or more",
        seconds(args.time.as_secs_f64())
    );
    let plan = SamplePlan {
        name: args.name.clone(),
        manner: args.kept.manner(args.time, args.fail_on.clone()),
        shelf: args.kept.shelf(),
    };
    block_on(run(plan, Notices::Normal))
}

/// A condition, as it is typed: the leaktrace that looks reads it again.
fn condition(text: &str) -> Result<String, String> {
    text.parse::<Condition>().map(|_| text.to_owned())
}
