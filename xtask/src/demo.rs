//! `cargo xtask demo`: leaktrace on a program with three known leaks, and what to look at.
//!
//! The program is ours, is started here and is stopped here, also when something fails or is interrupted.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::signals::{self, Guarded};
use crate::{build, paths, run, targets};

/// Seconds between reports.
const INTERVAL: &str = "5";

/// Reports before the final one.
const COUNT: &str = "3";

/// Builds, shows, explains.
pub fn run() -> Result<()> {
    build::run()?;
    let program = targets::compile("demo")?;
    signals::outlive_interrupt();
    let mut demo = Guarded::start(Command::new(program).stdin(Stdio::null()).stdout(Stdio::null()))?;
    let process = demo.id().to_string();
    let mut leaktrace = run::as_root(paths::leaktrace());
    leaktrace.args(["-p", &process, INTERVAL, COUNT]);
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
  The demo (tests/targets/demo.c) leaks in three functions; all else that it allocates, it frees.
  Each stack in the final report should name one of them, and its numbers should grow from report to report:
    remember_session     sessions that are never forgotten
    append_audit_line    a log in memory that nobody trims
    cache_thumbnail      a cache without a limit

On a process of your own
  sudo target/release/leaktrace -p PID          until Ctrl-C, then the report
  sudo target/release/leaktrace -p PID 5 3      three reports, 5 seconds apart, then the final one
  target/release/leaktrace --help               everything else";
