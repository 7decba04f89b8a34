//! What has changed between two sessions, or between two moments of one.
//!
//! Stacks are the same by the names of their functions (see `calls`), so that another build still compares. Sessions of
//! different lengths are made comparable: what grows in the shorter one is carried on at its own rate until it is as long
//! as the longer, and what does not grow stays as it is. Two moments of one trace are compared as they are. Differences
//! add up: those of all stacks are the difference of the totals. Leaves out whether a change matters to the program.

mod calls;
mod change;
mod held;
mod page;
mod sentence;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use foldhash::fast::RandomState;
use serde::Serialize;

use crate::{
    growth::Verdict,
    report::Loss,
    session::{StackView, View},
    symbolize::Frame,
    text::printable,
};
pub(crate) use calls::{Builds, Calls};
pub use change::Change;
use change::Noise;
pub(crate) use change::grows;
pub use held::{HeldDiff, HeldFigures};

/// The schema of a [`Diff`] as JSON.
pub const SCHEMA: &str = "leaktrace.diff/1";

/// Lengths that differ by less count as the same: a share of the longer, and seconds.
const SAME_LENGTH: (f64, f64) = (0.02, 2.0);

/// What has changed from one view to another.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// What was.
    pub before: Side,
    /// What is.
    pub after: Side,
    /// Whether both are moments of one trace.
    pub one_trace: bool,
    /// Which one's growth was carried on to the length of the other, if one's was.
    pub carried_on: Option<Shorter>,
    /// What changed in one sentence.
    pub summary: String,
    /// Containers that Python code holds and that grow in either, the fastest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub python: Vec<HeldDiff>,
    /// All stacks of both, those that changed most first.
    pub stacks: Vec<StackDiff>,
}

/// One of the two views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shorter {
    /// The one before.
    Before,
    /// The one after.
    After,
}

/// One of the two views as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// The first process: its program's path, or else its name. Not to be printed raw.
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// The moment, RFC 3339 in UTC.
    pub time: String,
    /// Seconds since tracing began.
    pub elapsed_s: f64,
    /// The label of the moment, if it has one: not to be printed raw.
    pub label: Option<String>,
    /// Bytes held by all stacks of the view.
    pub held_bytes: u64,
    /// Blocks of those.
    pub held_count: u64,
    /// Bytes held at the length that both are compared at.
    pub compared_bytes: u64,
    /// What was lost up to then.
    pub loss: Loss,
}

/// A stack in both.
#[derive(Clone, Debug, Serialize)]
pub struct StackDiff {
    /// What the change amounts to.
    pub change: Change,
    /// Bytes held more than before, at the length that both are compared at.
    pub difference_bytes: i64,
    /// The trend's change, bytes a second.
    pub difference_bytes_per_s: f64,
    /// Before, if there was such a stack.
    pub before: Option<Figures>,
    /// After, if there is.
    pub after: Option<Figures>,
    /// From the allocator's caller outwards: of the later stack, if there are two.
    pub frames: Vec<Frame>,
}

/// What equal stacks of one view have together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Names the largest within its session.
    pub id: String,
    /// How many there are.
    pub stacks: u32,
    /// Bytes held at the end.
    pub held_bytes: u64,
    /// Blocks of those.
    pub held_count: u64,
    /// Bytes held at the length that both are compared at.
    pub compared_bytes: u64,
    /// Bytes allocated since tracing began.
    pub allocated_bytes: u64,
    /// Trend, bytes a second.
    pub bytes_per_s: f64,
    /// Verdict on the largest.
    pub verdict: Verdict,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    #[serde(skip)]
    noise: Noise,
}

/// What is the same stack in both: its figures before and after, and its frames.
type Pair<'view> = (Option<Figures>, Option<Figures>, &'view [Frame]);

/// Compares two views. An error says why there is nothing to compare.
pub fn diff(before: &View, after: &View) -> Result<Diff> {
    let one_trace = is_one_trace(before, after);
    let builds = (Builds::of(before), Builds::of(after));
    let calls = Calls::between(&builds.0, &builds.1, one_trace);
    ensure!(
        calls.have_something_in_common(before, after),
        "{} and {} have no stack in common: compare two traces of one program",
        printable(&program(before)),
        printable(&program(after))
    );
    let lengths = (before.last().report.elapsed_s, after.last().report.elapsed_s);
    let missing_s = if one_trace { (0.0, 0.0) } else { missing(lengths) };
    let mut pairs: HashMap<_, Pair<'_>, RandomState> = HashMap::default();
    for stack in &before.stacks {
        let (figures, _, frames) = pairs.entry(calls.before(&stack.frames)).or_insert((None, None, &stack.frames));
        figures.get_or_insert_default().add(stack, missing_s.0);
        *frames = &stack.frames;
    }
    for stack in &after.stacks {
        let (_, figures, frames) = pairs.entry(calls.after(&stack.frames)).or_insert((None, None, &stack.frames));
        if figures.is_none() {
            *frames = &stack.frames;
        }
        figures.get_or_insert_default().add(stack, missing_s.1);
    }
    let pairs = pairs.into_values();
    let mut stacks: Vec<_> = pairs.map(|(before, after, frames)| StackDiff::of(before, after, frames)).collect();
    // Equal differences have an order too, so that the same two always read the same.
    stacks.sort_by_cached_key(|stack| {
        let id = stack.after.as_ref().or(stack.before.as_ref()).map(|figures| figures.id.clone());
        (std::cmp::Reverse(stack.difference_bytes.unsigned_abs()), id)
    });
    let mut diff = Diff {
        schema: SCHEMA,
        before: Side::of(before, stacks.iter().filter_map(|stack| stack.before.as_ref())),
        after: Side::of(after, stacks.iter().filter_map(|stack| stack.after.as_ref())),
        one_trace,
        carried_on: match missing_s {
            (seconds, _) if seconds > 0.0 => Some(Shorter::Before),
            (_, seconds) if seconds > 0.0 => Some(Shorter::After),
            _ => None,
        },
        summary: String::new(),
        python: held::held(before, after),
        stacks,
    };
    diff.summary = sentence::summary(&diff.stacks);
    Ok(diff)
}

