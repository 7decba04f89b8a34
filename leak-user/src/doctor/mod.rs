//! What the running kernel, this user and the place that leaktrace runs in can do for a trace, found out by trying.
//!
//! Each check says what was found and, where that is less than the best, what it costs and what to change. [`examine`]
//! looks at everything but a target, [`examine_target`] at one process without touching it.

mod confinement;
mod kernel;
mod limits;
mod place;
mod programs;
mod rights;
mod target;

use procfs::process::Process;
use serde::Serialize;

use crate::probe::load::LinkKind;
pub use target::examine as examine_target;

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As good as can be.
    Good,
    /// Tracing works, with a drawback.
    Poor,
    /// Nothing can be traced.
    Bad,
}

/// What was found about one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// The thing, in a word or two.
    pub what: &'static str,
    /// How good it is.
    pub state: State,
    /// What was found. Fit for a terminal.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Check {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Good, found: found.into(), advice: None }
    }

    fn poor(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Poor, found: found.into(), advice: Some(advice.into()) }
    }

    fn bad(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what, state: State::Bad, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Makes all checks.
pub fn examine() -> Vec<Check> {
    let status = Process::myself().and_then(|process| process.status()).ok();
    let namespaces = place::Namespaces::own();
    let mut checks = vec![kernel::version(), kernel::types()];
    checks.extend(rights::capabilities(status.as_ref(), namespaces.user));
    checks.extend([rights::mapped_files(), kernel::lockdown()]);
    checks.extend(place::examine(namespaces));
    checks.extend(limits::examine());
    // Who may not load programs cannot find out what kinds there are.
    let mut loaded = None;
    if checks.iter().all(|check| check.state != State::Bad) {
        let kind = LinkKind::detect();
        checks.extend(kernel::maps());
        checks.extend([kernel::links(kind), kernel::walks()]);
        let programs = programs::examine(kind);
        loaded = Some(programs.iter().all(|check| check.state != State::Bad));
        checks.extend(programs);
    }
    checks.extend(confinement::examine(status.as_ref(), loaded));
    checks
}

/// Whether there is something among these that keeps everything from being traced.
pub fn is_hopeless(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.state == State::Bad)
}

/// The status of a process with this text in its `/proc/PID/status`.
#[cfg(test)]
fn status_of(changes: &[(&str, &str)]) -> procfs::process::Status {
    use procfs::FromBufRead as _;
    let mut text = std::fs::read_to_string("/proc/self/status").unwrap();
    for (name, value) in changes {
        let line = text.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap().to_owned();
        text = text.replace(&line, &format!("{name}:\t{value}"));
    }
    procfs::process::Status::from_buf_read(text.as_bytes()).unwrap()
}
