//! Which Python lines make objects of chosen types: for what grows and is in no container, such as cycles of references, and
//! for containers where the processor's registers are not to be had.
//!
//! There is no word to watch, so the function that makes instances of classes has a probe on its return, which every instance
//! of every class hits. It is in place in turns, as for a word ([`duty`](super::duty)): what one costs is a turn's, whatever the
//! type. Objects that are not made by that function are not seen: those of built-in types, for the most part.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::programs::uprobe::UProbeLink;
use leak_ebpf::{MAX_WATCHED_WORDS, Signature};

use super::{
    Coverage, FIRST_LOOK, Write, chance,
    duty::{self, Next},
    programs::Programs,
    survivors::Survivors,
    turns::{InTurns, Turns},
};
use crate::{
    probe::place::place,
    process::{elf::ElfFile, maps::MappedFile, sparse},
    python::{interpreter::Interpreter, places::places},
};

/// The function.
const FUNCTION: &str = "PyType_GenericAlloc";

/// Seconds that a hit costs about, where the kernel carries out the probed instruction itself and where it steps it.
const EMULATED: f64 = 2.5e-6;
const STEPPED: f64 = 12.5e-6;

/// Counts instances of types of one process. It ends when this is dropped.
pub struct Instances(Turns<State>);

struct State {
    programs: Programs,
    pid: u32,
    file: MappedFile,
    offset: u64,
    /// Seconds that a hit costs.
    cost: f64,
    budget: f64,
    types: usize,
    survivors: Survivors,
    began: Instant,
    /// The turn under way: when it began, how often the probe had been hit by then, and the probe.
    turn: Option<(Instant, u64, UProbeLink)>,
    /// How long it was watched, in turns before this one.
    watched: Duration,
}

impl Instances {
    /// Counts instances of the types at these addresses, within a share of a processor's time.
    pub fn start(interpreter: &Interpreter, types: &[u64]) -> Result<Self> {
        Self::within(interpreter, types, duty::BUDGET)
    }

    /// The same, within another share.
    pub fn within(interpreter: &Interpreter, types: &[u64], budget: f64) -> Result<Self> {
        ensure!(
            (1..=MAX_WATCHED_WORDS).contains(&types.len()),
            "instances of {} types cannot be counted at once; give 1 to {MAX_WATCHED_WORDS}",
            types.len()
        );
        let mut words = [0; MAX_WATCHED_WORDS];
        words[..types.len()].copy_from_slice(types);
        let pid = interpreter.pid;
        let file = interpreter.mapping.open(pid).context("the interpreter's file cannot be opened")?;
        let (offset, is_emulated) = find(&file)?;
        let mut programs = Programs::load(&places(interpreter)?, words)?;
        programs.load_instance()?;
        let mut state = State {
            programs,
            pid,
            file,
            offset,
            cost: if is_emulated { EMULATED } else { STEPPED },
            budget,
            types: types.len(),
            survivors: Survivors::default(),
            began: Instant::now(),
            turn: None,
            watched: Duration::ZERO,
        };
        state.begin().with_context(|| format!("the kernel refused a probe on {FUNCTION} in process {pid}"))?;
        Ok(Self(Turns::start("python instances", state, FIRST_LOOK)?))
    }

    /// What was made so far, by type and stack: `additions` is how many instances.
    pub fn read(&self) -> Result<Vec<Write>> {
        self.0.with(|state| state.programs.writes(|by| state.survivors.of(by)))
    }

    /// Looks which of the objects that were made are still there; `is_there` says so of a type, by its place, and an
    /// address. To be asked at each reading of the heap: what is there at two of them stays.
    pub fn look(&self, is_there: impl Fn(usize, u64) -> bool) -> Result<()> {
        self.0.with(|state| {
            let made = state.programs.made()?;
            for address in state.survivors.look(&made, is_there) {
                state.programs.forget_made(address);
            }
            Ok(())
        })
    }

    /// How each type was watched so far, in the order in which they were given.
    pub fn coverage(&self) -> Result<Vec<Coverage>> {
        self.0.with(|state| state.coverage())
    }
}

impl InTurns for State {
    /// Sees to the turn under way, or begins one, and says when to look again.
    fn look(&mut self) -> Duration {
        let Some((began, before, link)) = self.turn.take() else {
            // A process that is gone has none any more.
            let _ = self.begin();
            return FIRST_LOOK;
        };
        let hits = self.programs.hits().unwrap_or(before);
        let turn = began.elapsed();
        match duty::next(turn, hits - before, self.cost, self.budget, chance()) {
            Next::Watch(wait) => {
                self.turn = Some((began, before, link));
                wait
            }
            Next::WatchAnew(wait) => {
                self.watched += turn;
                self.turn = Some((Instant::now(), hits, link));
                wait
            }
            Next::Pause(wait) => {
                drop(link);
                self.watched += began.elapsed();
                wait
            }
        }
    }

    fn end(&mut self) {
        self.turn = None;
    }
}

impl State {
    fn coverage(&self) -> Result<Vec<Coverage>> {
        let now = Instant::now();
        let turn = self.turn.as_ref().map_or(Duration::ZERO, |(began, ..)| now.saturating_duration_since(*began));
        let all = now.saturating_duration_since(self.began);
        let share = ((self.watched + turn).as_secs_f64() / all.as_secs_f64().max(1e-9)).min(1.0);
        let of = |index| {
            let seen = self.programs.seen(index)?;
            Ok(Coverage { share, writes: seen.writes, lost: seen.lost })
        };
        (0..self.types).map(of).collect()
    }

    fn begin(&mut self) -> Result<()> {
        let before = self.programs.hits()?;
        let link = self.programs.attach_instance(&self.file.path(), self.offset, self.pid)?;
        self.turn = Some((Instant::now(), before, link));
        Ok(())
    }
}

/// Where in the interpreter's file the probe goes, and whether the kernel carries out the instruction there itself.
fn find(file: &MappedFile) -> Result<(u64, bool)> {
    let symbols = sparse::read_symbols(&file.file)?;
    let object = ElfFile::parse(&symbols, "the interpreter")?;
    let functions = object.symbols(&[FUNCTION], |_| false)?;
    let function = functions.first().with_context(|| format!("the interpreter has no function {FUNCTION}"))?;
    let offset = object.segments().find_map(|segment| segment.file_offset_of(function.vaddr));
    let offset = offset.with_context(|| format!("{FUNCTION} is not in the interpreter's file"))?;
    let mut code = vec![0; usize::try_from(function.size)?.min(MOST_CODE)];
    std::os::unix::fs::FileExt::read_exact_at(&file.file, &mut code, offset)?;
    let placement = place(&code, function.vaddr, Signature::Size0)?;
    Ok((offset + placement.offset, placement.emulated))
}

/// Most bytes of the function that are looked at; it has a few hundred.
const MOST_CODE: usize = 1 << 16;
