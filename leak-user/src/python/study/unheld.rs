//! Types of which there are ever more objects that nothing reaches: cycles of references.
//!
//! Promises that it is those objects that become more, reading by reading: some are always out of reach, such as what only C
//! code refers to; and a list that was moved while memory was copied leaves all that it holds out of reach, once.

use std::collections::HashMap;

use super::judge::why;
use crate::{
    growth::Verdict,
    python::holders::{TypeGrowth, Unreached},
    report::python::Cycle,
};

/// Share of what a type has grown by that must be out of reach.
const MIN_UNREACHED: f64 = 0.5;

/// Fewest readings of a type that is suspected.
const MIN_READINGS: usize = 3;

/// Readings, the last ones, at each of which the share must be.
const AGREEING: usize = 2;

/// A type of which those objects grow that nothing reaches.
pub struct Unheld {
    /// Address of the type.
    pub address: u64,
    /// As a report tells it, but for who makes them.
    pub told: Cycle,
}

/// What was seen of types that are suspected, by address, reading by reading.
#[derive(Default)]
pub struct Suspects {
    readings: HashMap<u64, Vec<Count>>,
}

/// Objects of a type.
#[derive(Clone, Copy, Debug)]
struct Count {
    all: u64,
    unreached: u64,
}

impl Suspects {
    /// Takes note of a reading, and gives the types that are unheld by now, the fastest by bytes first: of the program's own,
    /// or else of whichever there are, for of what a cycle goes through the classes say most.
    pub fn note(&mut self, pid: u32, suspects: &[&TypeGrowth], found: &[Unreached]) -> Vec<Unheld> {
        self.readings.retain(|address, _| suspects.iter().any(|of| of.address == *address));
        let unreached = |address: u64| found.iter().find(|found| found.kind == address);
        for of in suspects {
            let count =
                Count { all: of.objects.last, unreached: unreached(of.address).map_or(0, |found| found.unreached) };
            self.readings.entry(of.address).or_default().push(count);
        }
        let of = |suspect: &&TypeGrowth| {
            let found = unreached(suspect.address).filter(|found| !found.cycles.is_empty())?;
            let is_it = self.readings.get(&suspect.address).is_some_and(|readings| grows_out_of_reach(readings));
            if is_it { told(pid, suspect, found) } else { None }
        };
        let mut all: Vec<Unheld> = suspects.iter().filter_map(of).collect();
        let is_own = |unheld: &Unheld| unheld.told.name.contains('.');
        if all.iter().any(is_own) {
            all.retain(is_own);
        }
        all.sort_by(|a, b| b.told.bytes_per_s.total_cmp(&a.told.bytes_per_s));
        all
    }
}

fn told(pid: u32, growth: &TypeGrowth, found: &Unreached) -> Option<Unheld> {
    let told = Cycle {
        pid,
        name: found.name.clone(),
        count: found.unreached,
        count_per_s: growth.objects.per_second(),
        bytes_per_s: growth.bytes.per_second(),
        verdict: Verdict::Leak,
        confidence: growth.leak()?,
        why: format!("{}, and no name leads to them", why(&growth.objects, Verdict::Leak)),
        fields: found.cycles.iter().map(ToString::to_string).collect(),
        added: Vec::new(),
    };
    Some(Unheld { address: found.kind, told })
}

/// Whether most of what has come since the first of these readings is out of reach, by each of the last.
fn grows_out_of_reach(readings: &[Count]) -> bool {
    let [first, rest @ ..] = readings else { return false };
    let is_most = |now: &Count| {
        let (all, unreached) = (now.all.saturating_sub(first.all), now.unreached.saturating_sub(first.unreached));
        all > 0 && unreached as f64 >= MIN_UNREACHED * all as f64
    };
    readings.len() >= MIN_READINGS && rest.iter().rev().take(AGREEING).all(is_most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grows(readings: &[(u64, u64)]) -> bool {
        grows_out_of_reach(
            &readings.iter().map(|(all, unreached)| Count { all: *all, unreached: *unreached }).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn what_becomes_more_out_of_reach_is_unheld() {
        assert!(grows(&[(1000, 900), (2000, 1800), (3000, 2800)]));
        assert!(!grows(&[(1000, 900), (2000, 1800)]), "too early");
    }

    #[test]
    fn what_was_always_out_of_reach_is_not() {
        assert!(!grows(&[(5000, 3700), (6000, 3700), (7000, 3700), (8000, 3700)]));
    }

    #[test]
    fn a_list_that_moved_while_it_was_copied_accuses_nobody() {
        assert!(!grows(&[(5000, 10), (6000, 10), (7000, 7000), (8000, 10)]));
        assert!(!grows(&[(5000, 10), (6000, 10), (7000, 7000)]));
        assert!(!grows(&[(5000, 5000), (6000, 10), (7000, 10)]));
    }
}
