//! The bundled scenarios: forty ways in which memory comes and goes. Long times are compressed.

use crate::{
    label::{
        Label::{self, Healthy, Leaks, Stops},
        Scenario,
    },
    program::{NEVER, Program},
    random::Random,
    replay::Look,
};

const SAMPLED: Look = Look { period: 512 << 10, ..Look::EXACT };
const OFTEN: Look = Look { every: 1.0, ..Look::EXACT };

/// A leak from the beginning, to be told within so many seconds.
const fn leaks(within: f64) -> &'static [Label] {
    match within {
        140.0 => &[Leaks { from: 0.0, within: 140.0 }],
        180.0 => &[Leaks { from: 0.0, within: 180.0 }],
        300.0 => &[Leaks { from: 0.0, within: 300.0 }],
        400.0 => &[Leaks { from: 0.0, within: 400.0 }],
        _ => &[Leaks { from: 0.0, within: 700.0 }],
    }
}

const HEALTHY: &[Label] = &[Healthy];

const fn of(name: &'static str, horizon: f64, labels: &'static [Label], build: fn(&mut Program)) -> Scenario {
    Scenario { name, horizon, look: Look::EXACT, build, labels }
}

fn exponential(mean: f64) -> impl Fn(&mut Random) -> f64 {
    move |random| random.wait(mean)
}

fn wave(period: f64) -> impl Fn(f64) -> f64 {
    move |seconds| 0.55 - 0.45 * (seconds / period * std::f64::consts::TAU).cos()
}