/// Seconds that each lacks to be as long as the other.
fn missing((before, after): (f64, f64)) -> (f64, f64) {
    let (share, seconds) = SAME_LENGTH;
    if (before - after).abs() <= seconds.max(share * before.max(after)) {
        return (0.0, 0.0);
    }
    ((after - before).max(0.0), (before - after).max(0.0))
}

/// Whether tracing of the same process began at the same moment.
fn is_one_trace(before: &View, after: &View) -> bool {
    let (before, after) = (&before.last().report, &after.last().report);
    let began = |report: &crate::report::Report| -> Option<SystemTime> {
        let elapsed = Duration::try_from_secs_f64(report.elapsed_s).ok()?;
        humantime::parse_rfc3339(&report.time).ok()?.checked_sub(elapsed)
    };
    let apart = |(one, other): (SystemTime, SystemTime)| {
        one.duration_since(other).or_else(|_| other.duration_since(one)).unwrap_or_default()
    };
    let process = |report: &crate::report::Report| {
        report.processes.first().map(|process| (process.pid, process.start_time.clone()))
    };
    process(before) == process(after)
        && began(before).zip(began(after)).is_some_and(|moments| apart(moments) < Duration::from_secs(2))
}

/// The first process's program, or its name where that is not known. Not to be printed raw.
fn program(view: &View) -> String {
    let process = view.last().report.processes.first();
    let named = process.map(|process| if process.exe.is_empty() { &process.comm } else { &process.exe });
    named.cloned().unwrap_or_default()
}

impl Side {
    fn of<'stacks>(view: &View, stacks: impl Iterator<Item = &'stacks Figures>) -> Self {
        let report = &view.last().report;
        let mut side = Self {
            program: program(view),
            pid: report.processes.first().map_or(0, |process| process.pid),
            time: report.time.clone(),
            elapsed_s: report.elapsed_s,
            label: report.label.clone(),
            held_bytes: 0,
            held_count: 0,
            compared_bytes: 0,
            loss: report.loss,
        };
        for figures in stacks {
            side.held_bytes = side.held_bytes.saturating_add(figures.held_bytes);
            side.held_count = side.held_count.saturating_add(figures.held_count);
            side.compared_bytes = side.compared_bytes.saturating_add(figures.compared_bytes);
        }
        side
    }
}

impl Figures {
    /// Adds a stack, carried on for so many seconds.
    fn add(&mut self, stack: &StackView, missing_s: f64) {
        let (last, judgement) = (stack.last(), &stack.judgement);
        if self.stacks == 0 || last.held_bytes() > self.noise.largest_bytes {
            self.id.clone_from(&stack.id);
            self.verdict = judgement.verdict;
            self.confidence = judgement.confidence;
            self.noise.largest_bytes = last.held_bytes();
        }
        let may_grow = grows(judgement.verdict) || judgement.verdict == Verdict::New;
        let rate = if may_grow { judgement.bytes_per_s.max(0.0) } else { 0.0 };
        let carried = (rate * missing_s) as u64;
        self.stacks = self.stacks.saturating_add(1);
        self.held_bytes = self.held_bytes.saturating_add(last.held_bytes());
        self.held_count = self.held_count.saturating_add(last.held_count());
        self.compared_bytes = self.compared_bytes.saturating_add(last.held_bytes().saturating_add(carried));
        self.allocated_bytes = self.allocated_bytes.saturating_add(last.allocated_bytes());
        self.bytes_per_s += judgement.bytes_per_s;
        self.noise.add(stack, carried);
    }
}

impl StackDiff {
    fn of(before: Option<Figures>, after: Option<Figures>, frames: &[Frame]) -> Self {
        let bytes = |figures: &Option<Figures>| figures.as_ref().map_or(0, |figures| figures.compared_bytes);
        let rate = |figures: &Option<Figures>| figures.as_ref().map_or(0.0, |figures| figures.bytes_per_s);
        Self {
            change: Change::of(before.as_ref(), after.as_ref()),
            difference_bytes: (i128::from(bytes(&after)) - i128::from(bytes(&before)))
                .clamp(i64::MIN.into(), i64::MAX.into()) as i64,
            difference_bytes_per_s: rate(&after) - rate(&before),
            before,
            after,
            frames: frames.to_vec(),
        }
    }
}
