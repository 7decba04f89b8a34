//! What can be measured, by name: `cargo xtask bench NAME…`.

use std::time::Duration;

use anyhow::Result;

use crate::{
    contender::Contender,
    interpreters, leak_under_load,
    race::Race,
    setup::Setup,
    table::{Bar, Limit, Table},
    tracer::Mode,
    walks,
    workloads::{Build, Objects, Pairs, Redis},
};

/// Something to measure.
pub struct Scenario {
    /// What to type, and the name of its file.
    pub name: &'static str,
    /// Whether it is measured where none is named.
    pub is_usual: bool,
    run: fn(&Setup) -> Result<Measured>,
}

/// What was measured.
pub struct Measured {
    /// The whole of it, as markdown.
    pub text: String,
    /// How each demand was met, a sentence each.
    pub verdicts: Vec<String>,
}

/// All of them, in the order in which they are measured.
pub const SCENARIOS: [Scenario; 10] = [
    Scenario { name: "pair", is_usual: true, run: |setup| pairs(setup, Build::FramePointers, 1) },
    Scenario { name: "pair-2", is_usual: true, run: |setup| pairs(setup, Build::FramePointers, 2) },
    Scenario { name: "pair-4", is_usual: true, run: |setup| pairs(setup, Build::FramePointers, 4) },
    Scenario { name: "churn", is_usual: true, run: |setup| pairs(setup, Build::Churn, 2) },
    Scenario { name: "redis-1", is_usual: true, run: |setup| redis(setup, 1) },
    Scenario { name: "redis-16", is_usual: true, run: |setup| redis(setup, 16) },
    Scenario { name: "python", is_usual: true, run: python },
    Scenario { name: "walks", is_usual: true, run: walks::measure },
    Scenario { name: "interpreters", is_usual: true, run: |_| interpreters::measure() },
    Scenario { name: "redis-budget", is_usual: false, run: leak_under_load::measure },
];

impl Scenario {
    /// Measures for so long as that takes.
    pub fn run(&self, setup: &Setup) -> Result<Measured> {
        (self.run)(setup)
    }
}

impl From<Table> for Measured {
    fn from(table: Table) -> Self {
        Self { text: table.to_string(), verdicts: table.verdicts() }
    }
}

/// Turns of each contender, where a turn is short: many, so that on a busy machine those of a round are under one load.
const ROUNDS: usize = 31;

/// Heats of the loops, which do so little that it matters most what else goes on.
const HEATS: usize = 5;

/// Milliseconds of such a turn.
const TURN_MS: u64 = 60;

/// Frames of the loops' stacks, beside those that start their threads.
const DEPTH: u32 = 5;

const EXACT: Contender = Contender::Leaktrace(Mode::Exact);
const SAMPLED: Contender = Contender::Leaktrace(Mode::Sampled);
const BUDGETED: Contender = Contender::Leaktrace(Mode::Budgeted);

/// Loops that do nothing but allocate, against floors with as many threads.
fn pairs(setup: &Setup, build: Build, threads: u32) -> Result<Measured> {
    let what = match build {
        Build::Churn => "blocks of mixed sizes that live on, often freed by another thread",
        Build::FramePointers | Build::Tables => "malloc(64) and free in a tight loop",
    };
    let bars = [
        Bar { of: EXACT, to: Contender::FloorA, limit: Limit::AtMost(1.35) },
        Bar { of: EXACT, to: Contender::Memleak, limit: Limit::AtMost(0.25) },
        Bar { of: SAMPLED, to: Contender::FloorB, limit: Limit::AtMost(1.15) },
    ];
    let race = Race {
        title: format!("{what}, {DEPTH} frames deep, threads: {threads}"),
        unit: "ns a pair",
        heats: HEATS,
        rounds: ROUNDS / 3,
        bases: &[Contender::FloorA, Contender::FloorB, Contender::Memleak],
        bars: &bars,
    };
    let pairs = Pairs { targets: setup.targets.clone(), build, depth: DEPTH, threads, turn_ms: TURN_MS };
    Ok(race.run(setup, &pairs)?.into())
}

/// redis-server with requests of 50 clients, so many of each at a time.
fn redis(setup: &Setup, pipeline: u32) -> Result<Measured> {
    let bars = [Bar { of: BUDGETED, to: Contender::Untraced, limit: Limit::AtLeast(0.93) }];
    let race = Race {
        title: format!("redis-server under redis-benchmark -P {pipeline} (SET, more is better)"),
        unit: "requests/s",
        heats: 1,
        rounds: 7,
        bases: &[Contender::Untraced],
        bars: if pipeline == 1 { &bars } else { &[] },
    };
    Ok(race.run(setup, &Redis::find(pipeline, Duration::from_millis(700))?)?.into())
}

/// A Python script that makes and drops objects.
fn python(setup: &Setup) -> Result<Measured> {
    let race = Race {
        title: "a CPython script that makes and drops objects".to_owned(),
        unit: "ns a loop",
        heats: 1,
        rounds: ROUNDS,
        bases: &[Contender::Untraced],
        bars: &[],
    };
    Ok(race.run(setup, &Objects::find()?)?.into())
}