pub const SCENARIOS: &[Scenario] = &[
    Scenario { look: OFTEN, ..of("a linear leak", 400.0, leaks(140.0), |p| p.leak(0.0, NEVER, 10.0, 1000)) },
    of("a slow leak under ten times the churn", 900.0, leaks(180.0), |p| {
        p.leak(0.0, NEVER, 2.0, 200);
        p.churn(0.0, NEVER, 20.0, 200, exponential(1.0));
    }),
    of("a slow leak under a hundred times the churn", 900.0, leaks(400.0), |p| {
        p.leak(0.0, NEVER, 0.5, 200);
        p.churn(0.0, NEVER, 50.0, 200, exponential(2.0));
    }),
    of("a warm-up in one step", 600.0, HEALTHY, |p| p.leak(0.0, 20.0, 50.0, 4096)),
    of("a warm-up in two steps", 900.0, HEALTHY, |p| {
        p.leak(0.0, 15.0, 50.0, 4096);
        p.leak(200.0, 230.0, 50.0, 4096);
    }),
    of("an LRU cache at capacity", 900.0, HEALTHY, |p| {
        let times = p.times(0.0, NEVER, 40.0);
        p.cache(&times, 1000, 800, true);
    }),
    of("a cache that fills and is full", 900.0, HEALTHY, |p| {
        let times = p.times(0.0, NEVER, 40.0);
        p.cache(&times, 4000, 800, false);
    }),
    of("a bounded queue", 600.0, HEALTHY, |p| {
        let mut free_at = 0.0_f64;
        for born in p.times(0.0, NEVER, 40.0) {
            let wait = p.random.wait(1.0 / 41.0);
            free_at = free_at.max(born) + wait;
            if free_at - born < 5.0 {
                p.block(born, free_at, 256);
            }
        }
    }),
    of("a sawtooth", 900.0, HEALTHY, |p| {
        let (times, runs) = (p.times(0.0, NEVER, 30.0), p.beats(0.0, NEVER, 37.0));
        p.collected(&times, &runs, 500, 0.0);
    }),
    of("a daily wave", 2400.0, HEALTHY, |p| {
        for born in p.varying_times(0.0, NEVER, 40.0, wave(1000.0)) {
            let life = p.random.wait(8.0);
            p.lives(born, life, 600);
        }
    }),
    of("a leak that starts late", 1200.0, &[Leaks { from: 500.0, within: 320.0 }], |p| {
        p.churn(0.0, NEVER, 20.0, 300, exponential(2.0));
        p.leak(500.0, NEVER, 5.0, 300);
    }),
    of("a leak in one of two callers", 600.0, &[Leaks { from: 0.0, within: 140.0 }, Healthy], |p| {
        p.leak(0.0, NEVER, 10.0, 100);
        p.site = 1;
        p.churn(0.0, NEVER, 30.0, 100, exponential(3.0));
    }),
    of("an arena that grows with the workload", 1200.0, HEALTHY, |p| {
        let mut most = 0.0_f64;
        for now in p.beats(0.0, NEVER, 2.0) {
            let load = 100.0 * (1.0 - (-now / 40.0).exp()) + 4.0 * p.random.normal();
            while most < load {
                p.leaks(now, 65_536);
                most += 1.0;
            }
        }
    }),
    of("a vector that doubles", 900.0, HEALTHY, |p| {
        let (mut born, mut elements) = (1.0, 64_u64);
        while born < p.horizon {
            let full = elements as f64 / 200.0;
            p.block(born, full.max(born + 0.01), elements * 16);
            born = full.max(born + 0.01);
            elements *= 2;
        }
    }),
    of("a pool of connections", 900.0, HEALTHY, |p| {
        for _ in 0..50 {
            let first = p.random.between(0.0, 60.0);
            p.leaks(first, 16_384);
        }
        p.churn(60.0, NEVER, 0.2, 16_384, exponential(5.0));
    }),
    of("a table of sessions that expire", 1200.0, HEALTHY, |p| p.churn(0.0, NEVER, 30.0, 700, |_| 100.0)),
    of("a leak that stops", 1200.0, &[Stops { from: 0.0, until: 500.0, within: 150.0 }], |p| {
        p.leak(0.0, 500.0, 10.0, 500);
    }),
    of("leaky, then fixed", 1500.0, &[Stops { from: 0.0, until: 600.0, within: 300.0 }], |p| {
        p.leak(0.0, 600.0, 5.0, 500);
        p.churn(0.0, NEVER, 20.0, 500, exponential(2.0));
    }),
    of("a log buffer that is flushed", 900.0, HEALTHY, |p| {
        let (times, runs) = (p.times(0.0, NEVER, 40.0), p.beats(0.0, NEVER, 60.0));
        p.collected(&times, &runs, 120, 0.0);
    }),
    of("a batch job", 900.0, HEALTHY, |p| {
        for start in [10.0, 310.0, 610.0] {
            for born in p.times(start, start + 90.0, 30.0) {
                p.block(born, start + 110.0, 2000);
            }
        }
    }),
    of("a garbage collector's sawtooth on a rising floor", 1200.0, leaks(400.0), |p| {
        let (times, runs) = (p.times(0.0, NEVER, 30.0), p.beats(0.0, NEVER, 20.0));
        p.collected(&times, &runs, 500, 0.05);
    }),
    of("a garbage collector's sawtooth on a level floor", 1200.0, HEALTHY, |p| {
        p.leak(0.0, 10.0, 50.0, 500);
        let (times, runs) = (p.times(0.0, NEVER, 30.0), p.beats(0.0, NEVER, 20.0));
        p.collected(&times, &runs, 500, 0.0);
    }),
    of("a random walk about a level", 1200.0, HEALTHY, |p| {
        p.leak(0.0, 5.0, 100.0, 1000);
        p.churn(0.0, NEVER, 10.0, 1000, exponential(50.0));
    }),
    of("a leak in bursts, one a minute", 1500.0, leaks(700.0), |p| {
        for burst in p.beats(0.0, NEVER, 60.0) {
            p.leak(burst, burst + 2.0, 100.0, 300);
        }
    }),
    of("a leak of rare and huge blocks", 1800.0, leaks(700.0), |p| {
        for born in p.beats(0.0, NEVER, 20.0) {
            p.leaks(born, 8 << 20);
        }
    }),
    of("a leak of tiny blocks", 400.0, leaks(140.0), |p| p.leak(0.0, NEVER, 60.0, 16)),
    of("churn with a long tail", 1800.0, HEALTHY, |p| {
        p.churn(0.0, NEVER, 30.0, 400, |random| random.lognormal(1.0, 2.0));
    }),
    of("a cache whose entries expire", 900.0, HEALTHY, |p| {
        p.churn(0.0, NEVER, 30.0, 900, |random| 60.0 + random.between(0.0, 6.0));
    }),
    of("what grows and then shrinks", 900.0, HEALTHY, |p| {
        for born in p.times(0.0, 100.0, 30.0) {
            let dies = p.random.between(110.0, 400.0);
            p.block(born, dies, 1000);
        }
    }),
    Scenario { look: SAMPLED, ..of("a sampled leak", 900.0, leaks(400.0), |p| p.leak(0.0, NEVER, 40.0, 16_384)) },
    Scenario {
        look: SAMPLED,
        ..of("sampled healthy churn", 900.0, HEALTHY, |p| p.churn(0.0, NEVER, 60.0, 16_384, exponential(10.0)))
    },
    of("one reference in a hundred is never dropped", 900.0, leaks(400.0), |p| {
        for born in p.times(0.0, NEVER, 60.0) {
            let life = p.random.wait(1.0);
            if p.random.chance(0.01) { p.leaks(born, 96) } else { p.lives(born, life, 96) }
        }
    }),
    of("state of connections whose number rises, then holds", 1500.0, HEALTHY, |p| {
        for born in p.varying_times(0.0, NEVER, 20.0, |seconds| (0.2 + seconds / 500.0).min(1.0)) {
            let life = p.random.wait(60.0);
            p.lives(born, life, 4000);
        }
    }),
    of("a pool of threads that warms up", 900.0, HEALTHY, |p| {
        for thread in 0..32 {
            p.leaks(f64::from(thread * thread) / 10.0 + 0.5, 1 << 20);
        }
    }),
    of("memory of a finite set of keys", 1800.0, HEALTHY, |p| {
        let times = p.times(0.0, NEVER, 30.0);
        p.memo(&times, 3000, 200);
    }),
    of("memory of an infinite set of keys", 600.0, leaks(180.0), |p| {
        let times = p.times(0.0, NEVER, 20.0);
        p.memo(&times, 1 << 50, 200);
    }),
    of("a daily wave that leaks a little", 3000.0, leaks(700.0), |p| {
        for born in p.varying_times(0.0, NEVER, 30.0, |seconds| 0.5 + 0.5 * wave(600.0)(seconds)) {
            let life = p.random.wait(4.0);
            if p.random.chance(0.1) { p.leaks(born, 600) } else { p.lives(born, life, 600) }
        }
    }),
    of("a warm-up, then a leak", 1500.0, &[Leaks { from: 300.0, within: 400.0 }], |p| {
        p.leak(0.0, 10.0, 100.0, 4096);
        p.leak(300.0, NEVER, 4.0, 4096);
    }),
    of("a program at rest", 300.0, HEALTHY, |p| p.leaks(0.5, 1 << 20)),
    of("steady state that was there before the trace", 1800.0, HEALTHY, |p| {
        p.churn(0.0, NEVER, 20.0, 1500, exponential(250.0));
    }),
    of("a cache of any entry's eviction beside temporaries", 900.0, HEALTHY, |p| {
        let times = p.times(0.0, NEVER, 15.0);
        p.cache(&times, 900, 800, false);
        p.churn(0.0, NEVER, 30.0, 800, exponential(0.5));
    }),
];
