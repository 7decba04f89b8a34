//! What becomes of blocks as they grow old: whether there is an age past which they stay for good.
//!
//! A block that is held may yet be freed, so how many survive is told from those that have reached an age and what became
//! of them since, as a life table does. Ages are in the parts of [`Ages`].

use crate::ledger::{AGE_EDGES_S, AGE_PARTS, Ages};

/// Of a hundred blocks that reach the age past which blocks stay, fewer than this were freed all the same.
const FREED_ALL_THE_SAME: f64 = 0.005;

/// Where so many were freed just before that age, it is no chance that none was after.
const ENOUGH: f64 = 10.0;

/// Blocks by age: those held, and those freed by the age they had reached.
#[derive(Clone, Copy, Debug)]
pub struct Survival<'a> {
    /// Bytes held, by age.
    held: &'a Ages,
    freed: &'a Ages,
    /// Blocks to a byte held.
    blocks_a_byte: f64,
    /// No block is older, seconds.
    oldest: f64,
}

/// Bytes held per second of their ages, in a stretch of ages.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// From this age, seconds.
    pub from: f64,
    /// To this age, seconds.
    pub to: f64,
    /// Bytes held.
    pub bytes: f64,
}

impl Stretch {
    /// Bytes a second.
    pub fn rate(&self) -> f64 {
        if self.seconds() > 0.0 { self.bytes / self.seconds() } else { 0.0 }
    }

    /// How long it is.
    pub fn seconds(&self) -> f64 {
        (self.to - self.from).max(0.0)
    }
}

impl<'a> Survival<'a> {
    /// Of a stack that has been known for `oldest` seconds and holds so many blocks.
    pub fn new(held: &'a Ages, freed: &'a Ages, blocks: f64, oldest: f64) -> Self {
        Self { held, freed, blocks_a_byte: blocks / held.total().max(1) as f64, oldest }
    }

    /// What is held at ages from one to another, to which there must be edges unless it is the oldest.
    pub fn stretch(&self, from: f64, to: f64) -> Stretch {
        let bytes = self.parts().filter(|part| part.from >= from && part.from < to).map(|part| part.bytes).sum();
        Stretch { from, to, bytes }
    }

    /// The parts in which there can be something, youngest first.
    pub fn parts(&self) -> impl Iterator<Item = Stretch> {
        (0..AGE_PARTS).map(|part| self.part(part)).take_while(|part| part.from < self.oldest)
    }

    fn part(&self, part: usize) -> Stretch {
        let from = edge(part);
        let to = AGE_EDGES_S.get(part).map_or(f64::INFINITY, |edge| f64::from(*edge));
        // Of the last there is whatever is older.
        let bytes: u64 = if to < self.oldest { self.held.0[part] } else { self.held.0[part..].iter().sum() };
        Stretch { from, to: to.min(self.oldest.max(from)), bytes: bytes as f64 }
    }

    /// Blocks that so many bytes are.
    pub fn blocks(&self, bytes: f64) -> f64 {
        bytes * self.blocks_a_byte
    }

    /// The age from which blocks stay for good, seconds: the least edge, at most `most`, after which hardly one was freed for
    /// those that have lived on up to the age `until`. Frees must end there, and not only have become few: those of some
    /// programs become fewer with every age and never end.
    pub fn settled_from(&self, most: f64, until: f64) -> Option<f64> {
        (0..AGE_PARTS).take_while(|part| edge(*part) <= most).find_map(|part| {
            let stayed = self.blocks(self.stretch(edge(part), until).bytes);
            let freed = self.freed_past(edge(part));
            let before = part.checked_sub(1).map_or(0.0, |part| self.freed.0[part] as f64);
            let few = FREED_ALL_THE_SAME * (freed + stayed);
            (stayed > 0.0 && freed <= few && (before <= few || before >= ENOUGH)).then_some(edge(part))
        })
    }

    /// How many blocks were freed at this age, to which there must be an edge, or later.
    pub fn freed_past(&self, age: f64) -> f64 {
        let freed = self.freed.0.iter().enumerate().filter(|(part, _)| edge(*part) >= age);
        freed.map(|(_, blocks)| *blocks as f64).sum()
    }

    /// The edges between ages, seconds.
    pub fn edges() -> impl DoubleEndedIterator<Item = f64> {
        AGE_EDGES_S.into_iter().map(f64::from)
    }
}

fn edge(part: usize) -> f64 {
    part.checked_sub(1).map_or(0.0, |edge| f64::from(AGE_EDGES_S[edge]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ages(parts: &[(u64, u64)]) -> Ages {
        let mut ages = Ages::default();
        for (seconds, amount) in parts {
            ages.add(seconds * 1_000_000_000, *amount);
        }
        ages
    }

    #[test]
    fn blocks_stay_from_the_age_after_which_none_was_freed() {
        let (held, freed) = (ages(&[(0, 100), (20, 100), (200, 900)]), ages(&[(0, 5000), (7, 50)]));
        let survival = Survival::new(&held, &freed, 1100.0, 300.0);
        assert_eq!(survival.settled_from(60.0, 300.0), Some(15.0));
        assert_eq!(survival.settled_from(10.0, 300.0), None);
    }

    #[test]
    fn where_nothing_was_freed_blocks_stay_from_the_first() {
        let (held, freed) = (ages(&[(0, 100), (20, 100)]), Ages::default());
        assert_eq!(Survival::new(&held, &freed, 2.0, 30.0).settled_from(5.0, 30.0), Some(0.0));
    }

    #[test]
    fn where_the_old_are_freed_none_stays() {
        let (held, freed) = (ages(&[(0, 100), (200, 900)]), ages(&[(200, 50)]));
        assert_eq!(Survival::new(&held, &freed, 1000.0, 300.0).settled_from(75.0, 300.0), None);
    }

    #[test]
    fn the_oldest_part_ends_where_the_oldest_block_can_be() {
        let held = ages(&[(130, 50)]);
        let survival = Survival::new(&held, &held, 1.0, 145.0);
        let oldest = survival.stretch(120.0, 145.0);
        assert!((oldest.rate() - 2.0).abs() < 1e-9);
    }
}
