//! `cargo xtask demo`: leaktrace on a program with three known leaks, and what to look at.
//!
//! The program is ours, is started here and is stopped here, also when something fails or is interrupted.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::signals::{self, Guarded};
use crate::{build, paths, run, targets};

/// Seconds between reports.
const INTERVAL: &str = "5";

/// Seconds altogether: three reports, and a little later the final one.
const DURATION: &str = "18";

/// Builds, shows, explains.
pub fn run() -> Result<()> {
    build::run()?;
    let program = targets::compile("demo")?;
    signals::outlive_interrupt();
    let mut demo = Guarded::start(Command::new(program).stdin(Stdio::null()).stdout(Stdio::null()))?;
    let process = demo.id().to_string();
    let mut leaktrace = run::as_root(paths::leaktrace());
    leaktrace.args(["-p", &process, "--duration", DURATION, INTERVAL]);
    eprintln!("\nThe demo runs as process {process}. Running {}\n", run::words(&leaktrace));
    run::run(&mut leaktrace)?;
    ensure!(!demo.ended()?, "the demo program ended by itself while it was traced: look at tests/targets/demo.c");
    drop(demo);
    println!("{EXPLANATION}");
    Ok(())
}

/// What the reports show.
const EXPLANATION: &str = "
What to look at
  The demo (tests/targets/demo.c) pretends to be a web service with three leaks and a healthy cache. In the stacks
  above, the first line names the function that allocates:
    cache_thumbnail      a thumbnail in a hundred requests is never evicted: the fastest leak
    remember_session     a session in four is never ended: many small blocks
    append_audit_line    the audit log is never flushed: the slowest leak, the last to be told from normal growth
    cache_page           the healthy cache: it holds memory too, but turns over and stays as large as it is

On a process of your own
  sudo target/release/leaktrace -p PID          until Ctrl-C, then the report
  sudo target/release/leaktrace -p PID 10 6     six reports, 10 seconds apart, the last of them final
  target/release/leaktrace --help               everything else";
