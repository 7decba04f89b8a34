//! What a trace hands over to be kept in a session: snapshots of the ledger, and its events.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::RandomState;
use leak_ebpf::{Record, SpillKey, SpillTime};

use super::fleet::Fleet;
use crate::{
    ledger::{Ages, Ledger, Stack},
    process::{
        modules::{Location, Module},
        monotonic_now,
        origin::Origin,
    },
    report::Report,
    session::{
        Point, SizeClass, StackMoment,
        events::{Block, Event},
    },
};

/// What to keep.
#[derive(Clone, Debug)]
pub struct Keep {
    /// In this file.
    pub path: PathBuf,
    /// Whether a file that is there is replaced.
    pub force: bool,
    /// Time between snapshots. If none is given it is [`USUAL`], and less in the beginning: a trace of two minutes is to
    /// show more than its ends.
    pub interval: Option<Duration>,
    /// Whether every event is kept as well.
    pub events: bool,
}

/// Time between snapshots of a trace that has lasted for a while.
const USUAL: Duration = Duration::from_secs(30);

/// Time between its first ones.
const FIRST: Duration = Duration::from_secs(1);

/// In the beginning a trace becomes longer by this part from one snapshot to the next.
const LONGER_BY: u32 = 8;

impl Keep {
    /// How long the next snapshot is to wait when one was made so long after tracing began.
    pub fn wait_at(&self, elapsed: Duration) -> Duration {
        self.interval.unwrap_or_else(|| (elapsed / LONGER_BY).clamp(FIRST, USUAL))
    }
}

/// What was handed over so far.
#[derive(Default)]
pub struct Recording {
    /// Stacks whose calls were.
    named: HashSet<u64, RandomState>,
    /// Events that were not, if they are kept: blocks that are full but for the last.
    events: Option<Vec<Block>>,
}

/// The calls of a stack, and where their process finds its files.
type Calls = (Box<[Location]>, Option<Arc<Origin>>);

/// A snapshot whose new stacks have no names yet.
pub struct SnapshotDraft {
    /// Everything but the stacks.
    pub report: Report,
    /// The stacks.
    pub stacks: Vec<StackMoment>,
    /// The calls of those that were not handed over before, by their place in `stacks`.
    pub calls: HashMap<usize, Calls, RandomState>,
    /// The modules that they lie in.
    pub modules: Vec<Arc<Module>>,
    /// What allocations were asked for, by size.
    pub sizes: Vec<SizeClass>,
}

impl Recording {
    /// Of nothing so far.
    pub fn new(keep: &Keep) -> Self {
        Self { events: keep.events.then(|| vec![Block::default()]), ..Self::default() }
    }

    /// Names that were handed over are lost.
    pub fn forget_names(&mut self) {
        self.named.clear();
    }

    /// Reads a snapshot off the ledger.
    pub fn snapshot(&mut self, report: Report, ledger: &Ledger, fleet: &Fleet) -> SnapshotDraft {
        let now = monotonic_now();
        let mut held: Vec<(Ages, Option<u64>)> = Vec::new();
        ledger.for_each_outstanding(|block| {
            let place = block.stack.place();
            if held.len() <= place {
                held.resize(place + 1, Default::default());
            }
            let (ages, oldest) = &mut held[place];
            ages.add(now.saturating_sub(block.time), block.amount.bytes.round() as u64);
            *oldest = Some(oldest.map_or(block.time, |oldest| oldest.min(block.time)));
        });
        let modules = &fleet.means.modules;
        let mut calls = HashMap::default();
        let mut stacks = Vec::with_capacity(held.len());
        for (index, stack) in ledger.stacks() {
            let (ages, oldest) = held.get(index.place()).copied().unwrap_or_default();
            let Some(pid) = fleet.pid(stack.process) else { continue };
            if self.named.insert(stack.id) {
                calls.insert(stacks.len(), (stack.frames.clone(), modules.origin(stack.process).cloned()));
            }
            let age = oldest.map_or(0.0, |oldest| now.saturating_sub(oldest) as f64 / 1e9);
            stacks.push(StackMoment {
                id: stack.id,
                pid,
                complete: stack.is_whole,
                point: point(stack),
                ages,
                lifetimes: stack.lifetimes,
                oldest_at_s: (report.elapsed_s - age).max(0.0),
            });
        }
        SnapshotDraft { report, stacks, calls, modules: modules.all().to_vec(), sizes: sizes(ledger) }
    }

