//! What tracing costs: the target by hits times the price of one, leaktrace by its own processor time.

use std::time::{Duration, Instant};

use crate::{
    probe::{calibrate::HitCost, counts::Snapshot},
    report::Cost,
};

/// Measures between one report and the next.
#[derive(Debug, Default)]
pub struct CostMeter {
    hit_cost: Option<HitCost>,
    last: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    counts: Snapshot,
    target_cpu: Duration,
    own_cpu: Duration,
}

impl CostMeter {
    /// Takes note of what a hit costs; hits counted so far were calibration.
    pub fn calibrated(&mut self, hit_cost: HitCost, counts: Snapshot) {
        self.hit_cost = Some(hit_cost);
        self.last = Some(Moment { at: Instant::now(), counts, target_cpu: Duration::ZERO, own_cpu: own_usage().0 });
    }

    /// The cost since the last call.
    pub fn measure(&mut self, counts: &Snapshot, target_cpu: Duration) -> Cost {
        let (own_cpu, own_rss) = own_usage();
        let now = Moment { at: Instant::now(), counts: *counts, target_cpu, own_cpu };
        let Some(last) = self.last.replace(now) else {
            return Cost { tracer_rss_bytes: own_rss, ..Cost::default() };
        };
        let seconds = (now.at - last.at).as_secs_f64().max(1e-3);
        let hits = counts.since(&last.counts);
        let slowdown = self.hit_cost.map(|cost| {
            let spent = cost.of(&hits).as_secs_f64();
            // The target's time contains what the probes took; its own work is the rest.
            let own_work = (target_cpu.saturating_sub(last.target_cpu)).as_secs_f64() - spent;
            if spent == 0.0 { 0.0 } else { spent / own_work.max(spent / 100.0) * 100.0 }
        });
        Cost {
            events_per_s: hits.hits() as f64 / seconds,
            target_slowdown_pct: slowdown,
            tracer_cpu_pct: own_cpu.saturating_sub(last.own_cpu).as_secs_f64() / seconds * 100.0,
            tracer_rss_bytes: own_rss,
        }
    }
}

/// leaktrace's own processor time and resident bytes.
fn own_usage() -> (Duration, u64) {
    let stat = procfs::process::Process::myself().and_then(|own| own.stat());
    stat.map_or((Duration::ZERO, 0), |stat| {
        let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        (Duration::from_secs_f64(seconds), stat.rss * procfs::page_size())
    })
}
