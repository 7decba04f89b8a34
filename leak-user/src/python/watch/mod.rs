//! Which Python lines write to containers: a running process's, up to four at a time.
//!
//! A container's size is a word of memory. The processor itself watches it: each write traps into a program in the kernel,
//! which walks the Python stack and sums by it what was added and removed. The target is not changed, and what is not
//! written to costs nothing. Writes are watched for a share of the time ([`duty`]), which is told.
//!
//! What is counted is what happens at an address. Who watches a container ends the watch when it is gone from there.

mod breakpoints;
mod cost;
mod duty;
mod instances;
mod programs;
mod survivors;
mod turns;

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
pub use instances::Instances;
use leak_ebpf::MAX_WATCHED_WORDS;
pub use leak_ebpf::PythonCall;

use self::{
    breakpoints::{Breakpoints, is_full},
    duty::Next,
    programs::Programs,
    turns::{InTurns, Turns},
};
use super::{interpreter::Interpreter, memory::Memory, places::places};

/// What one Python stack has done to one container, since the watch began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which of the containers, by its place among those that the watch was started with.
    pub index: usize,
    /// By how many entries it grew.
    pub additions: u64,
    /// By how many it shrank.
    pub removals: u64,
    /// Of objects that were made: how many were seen to stay. See [`Instances::look`].
    pub stayed: u64,
    /// The stack, innermost first: at most 64 frames. Empty where a thread has none.
    pub frames: Vec<PythonCall>,
}

/// How a container was watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    /// The share of the time since the watch began in which it was.
    pub share: f64,
    /// Writes to its size that were seen.
    pub writes: u64,
    /// Additions and removals that are in no [`Write`], for there were too many stacks.
    pub lost: u64,
}

/// A watch on containers of a process. It ends when this is dropped.
pub struct Watch(Turns<State>);

struct State {
    programs: Programs,
    memory: Memory,
    words: Vec<Word>,
    /// Seconds that a write costs.
    cost: f64,
    /// The share of a processor's time that all of it may cost.
    budget: f64,
}

/// A watched word.
struct Word {
    address: u64,
    breakpoints: Breakpoints,
    began: Instant,
    /// When its turn began; `None` while it pauses.
    turn: Option<Instant>,
    /// How often it had been written to then.
    writes: u64,
    /// When to look at it next.
    next: Instant,
    /// How long it was watched, in turns before this one.
    watched: Duration,
    /// The share of a processor's time that watching it always would cost, as it was last seen.
    cost: f64,
}

impl Watch {
    /// Watches the containers whose sizes are at these addresses: as many as the processor has registers for at most.
    pub fn start(interpreter: &Interpreter, addresses: &[u64]) -> Result<Self> {
        Self::within(interpreter, addresses, duty::BUDGET)
    }

    /// The same, within another share of a processor's time.
    pub fn within(interpreter: &Interpreter, addresses: &[u64], budget: f64) -> Result<Self> {
        ensure!(
            (1..=MAX_WATCHED_WORDS).contains(&addresses.len()),
            "{} containers cannot be watched at once; give 1 to {MAX_WATCHED_WORDS}",
            addresses.len()
        );
        ensure!(addresses.iter().all(|address| address.is_multiple_of(8)), "a container's size is a word of memory");
        let mut words = [0; MAX_WATCHED_WORDS];
        words[..addresses.len()].copy_from_slice(addresses);
        let mut programs = Programs::load(&places(interpreter)?, words)?;
        programs.load_write()?;
        let pid = interpreter.pid;
        let memory = Memory::of(pid).with_context(|| format!("the memory of process {pid} cannot be read"))?;
        let cost = cost::measure(programs.write()?);
        let opened: io::Result<Vec<Breakpoints>> = addresses
            .iter()
            .map(|address| Breakpoints::in_process(pid, *address, programs.write().map_err(io::Error::other)?))
            .collect();
        let opened = opened.map_err(|error| refused(pid, error))?;
        let now = Instant::now();
        let mut state = State { programs, memory, words: Vec::new(), cost, budget };
        for (address, breakpoints) in addresses.iter().zip(opened) {
            let word = Word {
                address: *address,
                breakpoints,
                began: now,
                turn: None,
                writes: 0,
                next: now,
                watched: Duration::ZERO,
                cost: 0.0,
            };
            state.words.push(word);
        }
        for index in 0..state.words.len() {
            state.begin(index);
        }
        Ok(Self(Turns::start("python watch", state, FIRST_LOOK)?))
    }

