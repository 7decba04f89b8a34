//! What tracing costs: the target by hits times the price of one, leaktrace by its own processor time.

use std::time::{Duration, Instant};

use leak_ebpf::Hits;

use crate::{probe::calibrate::HitCost, process::own_use::own_use, report::Cost};

/// Processor time of the target below which its slowdown is not reckoned: `/proc` counts in ticks of 10 ms.
const ENOUGH: Duration = Duration::from_millis(100);

/// Measures between one report and the next.
#[derive(Debug, Default)]
pub struct CostMeter {
    hit_cost: Option<HitCost>,
    last: Option<Moment>,
    /// Where the slowdown was last reckoned from, and what it was.
    slowdown_since: Option<Moment>,
    slowdown_pct: Option<f64>,
    core_pct: Option<f64>,
    /// What was said last.
    told: Option<Cost>,
}

/// A report, and the snapshot that goes with it, are of one interval: in what lies between them nothing can be measured.
const TOO_SHORT: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    hits: Hits,
    target_cpu: Duration,
    own_cpu: Duration,
}

impl CostMeter {
    /// A meter that prices a hit like this, if the price is known.
    pub fn new(hit_cost: Option<HitCost>) -> Self {
        Self { hit_cost, ..Self::default() }
    }

    /// Measures from now on.
    pub fn begin(&mut self, hits: Hits, target_cpu: Duration) {
        let now = Moment { at: Instant::now(), hits, target_cpu, own_cpu: own_use().0 };
        self.last = Some(now);
        self.slowdown_since = Some(now);
    }

    /// The cost since the last call, or what that one said if it was just now.
    pub fn measure(&mut self, hits: Hits, target_cpu: Duration) -> Cost {
        let (own_cpu, own_rss) = own_use();
        let now = Moment { at: Instant::now(), hits, target_cpu, own_cpu };
        self.reckon_slowdown(now);
        if let (Some(told), Some(last)) = (self.told, self.last)
            && now.at - last.at < TOO_SHORT
        {
            return told;
        }
        let Some(last) = self.last.replace(now) else {
            return Cost { tracer_rss_bytes: own_rss, ..Cost::default() };
        };
        let seconds = (now.at - last.at).as_secs_f64().max(1e-3);
        let cost = Cost {
            events_per_s: hits.since(&last.hits).all() as f64 / seconds,
            target_slowdown_pct: self.slowdown_pct,
            target_core_pct: self.core_pct,
            tracer_cpu_pct: own_cpu.saturating_sub(last.own_cpu).as_secs_f64() / seconds * 100.0,
            tracer_rss_bytes: own_rss,
        };
        self.told = Some(cost);
        cost
    }

    fn reckon_slowdown(&mut self, now: Moment) {
        let (Some(since), Some(cost)) = (self.slowdown_since, self.hit_cost) else { return };
        let used = now.target_cpu.saturating_sub(since.target_cpu).as_secs_f64();
        if used < ENOUGH.as_secs_f64() {
            return;
        }
        // The target's time contains what the probes took; its own work is the rest, never quite nothing.
        let spent = cost.of(&now.hits.since(&since.hits)).as_secs_f64();
        self.slowdown_pct = Some(spent / (used - spent).max(used / 20.0) * 100.0);
        self.core_pct = Some(spent / (now.at - since.at).as_secs_f64().max(1e-3) * 100.0);
        self.slowdown_since = Some(now);
    }
}
