//! `leaktrace run -- CMD` and `-c 'CMD'`: launch a program and trace it from its first allocation.

use std::ffi::OsString;

use anyhow::bail;

use super::{
    Outcome,
    args::{Origin, Run, TraceArgs},
    block_on,
};
use crate::trace::{Launched, Trace};

/// Launches the program after `--`.
pub fn run(args: &Run) -> Outcome {
    launch(&args.command, &args.trace)
}

/// Launches a command line, split as a shell splits words.
pub fn run_line(line: &str, args: &TraceArgs) -> Outcome {
    let Some(words) = shlex::split(line).filter(|words| !words.is_empty()) else {
        bail!("-c {} is not a command line; close its quotes, or use `run -- CMD`", crate::text::printable(line));
    };
    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    launch(&words, args)
}

fn launch(command: &[OsString], args: &TraceArgs) -> Outcome {
    let plan = args.plan(Origin::Launched)?;
    let metrics = args.metrics()?;
    block_on(async {
        let mut trace = Trace::new(plan, args.notices())?;
        if let Some((_, board)) = &metrics {
            trace.show_on(board.clone());
        }
        let mut launched = Launched::start(command)?;
        trace.launch(&mut launched)?;
        Box::pin(trace.run(args.renderer())).await
    })
}
