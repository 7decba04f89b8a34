//! What a recorder is given: everything at one moment of a trace.

use serde::{Deserialize, Serialize};

use super::{Memory, Point, SizeClass};
use crate::{ledger::Ages, report::Report};

/// A snapshot, but for its stacks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The report of that moment, without its stacks.
    pub report: Report,
    /// The memory of each process, in the order of `report.processes`.
    pub memory: Vec<Memory>,
    /// What allocations were asked for, by size.
    pub sizes: Vec<SizeClass>,
}

/// A stack at a snapshot.
#[derive(Clone, Debug)]
pub struct StackMoment {
    /// Names the stack within the trace.
    pub id: u64,
    /// The process that it belongs to.
    pub pid: u32,
    /// Whether its frames reach the bottom.
    pub complete: bool,
    /// Its sums.
    pub point: Point,
    /// Bytes held, by age.
    pub ages: Ages,
    /// Blocks freed, by the age that they reached.
    pub lifetimes: Ages,
    /// When the oldest block was allocated that is held, in seconds since tracing began.
    pub oldest_at_s: f64,
}
