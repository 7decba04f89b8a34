//! The leaktrace that looks: how it is started, ended and waited for.

use std::{os::fd::OwnedFd, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    time::timeout,
};

use super::finding::Finding;
use crate::process::who::{Names, Who};

/// A report is never longer, nor what is said beside it.
const LONGEST: u64 = 16 << 20;

/// A verdict counts from a stack's first seconds, so that a look is a little longer.
const LEAD: Duration = Duration::from_secs(3);

/// A look that does not end by itself by then is ended.
const GRACE: Duration = Duration::from_mins(1);

/// How processes are looked at.
#[derive(Clone, Debug)]
pub struct Manner {
    /// For how long.
    pub time: Duration,
    /// The share of the process's CPU time that it may take, as it is typed.
    pub budget: String,
    /// Conditions that are held against what it finds, as they are typed.
    pub fail_on: Vec<String>,
}

/// What came of a look.
pub struct Outcome {
    /// At whom.
    pub who: Who,
    /// What it is known by.
    pub names: Names,
    /// Where its session is.
    pub session: PathBuf,
    /// What was found, or why nothing was.
    pub found: Result<Finding>,
}

/// A look that is under way, from outside.
#[derive(Debug)]
pub struct Look {
    /// At whom.
    pub who: Who,
    /// Where its session is written.
    pub session: PathBuf,
    /// Its pid may be another's once it has ended.
    pidfd: OwnedFd,
}

/// A look that is under way, to be waited for.
pub struct Running {
    who: Who,
    names: Names,
    session: PathBuf,
    child: Child,
    time: Duration,
}

/// Begins a look. It samples a block every `period` bytes on average or, if none is given, as the budget allows.
pub fn begin(
    who: Who,
    names: Names,
    period: Option<u64>,
    manner: &Manner,
    session: PathBuf,
) -> Result<(Look, Running)> {
    let seconds = (manner.time + LEAD).as_secs_f64().to_string();
    let mut command = Command::new("/proc/self/exe");
    command.args(["--pid", &who.pid.to_string(), "--duration", &seconds, "--budget", &manner.budget]);
    if let Some(period) = period {
        command.args(["--sample", &period.to_string()]);
    }
    for condition in &manner.fail_on {
        command.args(["--fail-on", condition]);
    }
    let child = command
        .args(["--sort", "growth", "--top", "1", "--format", "json"])
        .arg("--write")
        .arg(&session)
        // One report, at the end.
        .arg((manner.time + GRACE).as_secs().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("leaktrace cannot start itself for a look")?;
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("the look ended at once")?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("the look ended at once")?;
    let look = Look { who, session: session.clone(), pidfd };
    Ok((look, Running { who, names, session, child, time: manner.time }))
}

impl Look {
    /// Asks it to end, with a last report.
    pub fn end(&self) {
        // It may have ended by itself.
        let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
    }
}

impl Running {
    /// Waits until it has ended.
    pub async fn finish(mut self) -> Outcome {
        let (report, notes) = (self.child.stdout.take(), self.child.stderr.take());
        let whole = async {
            let (report, notes) = tokio::join!(read(report), read(notes));
            (self.child.wait().await, report, notes)
        };
        let found = match timeout(self.time + GRACE, whole).await {
            Ok((status, report, notes)) => {
                status.map_err(Into::into).and_then(|status| Finding::of(status, &report, &notes, self.who))
            }
            // What is left of it dies with its handle.
            Err(_) => Err(anyhow!("the look did not end in time and was broken off")),
        };
        Outcome { who: self.who, names: self.names, session: self.session, found }
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What came before an error is still told.
        let _ = from.take(LONGEST).read_to_end(&mut bytes).await;
    }
    bytes
}
