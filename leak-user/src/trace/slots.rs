//! The numbers by which the programs know processes. One that is given back is used again, and as late as can be.

use std::collections::VecDeque;

use leak_ebpf::MAX_PROCESSES;

/// The slots that are free.
#[derive(Debug, Default)]
pub struct Slots {
    untouched: u16,
    given_back: VecDeque<u16>,
}

/// A slot, and whether another process had it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its number.
    pub number: u16,
    /// Whether what the kernel side knows under this number is of another process.
    pub is_used: bool,
}

impl Slots {
    /// Takes one, if there is any.
    pub fn take(&mut self) -> Option<Slot> {
        if u32::from(self.untouched) < MAX_PROCESSES {
            self.untouched += 1;
            return Some(Slot { number: self.untouched - 1, is_used: false });
        }
        self.given_back.pop_front().map(|number| Slot { number, is_used: true })
    }

    /// All that were ever taken.
    pub fn ever_taken(&self) -> std::ops::Range<u16> {
        0..self.untouched
    }

    /// Gives one back. Nothing must come under this number any more.
    pub fn give_back(&mut self, slot: u16) {
        self.given_back.push_back(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_processes_can_be_traced() {
        let mut slots = Slots::default();
        let taken: Vec<Slot> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(taken.len() as u32, MAX_PROCESSES);
        assert!(taken.iter().enumerate().all(|(place, slot)| usize::from(slot.number) == place && !slot.is_used));
    }

    #[test]
    fn one_that_was_given_back_comes_again_after_all_others() {
        let mut slots = Slots::default();
        let first = slots.take().unwrap();
        slots.give_back(first.number);
        for _ in 1..MAX_PROCESSES {
            assert_ne!(slots.take().unwrap().number, first.number);
        }
        assert_eq!(slots.take(), Some(Slot { number: first.number, is_used: true }));
        assert_eq!(slots.take(), None);
    }
}
