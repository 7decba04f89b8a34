//! How one process is watched at the moment, and for how long its allocations have been.

use std::time::{Duration, Instant};

use anyhow::Result;
use leak_ebpf::{EXACT, Hits, Sampling};

use super::governor::{Decision, Governor, Orders, Reading, Watch};
use crate::probe::load::Kernel;

/// What is in force for a process.
pub struct Watched {
    governor: Governor,
    orders: Orders,
    /// Whether every free is told although not every block is known: for as long as the known ones are being named.
    tells_all_frees: bool,
    /// How often allocations began to be left out.
    pauses: u32,
    is_let_go: bool,
    due: Option<Instant>,
    began: Instant,
    /// Time in which allocations were watched, up to the last pause.
    before: Duration,
    /// Since when they have been again.
    since: Option<Instant>,
    last_point: f64,
}

impl Watched {
    /// Watched from now on, as its governor begins.
    pub fn new(governor: Governor) -> Self {
        let began = Instant::now();
        let (before, since) = (Duration::ZERO, Some(began));
        let orders = governor.orders();
        Self {
            governor,
            orders,
            tells_all_frees: false,
            pauses: 0,
            is_let_go: false,
            due: Some(began),
            began,
            before,
            since,
            last_point: -1.0,
        }
    }

    /// What is in force.
    pub fn orders(&self) -> Orders {
        self.orders
    }

    /// Whether its governor wants to judge.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.is_let_go && self.due.is_some_and(|due| due <= now)
    }

    /// Whether it is watched no more, for good.
    pub fn is_let_go(&self) -> bool {
        self.is_let_go
    }

    /// It will be watched no more.
    pub fn let_go(&mut self) {
        self.is_let_go = true;
    }

    /// Whether for a time not everything was watched.
    pub fn has_gaps(&self) -> bool {
        self.pauses > 0
    }

    /// The seconds that a point of a history made now stands for: not while a burst is under way, for what it has sampled
    /// may be freed in a moment, nor when none was since the last time.
    pub fn take_point(&mut self) -> Option<f64> {
        let seconds = self.seconds();
        if !self.governor.is_settled() || seconds <= self.last_point {
            return None;
        }
        self.last_point = seconds;
        Some(seconds)
    }

    /// Has its governor judge what it has used and what its probes were hit so far.
    pub fn judge(&mut self, now: Instant, cpu: Duration, hits: Hits) -> Option<Decision> {
        let patience = self.governor.patience();
        self.due = patience.is_finite().then(|| now + Duration::from_secs_f64(patience));
        let at = now.saturating_duration_since(self.began).as_secs_f64();
        self.governor.judge(Reading { at, cpu: cpu.as_secs_f64(), hits })
    }

    /// Seconds in which its allocations were watched so far.
    pub fn seconds(&self) -> f64 {
        (self.before + self.since.map_or(Duration::ZERO, |since| since.elapsed())).as_secs_f64()
    }

    /// From now on allocations are taken at this period.
    pub fn set_period(&mut self, period: u64) {
        self.orders.period = period;
    }

    /// From now on this is watched.
    pub fn set_watch(&mut self, watch: Watch) {
        if watch == Watch::All {
            self.since.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.since.take() {
            self.before += since.elapsed();
            self.pauses += 1;
        }
        self.orders.watch = watch;
    }

    /// Every free is told, or, where allocations are sampled, those of blocks that the kernel side knows.
    pub fn set_tells_all_frees(&mut self, all: bool) {
        self.tells_all_frees = all;
    }

    /// Tells the kernel side what is in force in this slot.
    pub fn put_in_force(&self, slot: u16, kernel: &mut Kernel) -> Result<()> {
        let watch = match self.orders.watch {
            Watch::All => 0,
            Watch::Releases => Sampling::NO_ALLOCATIONS,
            Watch::Nothing => Sampling::NO_ALLOCATIONS | Sampling::OFF,
        };
        let is_known = self.orders.period > EXACT && !self.tells_all_frees;
        let flags = watch | if is_known { Sampling::KNOWN_FREES } else { 0 };
        kernel.set_sampling(slot, Sampling::new(self.orders.period, flags, self.pauses))
    }
}
