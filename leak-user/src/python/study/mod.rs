//! An interpreter followed over time: its heap is read again and again, what grows is named, and the containers that grow
//! the most are watched for the lines that add to them.
//!
//! It promises that a container is only said to leak that the program reaches by a name, that grew at each reading for some
//! time and never shrank. It leaves out when to read ([`Study::next`] says when it would, if there were nothing else to do), and where the readings go.

mod judge;
mod memory;
mod past;
mod unheld;
mod watched;

use std::time::{Duration, Instant};

use anyhow::Result;

use self::{
    judge::{Known, Names},
    past::Past,
    unheld::{Suspects, Unheld},
    watched::{Sort, Spot, Watched},
};
use super::{
    heap::Heap,
    holders::{Ended, Limits, Scan, TypeGrowth, Unreached, Walk, is_torn, unreached},
    interpreter::Interpreter,
    snapshot::Snapshot,
    view::View,
};
use crate::report::python::{self as report, Cycle, Holder, Python, Reading, TypeCount};

/// Pauses between the first readings; then the last of them holds.
const PAUSES: [Duration; 8] = [
    Duration::from_secs(2),
    Duration::from_secs(3),
    Duration::from_secs(3),
    Duration::from_secs(4),
    Duration::from_secs(4),
    Duration::from_secs(5),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Most objects and most time of a walk from the program's names.
const LIMITS: Limits = Limits { objects: 4 << 20, time: Duration::from_secs(5) };

/// Containers, those that grew most, of which a copy must have what they hold before anything is said to be held by none.
const JUDGED_WHOLE: usize = 64;

/// Types that are told.
const TYPES_TOLD: usize = 25;

/// An interpreter, and what was found so far.
pub struct Study {
    interpreter: Interpreter,
    began: Instant,
    past: Past,
    names: Names,
    watched: Watched,
    made: Watched,
    next: Instant,
    is_over: bool,
    about: report::Interpreter,
    types: Vec<TypeCount>,
    known: Vec<Known>,
    unreached: Suspects,
    unheld: Vec<Unheld>,
}

impl Study {
    /// Of an interpreter that was not read yet.
    pub fn begin(interpreter: Interpreter) -> Self {
        let now = Instant::now();
        let about = report::Interpreter {
            pid: interpreter.pid,
            version: Some(interpreter.version.to_string()),
            state: Reading::Waiting,
            why: None,
            scans: 0,
            scan_s: 0.0,
            live_blocks: 0,
            live_bytes: 0,
        };
        Self {
            interpreter,
            began: now,
            past: Past::default(),
            names: Names::default(),
            watched: Watched::new(Sort::Containers),
            made: Watched::new(Sort::Types),
            next: now,
            is_over: false,
            about,
            types: Vec::new(),
            known: Vec::new(),
            unreached: Suspects::default(),
            unheld: Vec::new(),
        }
    }

    /// When to read next; never again once the process is gone.
    pub const fn next(&self) -> Option<Instant> {
        if self.is_over { None } else { Some(self.next) }
    }

    /// Reads no more: the process is gone. What is known stays.
    pub fn end(&mut self) {
        self.is_over = true;
        self.watched.end(&self.interpreter);
        self.made.end(&self.interpreter);
    }

    /// Reads the heap once more. Where that fails, what is known stays and the reason is told.
    pub fn read(&mut self) {
        match self.try_read() {
            Ok(()) => {
                self.about.state = Reading::Read;
                self.about.why = self.watched.refusal().or_else(|| self.made.refusal());
            }
            Err(error) => {
                self.about.why = Some(format!("{error:#}"));
                if self.about.scans == 0 {
                    self.about.state = Reading::Refused;
                }
            }
        }
        let pause = PAUSES[(self.about.scans as usize).saturating_sub(1).min(PAUSES.len() - 1)];
        self.next = Instant::now() + pause;
    }

    fn try_read(&mut self) -> Result<()> {
        let snapshot = Snapshot::take(&self.interpreter, memory::most_bytes())?;
        let heap = Heap::scan(&self.interpreter, &snapshot)?;
        let view = View::new(&self.interpreter, &heap);
        let seconds = snapshot.at.saturating_duration_since(self.began).as_secs_f64();
        self.past.add(Scan::of(&view, seconds));
        self.about.scans += 1;
        self.about.scan_s = (snapshot.took + heap.took).as_secs_f64();
        (self.about.live_blocks, self.about.live_bytes) = (heap.live_blocks, heap.live_bytes);
        let growing = self.past.growth();
        self.types = judge::types(self.interpreter.pid, self.past.last(), &growing.types, TYPES_TOLD);
        self.known = self.names.judge(&view, &self.past, &growing.containers, LIMITS);
        let suspects = self.suspects(&growing.types);
        // Where that is not known, what was found before stays.
        let is_torn = growing.containers.iter().take(JUDGED_WHOLE).any(|of| is_torn(&view, of.address));
        if !is_torn && let Some(found) = out_of_reach(&view, &suspects) {
            self.unheld = self.unreached.note(self.interpreter.pid, &suspects, &found);
        }
        let spots: Vec<Spot> = self.known.iter().map(Known::spot).collect();
        self.watched.choose(&self.interpreter, &spots);
        let of_types = |address: u64| Spot { address, word: address };
        let mut spots: Vec<Spot> = self.unheld.iter().map(|unheld| of_types(unheld.address)).collect();
        if self.watched.refusal().is_some() {
            // Who adds cannot be seen, but who makes what is added.
            self.known.iter_mut().for_each(|known| known.find_filling(&growing.types));
            for filling in self.known.iter().filter_map(Known::filling) {
                if spots.iter().all(|spot| spot.address != filling) {
                    spots.push(of_types(filling));
                }
            }
        }
        self.made.look(&view);
        self.made.choose(&self.interpreter, &spots);
        Ok(())
    }

    /// Types that leak, and of whose objects nothing that was found to grow is full.
    fn suspects<'t>(&self, types: &'t [TypeGrowth]) -> Vec<&'t TypeGrowth> {
        let is_held = |name: &str| self.known.iter().any(|known| known.holds(name));
        types.iter().filter(|of| judge::is_suspect(of) && !is_held(&of.name)).collect()
    }

    /// Reads what the watch has seen.
    pub fn refresh(&mut self) {
        self.watched.read(&self.interpreter);
        self.made.read(&self.interpreter);
    }

    /// Adds what is known to a report.
    pub fn tell(&self, python: &mut Python) {
        python.interpreters.push(self.about.clone());
        python.types.extend(self.types.iter().cloned());
        let cycles = self.unheld.iter().map(|unheld| {
            let (_, _, added) = self.made.of(unheld.address);
            Cycle { added, ..unheld.told.clone() }
        });
        python.cycles.extend(cycles);
        let holders = self.known.iter().map(|known| {
            let (additions, removals, added) = self.watched.of(known.address());
            let made = known.filling().filter(|_| added.is_empty()).map(|kind| self.made.of(kind).2);
            let made = made.unwrap_or_default();
            Holder { additions, removals, added, made, ..known.told(self.interpreter.pid) }
        });
        python.holders.extend(holders);
    }
}

/// The objects of these types that nothing reaches; none where a walk does not come to its end.
fn out_of_reach(view: &View<'_>, suspects: &[&TypeGrowth]) -> Option<Vec<Unreached>> {
    if suspects.is_empty() {
        return Some(Vec::new());
    }
    let mut walk = Walk::new(view, LIMITS);
    let kinds: Vec<u64> = suspects.iter().map(|of| of.address).collect();
    (walk.run(&[u64::MAX]) == Ended::Whole).then(|| unreached(view, &walk, &kinds))
}
