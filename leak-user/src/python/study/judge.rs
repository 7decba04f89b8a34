//! From growth to what is told: names, rates, verdicts and why.

use std::collections::HashMap;

use super::{past::Past, watched::Spot};
use crate::{
    growth::Verdict,
    python::{
        holders::{ContainerGrowth, Contents, Limits, Path, Scan, Trend, TypeGrowth, Walk},
        layout::{SIZE, of_set},
        view::{Shape, View},
    },
    report::python::{Holder, TypeCount},
    units::{count, seconds},
};

/// Containers that are looked at closely: those that grow the most.
const LOOKED_AT: usize = 16;

/// Fewer entries more are chance.
const MIN_GROWTH: u64 = 16;

/// A name that was not found is looked for again after so many readings.
const AGAIN: u64 = 4;

/// Names of containers, as far as they were looked for.
#[derive(Default)]
pub struct Names {
    reading: u64,
    known: HashMap<(u64, u64), Name>,
}

struct Name {
    path: Option<Path>,
    at: u64,
}

/// A container that grows.
pub struct Known {
    growth: ContainerGrowth,
    path: Option<String>,
    contents: Contents,
    size_at: u64,
    /// Address of the type of which it is most full, where that is to be known.
    filling: Option<u64>,
    verdict: Verdict,
    confidence: f64,
}

impl Names {
    /// Judges containers that grow, the fastest by bytes first.
    pub fn judge(&mut self, view: &View<'_>, past: &Past, growing: &[ContainerGrowth], limits: Limits) -> Vec<Known> {
        self.reading += 1;
        let rises = |of: &&ContainerGrowth| of.entries.always_grew() && of.entries.growth() >= MIN_GROWTH;
        let candidates: Vec<&ContainerGrowth> = growing.iter().filter(rises).take(LOOKED_AT).collect();
        self.look_up(view, &candidates, limits);
        let mut known: Vec<Known> = candidates.into_iter().filter_map(|of| self.known(view, past, of)).collect();
        known.sort_by(|a, b| b.bytes_per_s().total_cmp(&a.bytes_per_s()));
        known
    }

    fn look_up(&mut self, view: &View<'_>, candidates: &[&ContainerGrowth], limits: Limits) {
        let reading = self.reading;
        self.known.retain(|(address, kind), _| candidates.iter().any(|of| (of.address, of.kind) == (*address, *kind)));
        let is_due = |of: &&&ContainerGrowth| {
            let known = self.known.get(&(of.address, of.kind));
            known.is_none_or(|name| name.path.is_none() && reading - name.at >= AGAIN)
        };
        let due: Vec<&ContainerGrowth> = candidates.iter().filter(is_due).copied().collect();
        if due.is_empty() {
            return;
        }
        let addresses: Vec<u64> = due.iter().map(|of| of.address).collect();
        let mut walk = Walk::new(view, limits);
        walk.run(&addresses);
        for of in due {
            let name = Name { path: walk.path(view, of.address), at: reading };
            self.known.insert((of.address, of.kind), name);
        }
    }

    fn known(&self, view: &View<'_>, past: &Past, of: &ContainerGrowth) -> Option<Known> {
        let contents = Contents::of(view, of.address)?;
        let path = self.known.get(&(of.address, of.kind)).and_then(|name| name.path.as_ref());
        let kind = view.kind_of(of.address)?;
        let size = if view.kind(kind).shape == Shape::Set { of_set::USED } else { SIZE };
        let leak = of.leak_at(path).filter(|_| !past.has_shrunk(of.address));
        let (verdict, confidence) = match leak {
            Some(confidence) => (Verdict::Leak, confidence),
            None if of.entries.scans < 3 => (Verdict::New, 0.0),
            None => (Verdict::Growing, (1.0 - 2.0 / f64::from(of.entries.scans)).max(0.0)),
        };
        Some(Known {
            growth: *of,
            path: path.map(ToString::to_string),
            contents,
            size_at: of.address + size,
            filling: None,
            verdict,
            confidence,
        })
    }
}

impl Known {
    /// Address of the container.
    pub const fn address(&self) -> u64 {
        self.growth.address
    }

    /// What to watch of it: the word that says how many entries it has.
    pub const fn spot(&self) -> Spot {
        Spot { address: self.growth.address, word: self.size_at }
    }

    /// Whether objects of this type are what it is full of.
    pub fn holds(&self, name: &str) -> bool {
        self.contents.values.iter().chain(&self.contents.keys).any(|share| share.name == name)
    }

    /// Finds the type of which it is most full, among those that grow and that a program defines: of others it is not
    /// seen who makes them.
    pub fn find_filling(&mut self, growing: &[TypeGrowth]) {
        let shares = self.contents.values.iter().chain(&self.contents.keys);
        let of = |name: &str| growing.iter().find(|of| of.name == name && name.contains('.'));
        self.filling = shares.filter_map(|share| of(&share.name)).map(|of| of.address).next();
    }

    /// That type, where it was found.
    pub const fn filling(&self) -> Option<u64> {
        self.filling
    }

    fn bytes_per_s(&self) -> f64 {
        self.growth.entries.per_second() * self.contents.bytes_per_entry
    }

    /// As a report tells it, but for who adds to it.
    pub fn told(&self, pid: u32) -> Holder {
        let entries = &self.growth.entries;
        Holder {
            pid,
            path: self.path.clone(),
            kind: self.contents.container.clone(),
            entries: entries.last,
            entries_per_s: entries.per_second(),
            bytes_per_s: self.bytes_per_s(),
            verdict: self.verdict,
            confidence: self.confidence,
            why: why(entries, self.verdict),
            holds: self.contents.values.iter().map(|share| share.name.clone()).collect(),
            additions: 0,
            removals: 0,
            added: Vec::new(),
            made: Vec::new(),
        }
    }
}

/// Why the verdict, in a sentence without its full stop.
pub fn why(trend: &Trend, verdict: Verdict) -> String {
    let readings = count(trend.scans.into());
    let grew = format!("grew in each of {readings} readings over {}", seconds(trend.seconds));
    match verdict {
        Verdict::Leak => format!("{grew} and never shrank"),
        Verdict::New => format!("{grew}; too early to say more"),
        _ => grew,
    }
}

/// Whether a type grows as a leak does.
pub fn is_suspect(of: &TypeGrowth) -> bool {
    of.leak().is_some()
}

/// The types with the most bytes, those that grow first.
pub fn types(pid: u32, last: Option<&Scan>, growing: &[TypeGrowth], most: usize) -> Vec<TypeCount> {
    let rates: HashMap<u64, (f64, f64)> =
        growing.iter().map(|of| (of.address, (of.objects.per_second(), of.bytes.per_second()))).collect();
    let mut all: Vec<TypeCount> = last
        .into_iter()
        .flat_map(|scan| &scan.types)
        .map(|of| {
            let (count_per_s, bytes_per_s) = rates.get(&of.address).copied().unwrap_or_default();
            TypeCount { pid, name: of.name.clone(), count: of.count, bytes: of.bytes, count_per_s, bytes_per_s }
        })
        .collect();
    all.sort_by(|a, b| b.bytes_per_s.total_cmp(&a.bytes_per_s).then(b.bytes.cmp(&a.bytes)));
    all.truncate(most);
    all
}
