//! What a walk of the stack costs at an allocation: the kernel's own by frame pointers, beside leaktrace's by tables.
//!
//! Both walk the same functions, compiled with frame pointers for the one and without for the other. From each is taken
//! what an empty program on the same instruction of the same build costs, measured in turns with it. All are perf events,
//! which every kernel has.

use std::fmt;

use anyhow::Result;
use leak_user::probe::load::LinkKind;

use crate::{
    probes::{EMPTY_ENTRY, KERNEL_WALK, Probes},
    progress,
    scenarios::Measured,
    series::Series,
    setup::Setup,
    walker::Walker,
    workloads::{Build, LIBC, Pairs, Subject, TurnTaker},
};

/// Frames of the loops' stacks, beside those that start their threads.
const DEPTHS: [u32; 3] = [5, 20, 60];

/// Turns that each loop takes, and milliseconds of one.
const ROUNDS: usize = 15;
const TURN_MS: u64 = 100;

/// Stacks of one depth, walked in two ways.
struct Row {
    depth: u32,
    kernel: Side,
    leaktrace: Side,
    remembered: Side,
}

/// A build of the loop that does nothing at an allocation, and one that walks.
struct Side {
    empty: TurnTaker,
    walking: TurnTaker,
    probes: Vec<Probes>,
    empty_times: Series,
    walking_times: Series,
}

/// What was measured.
struct Walks {
    rows: Vec<Row>,
    frames: Vec<usize>,
    whole_share: f64,
}

/// Measures for so long as that takes.
pub fn measure(setup: &Setup) -> Result<Measured> {
    let mut walker = Walker::load()?;
    let mut rows = DEPTHS.iter().map(|depth| Row::start(setup, *depth, &mut walker)).collect::<Result<Vec<_>>>()?;
    for round in 0..ROUNDS {
        for row in &mut rows {
            row.kernel.run()?;
            row.leaktrace.run()?;
            row.remembered.run()?;
        }
        progress::show(&format!("round {} of {ROUNDS}", round + 1));
    }
    progress::clear();
    let frames = rows.iter().map(|row| row.kernel.most_frames()).collect::<Result<_>>()?;
    let walks = Walks { rows, frames, whole_share: walker.whole_share()? };
    Ok(Measured { text: walks.to_string(), verdicts: Vec::new() })
}

impl Row {
    fn start(setup: &Setup, depth: u32, walker: &mut Walker) -> Result<Self> {
        let mut kernel = Side::start(setup, Build::FramePointers, depth)?;
        let (object, pid) = (&setup.floor_object, kernel.walking.pid());
        kernel.probes.push(Probes::attach(object, pid, LIBC, &KERNEL_WALK, LinkKind::Perf)?);
        let leaktrace = Side::start(setup, Build::Tables, depth)?;
        walker.attach(leaktrace.walking.pid(), "walk")?;
        let remembered = Side::start(setup, Build::Tables, depth)?;
        walker.attach(remembered.walking.pid(), "recall")?;
        Ok(Self { depth, kernel, leaktrace, remembered })
    }
}

impl Side {
    /// Starts the loops; puts an empty program on the one, and nothing yet on the other.
    fn start(setup: &Setup, build: Build, depth: u32) -> Result<Self> {
        let pairs = Pairs { targets: setup.targets.clone(), build, depth, threads: 1, turn_ms: TURN_MS };
        let (empty, walking) = (pairs.start_loop(None)?, pairs.start_loop(None)?);
        let probes = vec![Probes::attach(&setup.floor_object, empty.pid(), LIBC, &EMPTY_ENTRY, LinkKind::Perf)?];
        let (empty_times, walking_times) = Default::default();
        Ok(Self { empty, walking, probes, empty_times, walking_times })
    }

    /// Takes a turn with each.
    fn run(&mut self) -> Result<()> {
        self.empty_times.add(self.empty.turn()?);
        self.walking_times.add(self.walking.turn()?);
        Ok(())
    }

    /// Nanoseconds of a walk.
    fn cost(&self) -> f64 {
        self.walking_times.median_above(&self.empty_times)
    }

    fn most_frames(&self) -> Result<usize> {
        let frames = self.probes.iter().map(Probes::most_frames).collect::<Result<Vec<_>>>()?;
        Ok(frames.into_iter().max().unwrap_or(0))
    }
}

impl fmt::Display for Walks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stack walks, ns each, without what an empty probe on malloc costs\n")?;
        writeln!(
            f,
            "| frames | bpf_get_stackid, with frame pointers | leaktrace by .eh_frame, without | x | where it remembers | x |"
        )?;
        writeln!(f, "|---:|---:|---:|---:|---:|---:|")?;
        for Row { depth, kernel, leaktrace, remembered } in &self.rows {
            let [kernel, leaktrace, remembered] = [kernel, leaktrace, remembered].map(Side::cost);
            let [walked, recalled] = [leaktrace, remembered].map(|cost| cost / kernel);
            writeln!(f, "| {depth} | {kernel:.0} | {leaktrace:.0} | {walked:.2} | {remembered:.0} | {recalled:.2} |")?;
        }
        let frames: Vec<String> = self.frames.iter().map(ToString::to_string).collect();
        let whole = self.whole_share * 100.0;
        let empty = self.rows.first().map_or(f64::NAN, |row| row.leaktrace.empty_times.median());
        writeln!(
            f,
            "\nA pair of malloc and free with the empty probe takes {empty:.0} ns. The kernel's walks have {} frames, the \
             start of the thread among them; {whole:.1} % of leaktrace's come to the bottom.",
            frames.join(", ")
        )
    }
}