    /// Takes note of a record.
    pub fn note(&mut self, record: &Record<'_>, pid: impl FnOnce(u16) -> u32) {
        if self.events.is_none() {
            return;
        }
        for event in Event::of(record, pid).into_iter().flatten() {
            self.push(event);
        }
    }

    /// Takes note of what there was no room for in the ring, after the records that were in it.
    pub fn note_spilled(&mut self, frees: &[(SpillKey, SpillTime)], pid: impl Fn(u16) -> u32) {
        for (key, time) in frees {
            self.push(Event::of_spilled(*key, *time, pid(key.process)));
        }
    }

    fn push(&mut self, event: Event) {
        let Some(events) = &mut self.events else { return };
        if events.last_mut().is_none_or(|block| block.push(event)) {
            events.push(Block::default());
        }
    }

    /// Takes out the blocks that are full, or all.
    pub fn take_events(&mut self, all: bool) -> Vec<Block> {
        let Some(events) = &mut self.events else { return Vec::new() };
        if all && events.last().is_some_and(|block| !block.is_empty()) {
            events.push(Block::default());
        }
        let last = events.len() - 1;
        events.drain(..last).collect()
    }
}

/// What allocations were asked for, by size, and what of it is held.
fn sizes(ledger: &Ledger) -> Vec<SizeClass> {
    let held = ledger.held_by_size();
    ledger
        .allocated_by_size()
        .map(|allocated| {
            let held = held.iter().find(|held| held.from_bytes == allocated.from_bytes);
            let (held_count, held_bytes) = held.map_or((0.0, 0.0), |held| (held.count, held.bytes));
            SizeClass {
                from_bytes: allocated.from_bytes,
                allocated_count: allocated.count.round() as u64,
                allocated_bytes: allocated.bytes.round() as u64,
                held_count: held_count.round() as u64,
                held_bytes: held_bytes.round() as u64,
            }
        })
        .collect()
}

fn point(stack: &Stack) -> Point {
    let sums = &stack.sums;
    let whole = |number: f64| number.round().max(0.0) as u64;
    Point {
        outstanding_bytes: whole(sums.outstanding.bytes),
        outstanding_count: whole(sums.outstanding.count),
        unknown_bytes: whole(sums.unknown.bytes),
        unknown_count: whole(sums.unknown.count),
        freed_bytes: whole(sums.freed.bytes),
        freed_count: whole(sums.freed.count),
        bytes_stderr: whole(sums.held().bytes_stderr()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshots(interval: Option<Duration>, until: Duration) -> usize {
        let keep = Keep { path: PathBuf::new(), force: false, interval, events: false };
        let mut elapsed = Duration::ZERO;
        std::iter::repeat_with(|| {
            elapsed += keep.wait_at(elapsed);
            elapsed
        })
        .take_while(|elapsed| *elapsed <= until)
        .count()
    }

    #[test]
    fn a_short_trace_has_as_many_snapshots_as_verdicts_need_and_a_long_one_few_more_than_its_share() {
        let (minute, day) = (Duration::from_mins(1), Duration::from_hours(24));
        assert!((20..40).contains(&snapshots(None, 2 * minute)), "{}", snapshots(None, 2 * minute));
        assert!((2880..2920).contains(&snapshots(None, day)), "{}", snapshots(None, day));
        assert_eq!(snapshots(Some(minute), day), 1440);
    }
}