    /// What was written so far, by container and stack.
    pub fn read(&self) -> Result<Vec<Write>> {
        self.0.with(|state| state.programs.writes(|_| 0))
    }

    /// How each container was watched so far, in the order in which they were given.
    pub fn coverage(&self) -> Result<Vec<Coverage>> {
        self.0.with(|state| state.coverage())
    }

    /// Microseconds that a write to a watched container costs the target, as measured on leaktrace itself.
    pub fn cost(&self) -> f64 {
        self.0.with(|state| state.cost) * 1e6
    }
}

impl InTurns for State {
    fn look(&mut self) -> Duration {
        self.look_at_those_due(Instant::now())
    }

    fn end(&mut self) {
        for word in 0..self.words.len() {
            self.pause(word, Instant::now());
        }
    }
}

impl State {
    fn coverage(&self) -> Result<Vec<Coverage>> {
        let now = Instant::now();
        let of = |(index, word): (usize, &Word)| {
            let seen = self.programs.seen(index)?;
            let watched = word.watched + word.turn.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
            let share = watched.as_secs_f64() / now.saturating_duration_since(word.began).as_secs_f64().max(1e-9);
            Ok(Coverage { share: share.min(1.0), writes: seen.writes, lost: seen.lost })
        };
        self.words.iter().enumerate().map(of).collect()
    }

    /// Looks at the words whose time has come, and says when to look again.
    fn look_at_those_due(&mut self, now: Instant) -> Duration {
        let costs: Vec<f64> = self.words.iter().map(|word| word.cost).collect();
        let shares = duty::divide(self.budget, &costs);
        for (index, share) in shares.into_iter().enumerate() {
            if self.words[index].next <= now {
                self.look_at(index, share);
            }
        }
        let next = self.words.iter().map(|word| word.next).min().unwrap_or(now);
        next.saturating_duration_since(Instant::now())
    }

    fn look_at(&mut self, index: usize, share: f64) {
        let seen = self.programs.seen(index).map_or(0, |seen| seen.writes);
        let now = Instant::now();
        let word = &mut self.words[index];
        let Some(began) = word.turn else {
            self.begin(index);
            return;
        };
        let (turn, writes) = (now.saturating_duration_since(began), seen - word.writes);
        word.cost = writes as f64 * self.cost / turn.as_secs_f64().max(1e-9);
        match duty::next(turn, writes, self.cost, share, chance()) {
            Next::Watch(wait) => word.next = now + wait,
            Next::WatchAnew(wait) => {
                word.watched += turn;
                (word.turn, word.writes, word.next) = (Some(now), seen, now + wait);
            }
            Next::Pause(wait) => {
                self.pause(index, now);
                self.words[index].next = now + wait;
            }
        }
    }

    /// Begins a word's turn. What is written while its threads are told one after the other is not counted.
    fn begin(&mut self, index: usize) {
        let word = &mut self.words[index];
        word.writes = self.programs.seen(index).map_or(word.writes, |seen| seen.writes);
        word.breakpoints.enable();
        let size = || self.memory.word(word.address);
        // A map that was there a moment ago is there still.
        let _ = self.programs.heed(index, size);
        let now = Instant::now();
        (word.turn, word.next) = (Some(now), now + FIRST_LOOK);
    }

    /// Ends it.
    fn pause(&mut self, index: usize, now: Instant) {
        let word = &mut self.words[index];
        if let Some(began) = word.turn.take() {
            // As above.
            let _ = self.programs.ignore(index);
            word.breakpoints.disable();
            word.watched += now.saturating_duration_since(began);
        }
    }
}

/// How soon to look at a word whose turn has just begun.
const FIRST_LOOK: Duration = Duration::from_millis(5);

/// A number between 0 and 1 that nobody can foretell.
fn chance() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

fn refused(pid: u32, error: io::Error) -> anyhow::Error {
    if is_full(&error) {
        return anyhow!(
            "the processor's debug registers are in use in process {pid}, as by a debugger or another watch; end that, \
             or watch fewer containers"
        );
    }
    anyhow::Error::new(error).context(format!("containers of process {pid} cannot be watched"))
}
