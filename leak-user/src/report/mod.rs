//! The [`Report`]: one value that says everything, and that every renderer is given whole.
//!
//! Serialized as it stands it is the `leaktrace.report/1` JSON document, so the JSON cannot say less than the table.
//! It holds names and numbers only: no address that means something in one process alone, and nothing of the kernel.

mod condition;
pub(crate) mod folded;
mod groups;
pub(crate) mod json;
mod outlook;
pub mod python;
mod render;
mod table;

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

pub use crate::{
    growth::Verdict,
    symbolize::{Frame, FrameKind},
};
pub use condition::Condition;
pub use groups::{By, Group, Groups};
pub use outlook::{Limit, Limiter, Outlook, Told};
#[cfg(test)]
pub(crate) use render::sample;
pub use render::{Format, Renderer, Style};
pub(crate) use table::{header, page, python as interpreters};

/// The state of one trace at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: Cow<'static, str>,
    /// When the report was made, RFC 3339 in UTC.
    pub time: String,
    /// Seconds since tracing began.
    pub elapsed_s: f64,
    /// Whether this is the last report of the trace.
    #[serde(rename = "final")]
    pub last: bool,
    /// The label given to this snapshot, if one was.
    pub label: Option<String>,
    /// The traced processes.
    pub processes: Vec<Process>,
    /// How the trace was made.
    pub mode: Mode,
    /// Sums over all stacks, also those that filters keep out of `stacks`.
    pub totals: Totals,
    /// What was lost, and where.
    pub loss: Loss,
    /// What tracing cost.
    pub cost: Cost,
    /// How far stacks were walked.
    pub walks: Walks,
    /// What all stacks amount to, also those that `stacks` has no room for.
    #[serde(default)]
    pub outlook: Outlook,
    /// The processes by what they have in common, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Groups>,
    /// What the heaps of interpreters hold, where a traced process runs Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<python::Python>,
    /// The stacks, in the order asked for, after filters.
    pub stacks: Vec<Stack>,
}

impl Report {
    /// A report of now, before the stacks are entered; not the last one.
    pub fn without_stacks(
        elapsed: Duration,
        processes: Vec<Process>,
        totals: Totals,
        loss: Loss,
        cost: Cost,
        walks: Walks,
        mode: Mode,
    ) -> Self {
        Self {
            schema: SCHEMA.into(),
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            elapsed_s: elapsed.as_secs_f64(),
            last: false,
            label: None,
            processes,
            mode,
            totals,
            loss,
            cost,
            walks,
            outlook: Outlook::default(),
            groups: None,
            python: None,
            stacks: Vec::new(),
        }
    }
}

/// The schema that this build writes.
pub const SCHEMA: &str = "leaktrace.report/1";

/// A traced process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Process id in leaktrace's PID namespace.
    pub pid: u32,
    /// When it started, RFC 3339: with the pid this names the process.
    pub start_time: String,
    /// The kernel's name for it (15 bytes), as the target set it: not to be printed raw.
    pub comm: String,
    /// Path of its program, as the target's mount namespace names it: not to be printed raw.
    pub exe: String,
    /// Path of its control group when tracing began, if it was in one: not to be printed raw.
    #[serde(default)]
    pub cgroup: Option<String>,
    /// Resident bytes now, or when last seen alive.
    pub rss_bytes: u64,
    /// Resident bytes when tracing began: memory that this report does not explain.
    pub rss_at_attach_bytes: u64,
    /// Whether it still runs.
    pub alive: bool,
    /// Mean bytes between samples now; 1 is every allocation.
    pub sample_bytes: u64,
    /// Seconds in which its allocations were watched.
    pub watched_s: f64,
    /// What of it is watched now.
    pub watching: Watching,
    /// Its part of the report's totals.
    #[serde(default)]
    pub totals: Totals,
    /// Bytes a second by which its stacks that leak do or, where none does, by which those that grow do. `None` where no
    /// stack was judged, as in the snapshots of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<f64>,
}

/// What of a process is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Watching {
    /// Allocations and frees.
    All,
    /// Frees of what was sampled.
    Frees,
    /// Nothing, until the next burst.
    Nothing,
    /// Nothing any more.
    Ended,
}

/// How the trace was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mode {
    /// Mean bytes between samples now; 1 is every allocation. Of several processes the greatest.
    pub sample_bytes: u64,
    /// How stacks are walked: `dwarf`, by unwind information, or `fp`, by frame pointers.
    pub unwind: Cow<'static, str>,
    /// By what probes are placed: `session`, `multi` or `perf`.
    pub links: Cow<'static, str>,
    /// The share of a process's CPU time that tracing it may take, per cent, if there is a limit.
    pub budget_pct: Option<f64>,
    /// What was changed to keep to it, in order.
    pub changes: Vec<Change>,
    /// The order of the stacks: `size`, `count`, `growth` or `age`.
    pub sorted_by: Cow<'static, str>,
}

/// A change of how a process is traced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Seconds since tracing began.
    pub at_s: f64,
    /// The process.
    pub pid: u32,
    /// Why, and what is done instead.
    pub what: String,
}

/// Sums over all stacks since tracing began. Estimates, rounded, where allocations were sampled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Bytes allocated since attach and not given back: each was watched for its free.
    pub outstanding_bytes: u64,
    /// Blocks of those.
    pub outstanding_count: u64,
    /// Bytes of which it is not known whether they were given back, for a time without probes.
    pub unknown_bytes: u64,
    /// Blocks of those.
    pub unknown_count: u64,
    /// Bytes allocated since attach, while allocations were watched.
    pub allocated_bytes: u64,
    /// Blocks of those.
    pub allocated_count: u64,
    /// Bytes given back, of those.
    pub freed_bytes: u64,
    /// Blocks of those.
    pub freed_count: u64,
    /// How far off the estimates are likely to be; none where every allocation was traced.
    #[serde(flatten)]
    pub errors: Option<TotalErrors>,
}

