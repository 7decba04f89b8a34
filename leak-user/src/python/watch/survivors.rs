//! Which of the objects that were made stay, by the stack that made them.
//!
//! Pure. What is made and let go of soon leaves few addresses behind, for the next takes its place; what is kept leaves each
//! time another. So an object counts that was there at two looks in a row, and has not been made anew in between.

use std::collections::HashMap;

use leak_ebpf::{Made, WriterKey};

/// See the module.
#[derive(Debug, Default)]
pub struct Survivors {
    /// By address, the numbers of those that were there at the last look.
    waiting: HashMap<u64, u64>,
    stayed: HashMap<WriterKey, u64>,
}

impl Survivors {
    /// Looks which of these, by address, are still there. Gives the addresses that need not be remembered any more: what is
    /// gone, and what was counted.
    pub fn look(&mut self, made: &[(u64, Made)], is_there: impl Fn(usize, u64) -> bool) -> Vec<u64> {
        let mut done = Vec::new();
        let mut waiting = HashMap::new();
        for (address, object) in made {
            if !is_there(object.by.word as usize, *address) {
                done.push(*address);
            } else if self.waiting.get(address) == Some(&object.number) {
                *self.stayed.entry(object.by).or_default() += 1;
                done.push(*address);
            } else {
                waiting.insert(*address, object.number);
            }
        }
        self.waiting = waiting;
        done
    }

    /// How many of a stack's were seen to stay.
    pub fn of(&self, by: WriterKey) -> u64 {
        self.stayed.get(&by).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPS: WriterKey = WriterKey { stack: 1, word: 0 };
    const CHURNS: WriterKey = WriterKey { stack: 2, word: 0 };

    #[test]
    fn who_keeps_is_told_from_who_lets_go() {
        let mut survivors = Survivors::default();
        let mut made: Vec<(u64, Made)> = Vec::new();
        let mut number = 0;
        for look in 0..10 {
            // Ten objects that stay, each at a new place, and one place at which a hundred come and go.
            for kept in 0..10 {
                number += 1;
                made.push((1000 + look * 10 + kept, Made { by: KEEPS, number }));
            }
            number += 100;
            made.retain(|(address, _)| *address != 7);
            made.push((7, Made { by: CHURNS, number }));
            let done = survivors.look(&made, |word, _| word == 0);
            made.retain(|(address, _)| !done.contains(address));
        }
        assert_eq!((survivors.of(KEEPS), survivors.of(CHURNS)), (90, 0));
        assert!(made.len() <= 11, "{} are remembered", made.len());
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut survivors = Survivors::default();
        let made = [(8, Made { by: KEEPS, number: 1 })];
        assert!(survivors.look(&made, |_, _| true).is_empty());
        assert_eq!(survivors.look(&made, |_, _| false), [8]);
        assert_eq!(survivors.of(KEEPS), 0);
    }
}
