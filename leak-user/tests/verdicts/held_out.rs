//! Scenarios that were written after the bundled ones were told apart, to see whether the model holds beyond them.

use crate::{
    label::{
        Label::{self, Healthy, Leaks},
        Scenario,
    },
    program::{NEVER, Program},
    replay::Look,
};

const HEALTHY: &[Label] = &[Healthy];
const SLOW: Look = Look { every: 30.0, ..Look::EXACT };
const HOUR: f64 = 3600.0;

const fn of(name: &'static str, horizon: f64, labels: &'static [Label], build: fn(&mut Program)) -> Scenario {
    let look = if horizon > HOUR { SLOW } else { Look::EXACT };
    Scenario { name, horizon, look, build, labels }
}

pub const SCENARIOS: &[Scenario] = &[
    of("memory of keys that takes ten minutes to fill", 3000.0, HEALTHY, |p| {
        let times = p.times(0.0, NEVER, 20.0);
        p.memo(&times, 12_000, 200);
    }),
    of("memory of few keys, seldom asked", 1800.0, HEALTHY, |p| {
        let times = p.times(0.0, NEVER, 5.0);
        p.memo(&times, 1000, 200);
    }),
    of("keys of which some are asked far more often", 1500.0, HEALTHY, |p| {
        let mut known = std::collections::HashSet::new();
        for now in p.times(0.0, NEVER, 60.0) {
            let key = 20_000.0_f64.powf(p.random.share()) as u64;
            if known.len() < 3000 && known.insert(key) {
                p.leaks(now, 256);
            }
        }
    }),
    of(
        "a leak of which the traffic changes from moment to moment",
        900.0,
        &[Leaks { from: 0.0, within: 300.0 }],
        |p| {
            let mut rate = 1.0_f64;
            for start in 0..90 {
                rate = (0.6 * rate.ln() + 0.5 * p.random.normal()).exp();
                p.leak(f64::from(start) * 10.0, f64::from(start + 1) * 10.0, 10.0 * rate, 300);
            }
        },
    ),
    of("a leak that grows faster and faster", 900.0, &[Leaks { from: 0.0, within: 300.0 }], |p| {
        for born in p.varying_times(0.0, NEVER, 30.0, |seconds| 0.2 + 0.8 * seconds / 900.0) {
            p.leaks(born, 300);
        }
    }),
    of("sessions of twenty minutes on average", 3000.0, HEALTHY, |p| {
        p.churn(0.0, NEVER, 10.0, 900, |r| r.wait(1200.0));
    }),
    of("sessions of half an hour over hours", 6.0 * HOUR, HEALTHY, |p| {
        p.churn(0.0, NEVER, 1.0, 900, |r| r.wait(1800.0));
    }),
    of("lifetimes without a scale", 2400.0, HEALTHY, |p| {
        p.churn(0.0, NEVER, 20.0, 400, |r| 0.5 * (1.0 - r.share()).powf(-1.0 / 1.1));
    }),
    of("most live for a moment and some for a minute", 1200.0, HEALTHY, |p| {
        p.churn(0.0, NEVER, 40.0, 400, |r| if r.chance(0.05) { r.wait(60.0) } else { r.wait(0.5) });
    }),
    of(
        "most live for a moment, some for a minute and a few for ever",
        3600.0,
        &[Leaks { from: 0.0, within: 2700.0 }],
        |p| {
            p.churn(0.0, NEVER, 40.0, 400, |r| if r.chance(0.05) { r.wait(60.0) } else { r.wait(0.5) });
            p.leak(0.0, NEVER, 0.5, 400);
        },
    ),
    of("a configuration that is read anew", 2400.0, HEALTHY, |p| {
        for load in 0..6 {
            let start = f64::from(load) * 400.0;
            for born in p.times(start, start + 90.0, 20.0) {
                p.block(born, start + 395.0, 700);
            }
        }
    }),
    of("a queue that falls behind and catches up", 1500.0, HEALTHY, |p| {
        let mut free_at = 0.0_f64;
        for born in p.varying_times(0.0, NEVER, 40.0, |seconds| if seconds % 700.0 < 350.0 { 1.0 } else { 0.4 }) {
            free_at = free_at.max(born) + p.random.wait(1.0 / 30.0);
            p.block(born, free_at, 500);
        }
    }),
    of("a stack of work, the last first", 1800.0, HEALTHY, |p| {
        let mut open: Vec<f64> = Vec::new();
        for now in p.times(0.0, NEVER, 20.0) {
            if p.random.chance(0.5) {
                open.push(now);
            } else if let Some(born) = open.pop() {
                p.block(born, now, 500);
            }
        }
        for born in open {
            p.leaks(born, 500);
        }
    }),
    of("two generations, the old one collected now and then", 1500.0, HEALTHY, |p| {
        let times = p.times(0.0, NEVER, 40.0);
        let (minor, major) = (p.beats(0.0, NEVER, 5.0), p.beats(0.0, NEVER, 90.0));
        for born in times {
            let runs = if p.random.chance(0.1) { &major } else { &minor };
            let dies = runs.iter().copied().find(|run| *run > born).unwrap_or(NEVER);
            p.block(born, dies, 500);
        }
    }),
    of("tables that double", 1200.0, HEALTHY, |p| {
        for _ in 0..20 {
            let (mut born, mut room) = (p.random.between(0.0, 30.0), 16.0);
            let rate = p.random.between(5.0, 50.0);
            while born < p.horizon {
                let full = born + room / rate;
                p.block(born, full, room as u64 * 32);
                (born, room) = (full, room * 2.0);
            }
        }
    }),
    of("four steps", 1500.0, HEALTHY, |p| {
        for start in [5.0, 105.0, 205.0, 305.0] {
            p.leak(start, start + 8.0, 30.0, 2000);
        }
    }),
    of("a day with a leak of a block every half a minute", 24.0 * HOUR, &[Leaks { from: 0.0, within: 1800.0 }], |p| {
        p.leak(0.0, NEVER, 1.0 / 30.0, 10_000);
    }),
    of("two days of traffic", 48.0 * HOUR, HEALTHY, |p| {
        let day = |seconds: f64| 0.55 - 0.45 * (seconds / (24.0 * HOUR) * std::f64::consts::TAU).cos();
        for born in p.varying_times(0.0, NEVER, 0.4, day) {
            let life = p.random.wait(40.0);
            p.lives(born, life, 3000);
        }
    }),
    of("a leak after ten hours", 14.0 * HOUR, &[Leaks { from: 10.0 * HOUR, within: 2.5 * HOUR }], |p| {
        p.churn(0.0, NEVER, 0.5, 500, |r| r.wait(3.0));
        p.leak(10.0 * HOUR, NEVER, 0.1, 500);
    }),
    Scenario {
        look: Look { every: 10.0, period: 512 << 10, ..Look::EXACT },
        ..of("a sampled leak of one in twenty", 1800.0, &[Leaks { from: 0.0, within: 1500.0 }], |p| {
            for born in p.times(0.0, NEVER, 60.0) {
                let life = if p.random.chance(0.05) { NEVER } else { p.random.wait(2.0) };
                p.lives(born, life, 32_768);
            }
        })
    },
    Scenario {
        look: Look { every: 10.0, period: 512 << 10, ..Look::EXACT },
        ..of("a sampled cache", 1500.0, HEALTHY, |p| {
            let times = p.times(0.0, NEVER, 60.0);
            p.cache(&times, 5000, 32_768, true);
        })
    },
];