/// Standard errors of [`Totals`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TotalErrors {
    /// Of what a stack has, too.
    #[serde(flatten)]
    pub sums: SumErrors,
    /// Of `freed_bytes`.
    pub freed_bytes_stderr: f64,
    /// Of `freed_count`.
    pub freed_count_stderr: f64,
}

/// Standard errors of the sums of a [`Stack`], or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SumErrors {
    /// Of `outstanding_bytes`.
    pub outstanding_bytes_stderr: f64,
    /// Of `outstanding_count`.
    pub outstanding_count_stderr: f64,
    /// Of `unknown_bytes`.
    pub unknown_bytes_stderr: f64,
    /// Of `unknown_count`.
    pub unknown_count_stderr: f64,
    /// Of `allocated_bytes`.
    pub allocated_bytes_stderr: f64,
    /// Of `allocated_count`.
    pub allocated_count_stderr: f64,
}

/// How the walks of stacks have ended, one for each allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walks {
    /// At the bottom: `_start` or the beginning of a thread.
    pub whole: u64,
    /// At the greatest depth.
    pub too_deep: u64,
    /// At code whose unwind information is missing, or not read yet; or farther on, by frame pointer.
    pub no_rule: u64,
    /// At code whose unwind information is of a kind that is not understood.
    pub unsupported: u64,
    /// At what can be no frame.
    pub not_a_frame: u64,
    /// At memory that could not be read.
    pub unreadable: u64,
}

impl Walks {
    /// The share of stacks that are whole, 0 to 1, if there are any.
    pub fn whole_share(&self) -> Option<f64> {
        let Self { whole, too_deep, no_rule, unsupported, not_a_frame, unreadable } = *self;
        let all = whole + too_deep + no_rule + unsupported + not_a_frame + unreadable;
        (all > 0).then(|| whole as f64 / all as f64)
    }
}

/// What was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Allocations that happened and are in no figure.
    pub allocations: u64,
    /// Bytes of those.
    pub allocated_bytes: u64,
    /// Frees that were not recorded: blocks in this report may be long gone.
    pub frees: u64,
    /// Stacks cut at the greatest depth.
    pub stacks_truncated: u64,
    /// Gaps in what the probes saw: runs that the kernel says it left out, and children that were attached to only
    /// after they had begun to run.
    pub probes_missed: u64,
    /// Whether nothing at all was lost, so that every figure is exact.
    pub complete: bool,
}

/// What tracing cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Probe hits a second over the last interval.
    pub events_per_s: f64,
    /// Estimated share by which the target's own work is slowed, in per cent of its CPU time: hits times the cost of
    /// one, as measured on this machine. `None` until it is calibrated.
    pub target_slowdown_pct: Option<f64>,
    /// The same, in per cent of one core.
    pub target_core_pct: Option<f64>,
    /// CPU time of leaktrace, per cent of one core, over the last interval.
    pub tracer_cpu_pct: f64,
    /// Resident bytes of leaktrace.
    pub tracer_rss_bytes: u64,
}

/// What is known of one stack.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stack {
    /// Names the stack within this trace: 16 hexadecimal digits.
    pub id: String,
    /// The process it belongs to.
    pub pid: u32,
    /// Bytes allocated here and not given back. An estimate, like those below, where allocations were sampled.
    pub outstanding_bytes: u64,
    /// Blocks of those.
    pub outstanding_count: u64,
    /// Bytes allocated here of which it is not known whether they were given back, for a time without probes.
    pub unknown_bytes: u64,
    /// Blocks of those.
    pub unknown_count: u64,
    /// Bytes allocated here since attach, while allocations were watched.
    pub allocated_bytes: u64,
    /// Blocks of those.
    pub allocated_count: u64,
    /// How far off the estimates are likely to be; none where every allocation was traced.
    #[serde(flatten)]
    pub errors: Option<SumErrors>,
    /// Trend of the bytes held, outstanding and unknown, bytes a second of the time in which they were watched.
    pub bytes_per_s: f64,
    /// Age of the oldest outstanding block in seconds, 0 when there is none.
    pub oldest_s: f64,
    /// What its past and the ages of its blocks amount to.
    pub verdict: Verdict,
    /// How sure the verdict is, 0 to 1.
    pub confidence: f64,
    /// Why, in one sentence without its full stop.
    pub why: String,
    /// Whether the frames reach the bottom of the stack.
    pub complete: bool,
    /// From the allocator's caller outwards.
    pub frames: Vec<Frame>,
    /// The outstanding blocks themselves, largest first, when they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allocations: Vec<Allocation>,
}

impl Stack {
    /// Bytes that were not seen to be given back.
    pub fn held_bytes(&self) -> u64 {
        self.outstanding_bytes.saturating_add(self.unknown_bytes)
    }

    /// Blocks of those.
    pub fn held_count(&self) -> u64 {
        self.outstanding_count.saturating_add(self.unknown_count)
    }
}

/// One outstanding block.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Allocation {
    /// Its address in the target.
    pub address: u64,
    /// Bytes asked for.
    pub bytes: u64,
    /// Seconds since it was allocated.
    pub age_s: f64,
}
