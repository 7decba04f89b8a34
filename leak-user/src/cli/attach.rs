//! `leaktrace -p PID`: trace processes that are running.

use anyhow::bail;

use super::{
    Outcome,
    args::{Attach, Origin},
    block_on,
};
use crate::{
    process::identity::Target,
    python::interpreter::Interpreter,
    trace::{Plan, Trace},
};

/// Attaches to each process and reports until told to stop.
pub fn attach(args: &Attach) -> Outcome {
    let wanted = args.wanted.wanted();
    if args.pids.is_empty() && wanted.is_none() {
        bail!("nothing to trace; give -p PID, or `run -- CMD` to launch a program");
    }
    if let Some(wanted) = wanted.as_ref().filter(|wanted| wanted.is_gone()) {
        bail!("there is no process {}; `systemd-cgls` lists the control groups", wanted.describe());
    }
    let mut plan = Plan { wanted, ..args.trace.plan(Origin::Running)? };
    // A PID that cannot be traced is said before anything is loaded, and before privileges are asked for.
    for pid in &args.pids {
        Target::open(*pid)?;
    }
    // One that cannot be read is said when it is attached to.
    plan.python = plan.wanted.is_some() || args.pids.iter().any(|pid| !matches!(Interpreter::find(*pid), Ok(None)));
    let metrics = args.trace.metrics()?;
    block_on(async {
        let mut trace = Trace::new(plan, args.trace.notices())?;
        if let Some((_, board)) = &metrics {
            trace.show_on(board.clone());
        }
        for pid in &args.pids {
            trace.attach(*pid)?;
        }
        trace.take_on_wanted()?;
        Box::pin(trace.run(args.trace.renderer())).await
    })
}
