//! A look at one process: leaktrace itself, started once more, for a while and into a session.
//!
//! A process of its own, so that whatever it meets in another's memory ends no more than the look, and the watch stays as
//! small as it was. It samples as finely as the rise asks for, and keeps to its budget by itself.

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    time::timeout,
};

use super::{census::Who, lists::Names};
use crate::{growth::Rise, process::identity::start_time, text::printable, units::rate};

/// A report is never longer, nor what is said beside it.
const LONGEST: u64 = 16 << 20;

/// A verdict counts from a stack's first seconds, so that a look is a little longer.
const LEAD: Duration = Duration::from_secs(3);

/// A look that does not end by itself by then is ended.
const GRACE: Duration = Duration::from_mins(1);

/// Samples of the rise that a look should see.
const SAMPLES: f64 = 200.0;

/// As finely as any look samples, and as coarsely, in bytes.
const PERIODS: (f64, f64) = (1024.0, 524_288.0);

/// Functions that a stack is told by.
const FUNCTIONS: usize = 3;

/// How processes are looked at.
#[derive(Clone, Debug)]
pub struct Manner {
    /// For how long.
    pub time: Duration,
    /// The share of the process's CPU time that it may take, as it is typed.
    pub budget: String,
}

/// What came of a look.
pub struct Outcome {
    /// At whom.
    pub who: Who,
    /// What it is known by.
    pub names: Names,
    /// Where its session is.
    pub session: PathBuf,
    /// Bytes a second of the rise that led to it.
    pub rise: f64,
    /// What was found, or why nothing was.
    pub found: Result<Found>,
}

/// What a look has found.
#[derive(Clone, Debug)]
pub struct Found {
    /// In words.
    pub words: String,
    /// The stack that grows the most, if there is any.
    pub top: Option<Top>,
}

/// The stack that grows the most. What it is called is not to be printed raw.
#[derive(Clone, Debug)]
pub struct Top {
    /// What it amounts to.
    pub verdict: String,
    /// Its trend.
    pub bytes_per_s: f64,
    /// The innermost function that has a name, or else the module.
    pub function: String,
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
    rise: f64,
    child: Child,
    time: Duration,
}

/// Begins a look.
pub fn begin(who: Who, names: Names, rise: &Rise, manner: &Manner, session: PathBuf) -> Result<(Look, Running)> {
    let period = (rise.bytes_per_s() * manner.time.as_secs_f64() / SAMPLES).clamp(PERIODS.0, PERIODS.1);
    let seconds = (manner.time + LEAD).as_secs_f64().to_string();
    let child = Command::new("/proc/self/exe")
        .args(["--pid", &who.pid.to_string(), "--duration", &seconds, "--budget", &manner.budget])
        .args(["--sample", &(period as u64).to_string(), "--sort", "growth", "--top", "1", "--format", "json"])
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
    Ok((look, Running { who, names, session, rise: rise.bytes_per_s(), child, time: manner.time }))
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
                status.map_err(Into::into).and_then(|status| told(status, &report, &notes, self.who))
            }
            // What is left of it dies with its handle.
            Err(_) => Err(anyhow!("the look did not end in time and was broken off")),
        };
        Outcome { who: self.who, names: self.names, session: self.session, rise: self.rise, found }
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

/// What the last report says, or else why there is none.
fn told(status: ExitStatus, report: &[u8], notes: &[u8], who: Who) -> Result<Found> {
    let last = report.rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty());
    let report = last.and_then(|line| serde_json::from_slice::<Value>(line).ok());
    let report = report.filter(|_| status.success()).with_context(|| {
        let notes = String::from_utf8_lossy(notes);
        let said = notes.lines().last().unwrap_or("it ended without a word").trim_start_matches("leaktrace: ");
        printable(said).into_owned()
    })?;
    let started = humantime::format_rfc3339_seconds(start_time(who.start_ticks)).to_string();
    ensure!(report["processes"][0]["start_time"] == started, "it ended, and another process has its pid by now");
    Ok(Found { words: findings(&report), top: top(&report) })
}

