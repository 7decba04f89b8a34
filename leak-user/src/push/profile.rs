//! What is sent: a program's profile, the time that it is of, and its labels.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use humantime::parse_rfc3339;
use serde::{Deserialize, Serialize};

use super::labels::{self, Labels};
use crate::{export::write_pprof_for_server, session::View};

/// A profile, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// What it is of.
    pub head: Head,
    /// A gzipped pprof.
    pub pprof: Vec<u8>,
}

/// What a profile is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Seconds since 1970 at which tracing began.
    pub from: u64,
    /// Seconds since 1970 of the snapshot that the profile is of.
    pub until: u64,
    /// What to find it by.
    pub labels: Labels,
}

/// The profiles of a session: one for each name that its processes have, in the order of names.
pub fn of_session(view: View, given: &[(String, String)]) -> Result<Vec<Profile>> {
    let report = &view.last().report;
    let time = parse_rfc3339(&report.time).context("the session's time is none; record it again")?;
    let until = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let from = until.saturating_sub(report.elapsed_s.max(0.0).ceil() as u64);
    let mut profiles = Vec::new();
    for (comm, view) in by_name(view) {
        let mut pprof = Vec::new();
        write_pprof_for_server(&view, &mut pprof)?;
        profiles.push(Profile { head: Head { from, until, labels: labels::of_program(&comm, given) }, pprof });
    }
    Ok(profiles)
}

/// The view in parts, each of the processes of one name.
fn by_name(mut view: View) -> BTreeMap<String, View> {
    let processes = view.last().report.processes.clone();
    let stacks = std::mem::take(&mut view.stacks);
    // Of the snapshots a profile has the last alone.
    view.snapshots.drain(..view.snapshots.len() - 1);
    let mut parts = BTreeMap::new();
    for process in &processes {
        let part = parts.entry(process.comm.clone()).or_insert_with(|| {
            let mut part = view.clone();
            part.snapshots[0].report.processes.clear();
            part
        });
        part.snapshots[0].report.processes.push(process.clone());
    }
    for stack in stacks {
        let owner = processes.iter().find(|process| process.pid == stack.pid).or(processes.first());
        if let Some(part) = owner.and_then(|owner| parts.get_mut(&owner.comm)) {
            part.stacks.push(stack);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::sample;

    #[test]
    fn each_name_has_a_profile_of_its_own() {
        let mut view = sample::redis();
        let last = view.snapshots.len() - 1;
        let processes = &mut view.snapshots[last].report.processes;
        let mut other = processes[0].clone();
        (other.pid, other.comm) = (7, "worker".to_owned());
        processes.push(other);
        view.stacks[1].pid = 7;
        let parts = by_name(view.clone());
        assert_eq!(parts.keys().map(String::as_str).collect::<Vec<_>>(), ["redis-server", "worker"]);
        assert_eq!(parts["worker"].stacks.len(), 1);
        assert_eq!(parts["redis-server"].stacks.len(), view.stacks.len() - 1);
        let profiles = of_session(view, &[]).unwrap();
        assert_eq!(profiles[1].head.labels["comm"], "worker");
        assert!(profiles[0].head.from < profiles[0].head.until);
    }
}
