//! Addresses that were given out again while a block was still outstanding there: was a free lost, or only set aside?
//!
//! A free that found the ring full is set aside and collected before the ring is read, so it can miss the collection
//! that the next allocation at its address is read after. The collection after that one has it. So a reuse waits for
//! one more, and only then counts as a lost free.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// A process's address.
type Place = (u16, u64);

/// Reuses that nothing explains yet.
#[derive(Debug, Default)]
pub struct Reuses {
    /// Seen since the last collection of frees that were set aside; with when the older block was allocated.
    fresh: HashMap<Place, u64, RandomState>,
    /// Seen before it.
    waiting: HashMap<Place, u64, RandomState>,
    unexplained: u64,
}

impl Reuses {
    /// A block that was allocated at `since` was still there when its address was given out again.
    pub fn noticed(&mut self, process: u16, addr: u64, since: u64) {
        if self.fresh.insert((process, addr), since).is_some() {
            self.unexplained += 1;
        }
    }

    /// A free at `time` had been set aside.
    pub fn explained_by(&mut self, process: u16, addr: u64, time: u64) {
        for reuses in [&mut self.fresh, &mut self.waiting] {
            if reuses.get(&(process, addr)).is_some_and(|since| *since < time) {
                reuses.remove(&(process, addr));
            }
        }
    }

    /// All that was set aside before the last reading of the ring has been told by now.
    pub fn settle(&mut self) {
        self.unexplained += self.waiting.len() as u64;
        self.waiting = std::mem::take(&mut self.fresh);
    }

    /// How many reuses are not explained by a free that was set aside.
    pub fn unexplained(&self) -> u64 {
        self.unexplained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_that_is_collected_late_explains_a_reuse() {
        let mut reuses = Reuses::default();
        reuses.noticed(1, 0x1000, 10);
        reuses.settle();
        reuses.explained_by(1, 0x1000, 20);
        reuses.settle();
        reuses.settle();
        assert_eq!(reuses.unexplained(), 0);
    }

    #[test]
    fn a_free_from_before_the_older_block_or_of_another_process_explains_nothing() {
        let mut reuses = Reuses::default();
        reuses.noticed(1, 0x1000, 10);
        reuses.settle();
        reuses.explained_by(1, 0x1000, 9);
        reuses.explained_by(2, 0x1000, 20);
        assert_eq!(reuses.unexplained(), 0, "it may still be explained");
        reuses.settle();
        assert_eq!(reuses.unexplained(), 1);
    }

    #[test]
    fn an_address_given_out_twice_in_a_row_is_unexplained_at_least_once() {
        let mut reuses = Reuses::default();
        reuses.noticed(1, 0x1000, 10);
        reuses.noticed(1, 0x1000, 20);
        reuses.settle();
        reuses.settle();
        assert_eq!(reuses.unexplained(), 2);
    }
}
