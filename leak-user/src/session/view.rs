//! What a command looks at: the part of a session between two of its snapshots, filtered and judged.
//!
//! It is small whatever the session's size: of many snapshots only some are in it, evenly spread, the first and the last
//! among them.

use serde::{Deserialize, Serialize};

use super::Point;
use crate::{
    growth::Judgement,
    ledger::Ages,
    process::memory_use::Memory,
    report::{Frame, Report},
};

/// Most snapshots in a view.
pub const MOST_SNAPSHOTS: usize = 120;

/// A part of a session.
#[derive(Clone, Debug)]
pub struct View {
    /// The snapshots, oldest first. Never empty. Figures of the view are those at the last one; growth is from the first.
    pub snapshots: Vec<Snapshot>,
    /// How many snapshots the session has between the first and the last, with both.
    pub snapshots_recorded: usize,
    /// The stacks that the filters leave: those with the most bytes held at the end first.
    pub stacks: Vec<StackView>,
    /// What allocations were asked for, by size, since tracing began.
    pub sizes: Vec<SizeClass>,
}

/// A moment of a session.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its number in the session, from 1.
    pub number: u32,
    /// What the report of that moment says, without its stacks: time, label, processes, totals, losses, cost.
    pub report: Report,
    /// The memory of each process, in the order of `report.processes`.
    pub memory: Vec<Memory>,
}

/// A stack between two snapshots.
#[derive(Clone, Debug)]
pub struct StackView {
    /// Names the stack within its session: 16 hexadecimal digits.
    pub id: String,
    /// The process it belongs to.
    pub pid: u32,
    /// Whether the frames reach the bottom of the stack.
    pub complete: bool,
    /// From the allocator's caller outwards.
    pub frames: Vec<Frame>,
    /// At each snapshot of the view.
    pub points: Vec<Point>,
    /// Bytes held at the last snapshot, by age.
    pub ages: Ages,
    /// Blocks that were freed since tracing began, by the age that they reached.
    pub lifetimes: Ages,
    /// Seconds since the oldest block was allocated that is held at the last snapshot; 0 when there is none.
    pub oldest_s: f64,
    /// What it amounts to.
    pub judgement: Judgement,
}

/// Allocations of a size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeClass {
    /// Smallest number of bytes: a power of two, or 0. The next class begins at the next power.
    pub from_bytes: u64,
    /// How many there were. An estimate where allocations were sampled.
    pub allocated_count: u64,
    /// Bytes of those.
    pub allocated_bytes: u64,
    /// How many are held at the last snapshot.
    pub held_count: u64,
    /// Bytes of those.
    pub held_bytes: u64,
}

impl View {
    /// The snapshot that it begins with.
    pub fn first(&self) -> &Snapshot {
        &self.snapshots[0]
    }

    /// The snapshot that it ends with.
    pub fn last(&self) -> &Snapshot {
        &self.snapshots[self.snapshots.len() - 1]
    }

    /// Seconds from the first snapshot to the last.
    pub fn seconds(&self) -> f64 {
        self.last().report.elapsed_s - self.first().report.elapsed_s
    }
}

impl StackView {
    /// At the first snapshot.
    pub fn first(&self) -> Point {
        self.points.first().copied().unwrap_or_default()
    }

    /// At the last snapshot.
    pub fn last(&self) -> Point {
        self.points.last().copied().unwrap_or_default()
    }

    /// Bytes held more at the end than at the beginning.
    pub fn growth_bytes(&self) -> i64 {
        self.last().held_bytes() as i64 - self.first().held_bytes() as i64
    }

    /// Bytes allocated between the two.
    pub fn allocated_bytes(&self) -> u64 {
        self.last().allocated_bytes().saturating_sub(self.first().allocated_bytes())
    }
}