/// A report in one line: what it amounts to, and the stack that grows the most.
fn findings(report: &Value) -> String {
    let number = |key: &str| report["outlook"][key].as_u64().unwrap_or(0);
    let severity = report["outlook"]["severity"].as_str().unwrap_or("unknown");
    let summary = match (number("leaking"), number("growing")) {
        (0, 0) => "nothing leaks or grows".to_owned(),
        (0, growing) => format!("{growing} growing"),
        (leaking, 0) => format!("{leaking} leaking"),
        (leaking, growing) => format!("{leaking} leaking, {growing} growing"),
    };
    let top = report["stacks"].get(0).map_or_else(String::new, |stack| {
        let frames = stack["frames"].as_array().map_or(&[][..], Vec::as_slice);
        let names: Vec<String> = frames.iter().take(FUNCTIONS).map(function).collect();
        let verdict = stack["verdict"].as_str().unwrap_or("unknown");
        let pace = rate(stack["bytes_per_s"].as_f64().unwrap_or(f64::NAN));
        format!("; {} {pace} at {}", printable(verdict), names.join(" < "))
    });
    format!("{}: {summary}{top}", printable(severity))
}

/// The stack that grows the most, by what it is known by.
fn top(report: &Value) -> Option<Top> {
    let stack = report["stacks"].get(0)?;
    let frames = stack["frames"].as_array().map_or(&[][..], Vec::as_slice);
    let named = |key: &str| frames.iter().find_map(|frame| frame[key].as_str());
    Some(Top {
        verdict: stack["verdict"].as_str().unwrap_or("unknown").to_owned(),
        bytes_per_s: stack["bytes_per_s"].as_f64()?,
        function: named("function").or_else(|| named("module")).unwrap_or("unknown").to_owned(),
    })
}

fn function(frame: &Value) -> String {
    let name = frame["function"].as_str().or_else(|| frame["module"].as_str()).unwrap_or("?");
    let line = match (frame["file"].as_str(), frame["line"].as_u64()) {
        (Some(file), Some(line)) => format!(" ({}:{line})", printable(file.rsplit('/').next().unwrap_or(file))),
        _ => String::new(),
    };
    format!("{}{line}", printable(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_told_in_a_line_and_no_name_does_harm() {
        let report = json!({
            "outlook": { "severity": "critical", "leaking": 1, "growing": 2 },
            "stacks": [{ "verdict": "leak", "bytes_per_s": 8192.0, "frames": [
                { "function": "keep\u{1b}[2J", "file": "/src/app/cache.c", "line": 12 },
                { "function": null, "module": "libx.so" },
            ] }],
        });
        let said = findings(&report);
        assert_eq!(said.split('\u{1b}').count(), 1);
        assert!(said.starts_with("critical: 1 leaking, 2 growing; leak +8.0 KiB/s at keep"), "{said}");
        assert!(said.ends_with("(cache.c:12) < libx.so"), "{said}");
        assert_eq!(findings(&json!({})), "unknown: nothing leaks or grows");
        let top = super::top(&report).unwrap();
        assert_eq!((top.verdict.as_str(), top.function.as_str()), ("leak", "keep\u{1b}[2J"));
        assert!(super::top(&json!({})).is_none());
    }

    #[test]
    fn a_look_that_fails_says_why() {
        use std::os::unix::process::ExitStatusExt as _;
        let who = Who { pid: 7, start_ticks: 0 };
        let failed = told(ExitStatus::from_raw(2 << 8), b"", b"a note\nleaktrace: there is no process 7\n", who);
        assert_eq!(failed.unwrap_err().to_string(), "there is no process 7");
        let another = br#"{ "processes": [{ "pid": 7, "start_time": "1970-01-01T00:00:00Z" }] }"#;
        let failed = told(ExitStatus::from_raw(0), another, b"", who);
        assert!(failed.unwrap_err().to_string().contains("another process"));
    }
}
