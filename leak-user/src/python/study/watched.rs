//! What is watched, containers or types of objects: which ones, and what was seen of each so far, also by watches that
//! are over.

use std::collections::HashMap;

use anyhow::Result;

use crate::{
    python::{
        interpreter::Interpreter,
        lines::Lines,
        view::View,
        watch::{Instances, PythonCall, Watch, Write},
    },
    report::{Frame, python::Addition},
};

/// So many are watched at once: a processor has so many registers for words.
const AT_ONCE: usize = 4;

/// Places that are told of a container.
const PLACES_TOLD: usize = 5;

/// Stacks that are remembered of a container.
const MAX_STACKS: usize = 512;

/// What a watch is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The sizes of containers.
    Containers,
    /// Types, for objects that are made.
    Types,
}

/// Something to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Address of the container, or of the type.
    pub address: u64,
    /// What is watched of it: the word with its size, or the type itself.
    pub word: u64,
}

enum Source {
    Containers(Watch),
    Types(Instances),
}

impl Source {
    fn start(sort: Sort, interpreter: &Interpreter, words: &[u64]) -> Result<Self> {
        Ok(match sort {
            Sort::Containers => Self::Containers(Watch::start(interpreter, words)?),
            Sort::Types => Self::Types(Instances::start(interpreter, words)?),
        })
    }

    fn read(&self) -> Result<Vec<Write>> {
        match self {
            Self::Containers(watch) => watch.read(),
            Self::Types(instances) => instances.read(),
        }
    }
}

/// See the module.
pub struct Watched {
    sort: Sort,
    source: Option<Source>,
    /// Of the watch, in its order.
    addresses: Vec<u64>,
    lines: Lines,
    /// Of watches that are over.
    before: HashMap<u64, Stacks>,
    /// Of this one.
    now: HashMap<u64, Stacks>,
    refusal: Option<String>,
}

/// Function, file and line.
type Place<'a> = (Option<&'a str>, Option<&'a str>, Option<u32>);

type Stacks = HashMap<Box<[u64]>, Stack>;

/// What a stack has done.
#[derive(Clone, Default)]
struct Stack {
    additions: u64,
    removals: u64,
    /// Of objects that were made: how many were seen to stay.
    stayed: u64,
    frames: Vec<Frame>,
}

impl Watched {
    /// Nothing yet.
    pub fn new(sort: Sort) -> Self {
        Self {
            sort,
            source: None,
            addresses: Vec::new(),
            lines: Lines::default(),
            before: HashMap::new(),
            now: HashMap::new(),
            refusal: None,
        }
    }

    /// Why nothing is watched, if it cannot be: a sentence without its full stop.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.clone()
    }

    /// Watches the first of these, which come in order of weight, if they are not watched already.
    pub fn choose(&mut self, interpreter: &Interpreter, spots: &[Spot]) {
        let wanted = &spots[..spots.len().min(AT_ONCE)];
        let still = |address: &u64| spots.iter().any(|spot| spot.address == *address);
        let is_full = self.addresses.len() == AT_ONCE && self.addresses.iter().all(still);
        let is_same = wanted.iter().all(|spot| self.addresses.contains(&spot.address));
        if wanted.is_empty() || is_same && self.source.is_some() || is_full {
            return;
        }
        self.end(interpreter);
        for (address, stacks) in self.now.drain() {
            merge(self.before.entry(address).or_default(), stacks);
        }
        self.before.retain(|address, _| still(address));
        let words: Vec<u64> = wanted.iter().map(|spot| spot.word).collect();
        self.addresses = wanted.iter().map(|spot| spot.address).collect();
        match Source::start(self.sort, interpreter, &words) {
            Ok(source) => (self.source, self.refusal) = (Some(source), None),
            Err(error) => {
                self.addresses.clear();
                let what = match self.sort {
                    Sort::Containers => "add to containers",
                    Sort::Types => "make objects",
                };
                self.refusal = Some(format!("the lines that {what} cannot be seen: {error:#}"));
            }
        }
    }

    /// Looks, of types, which objects that were made are still there.
    pub fn look(&mut self, view: &View<'_>) {
        let Some(Source::Types(instances)) = &self.source else { return };
        let is_of = |kind, address| self.addresses.get(kind).is_some_and(|of| view.kind(address).address == *of);
        // What cannot be read now can be the next time.
        let _ = instances.look(|kind, address| view.kind_of(address).is_some_and(|found| is_of(kind, found)));
    }

    /// Watches no more.
    pub fn end(&mut self, interpreter: &Interpreter) {
        self.read(interpreter);
        self.source = None;
    }

    /// Reads what was seen, and names it while the code is there that did it.
    pub fn read(&mut self, interpreter: &Interpreter) {
        let Some(source) = &self.source else { return };
        let Ok(writes) = source.read() else { return };
        for write in writes {
            let Some(address) = self.addresses.get(write.index) else { continue };
            let stacks = self.now.entry(*address).or_default();
            let key: Box<[u64]> = write.frames.iter().flat_map(|call| [call.code, call.instruction]).collect();
            if stacks.len() >= MAX_STACKS && !stacks.contains_key(&key) {
                continue;
            }
            let frame = |call: &PythonCall| self.lines.frame(interpreter, *call);
            let stack = stacks
                .entry(key)
                .or_insert_with(|| Stack { frames: write.frames.iter().map(frame).collect(), ..Stack::default() });
            (stack.additions, stack.removals, stack.stayed) = (write.additions, write.removals, write.stayed);
        }
    }

    /// Entries that were seen to be added to a container and removed from it, and where they were added. Of a type: objects
    /// that were made, and where; as soon as some were seen to stay, where those were.
    pub fn of(&self, address: u64) -> (u64, u64, Vec<Addition>) {
        let mut places: HashMap<Place<'_>, Addition> = HashMap::new();
        let (mut additions, mut removals) = (0, 0);
        let all = || {
            let stacks = [&self.before, &self.now].into_iter().filter_map(|stacks| stacks.get(&address));
            stacks.flat_map(HashMap::values)
        };
        let have_stayed = all().any(|stack| stack.stayed > 0);
        for stack in all() {
            let added = if have_stayed { stack.stayed } else { stack.additions };
            additions += added;
            removals += stack.removals;
            let Some(first) = stack.frames.first().filter(|_| added > 0) else { continue };
            let place = (first.function.as_deref(), first.file.as_deref(), first.line);
            let of =
                places.entry(place).or_insert_with(|| Addition { share: 0.0, count: 0, frames: stack.frames.clone() });
            of.count += added;
        }
        let mut added: Vec<Addition> = places.into_values().collect();
        added.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| place_of(a).cmp(&place_of(b))));
        added.truncate(PLACES_TOLD);
        for addition in &mut added {
            addition.share = addition.count as f64 / additions.max(1) as f64;
        }
        (additions, removals, added)
    }
}

fn place_of(addition: &Addition) -> Option<(&Option<String>, Option<u32>)> {
    addition.frames.first().map(|frame| (&frame.file, frame.line))
}

fn merge(into: &mut Stacks, from: Stacks) {
    for (key, stack) in from {
        let known = into.entry(key).or_insert_with(|| Stack { frames: stack.frames.clone(), ..Stack::default() });
        known.additions += stack.additions;
        known.removals += stack.removals;
        known.stayed += stack.stayed;
    }
}
