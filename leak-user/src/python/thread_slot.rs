//! Where a thread keeps the pointer to its `PyThreadState`, by which a program in the kernel finds it.
//!
//! Neither the key that the interpreter was given nor how the C library stores such keys is known from outside. But an
//! interpreter lists the states of its threads, with the thread pointer of each: so the memory around thread pointers is
//! looked through for the place where every thread has its own state. What holds for all of them is a thread-local
//! variable, or a key's slot, and holds for threads to come.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Result, bail};

use super::{interpreter::Interpreter, memory::Memory};

/// Where the pointer is, from the thread pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ThreadSlot {
    /// There it is; or a pointer to a table.
    pub offset: i64,
    /// Where in that table it is.
    pub in_table: Option<u64>,
}

/// How far below and above the thread pointer to look: for thread-local variables, and for what a C library keeps.
const BELOW: u64 = 4096;
const ABOVE: u64 = 2304;

/// Bytes of a table of keys that are looked at.
const TABLE_BYTES: usize = 2048;

/// Threads that are asked at most.
const MAX_ASKED: usize = 64;

/// Threads come and go meanwhile, so it is tried anew so often, after a while.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

const PAGE: u64 = 4096;

/// Finds it.
pub fn find(interpreter: &Interpreter) -> Result<ThreadSlot> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            thread::sleep(PAUSE);
        }
        let mut states: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for state in interpreter.threads() {
            if let Some(pointer) = interpreter.memory.pointer(state + interpreter.layout.thread.pthread) {
                states.entry(pointer).or_default().push(state);
            }
        }
        let read = states.into_iter().filter_map(|(pointer, states)| Surroundings::read(interpreter, pointer, states));
        let asked: Vec<Surroundings> = read.take(MAX_ASKED).collect();
        let found = best(&asked, Surroundings::direct)
            .or_else(|| best(&asked, |thread| thread.through_tables(&interpreter.memory)));
        if let Some(found) = found {
            return Ok(found);
        }
    }
    bail!(
        "no thread of process {} has its Python state where this C library keeps such things, so lines cannot be told",
        interpreter.pid
    )
}

/// A thread, and what is around its thread pointer.
struct Surroundings {
    /// One in each interpreter that it has to do with: the place has one of them at a time.
    states: Vec<u64>,
    words: BTreeMap<i64, u64>,
}

impl Surroundings {
    fn read(interpreter: &Interpreter, pointer: u64, states: Vec<u64>) -> Option<Self> {
        let memory = &interpreter.memory;
        // The thread pointer points to itself, whatever the library.
        if !pointer.is_multiple_of(8) || memory.word(pointer) != Some(pointer) {
            return None;
        }
        let mut words = BTreeMap::new();
        let mut at = pointer.saturating_sub(BELOW);
        while at < pointer + ABOVE {
            // What lies below may be in no memory at all.
            let end = (at / PAGE + 1).saturating_mul(PAGE).min(pointer + ABOVE);
            let mut bytes = vec![0; (end - at) as usize];
            let read = memory.read(at, &mut bytes);
            for (word, place) in bytes[..read].as_chunks().0.iter().zip(0..) {
                let offset = (at as i64 + place * 8).wrapping_sub(pointer as i64);
                words.insert(offset, u64::from_le_bytes(*word));
            }
            at = end;
        }
        Some(Self { states, words })
    }

    /// Where around the thread pointer the state itself is.
    fn direct(&self) -> Vec<(ThreadSlot, u32)> {
        let here = self.words.iter().filter(|(_, word)| self.states.contains(word));
        here.map(|(offset, _)| (ThreadSlot { offset: *offset, in_table: None }, self.likeness(*offset))).collect()
    }

    /// How much a place looks like one that stays: the more, the better.
    fn likeness(&self, offset: i64) -> u32 {
        // In glibc a key's slot has a number ahead of it, which is odd while the key is in use.
        let is_numbered =
            self.words.get(&(offset - 8)).is_some_and(|number| !number.is_multiple_of(2) && *number < 1 << 32);
        match offset {
            1.. if is_numbered => 2,
            // What is below may also be left of what the stack held.
            1.. => 1,
            _ => 0,
        }
    }

    /// Where in tables that are pointed to from around the thread pointer it is.
    fn through_tables(&self, memory: &Memory) -> Vec<(ThreadSlot, u32)> {
        let mut found = Vec::new();
        let above =
            self.words.range(0..).filter(|(_, word)| **word > PAGE && word.is_multiple_of(8) && **word < 1 << 47);
        for (offset, table) in above {
            let mut bytes = [0; TABLE_BYTES];
            let read = memory.read(*table, &mut bytes);
            for (word, place) in bytes[..read].as_chunks().0.iter().zip(0..) {
                if self.states.contains(&u64::from_le_bytes(*word)) {
                    found.push((ThreadSlot { offset: *offset, in_table: Some(place * 8) }, 0));
                }
            }
        }
        found
    }
}

/// The place in which most threads have their state, if that is more than half of them.
fn best(threads: &[Surroundings], places: impl Fn(&Surroundings) -> Vec<(ThreadSlot, u32)>) -> Option<ThreadSlot> {
    let mut votes: BTreeMap<ThreadSlot, (usize, u32)> = BTreeMap::new();
    for (slot, likeness) in threads.iter().flat_map(places) {
        let (count, total) = votes.entry(slot).or_default();
        *count += 1;
        *total += likeness;
    }
    let (slot, (count, _)) = votes.into_iter().max_by_key(|(_, votes)| *votes)?;
    (count * 2 > threads.len()).then_some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(state: u64, words: &[(i64, u64)]) -> Surroundings {
        Surroundings { states: vec![state], words: words.iter().copied().collect() }
    }

    fn direct(threads: &[Surroundings]) -> Option<i64> {
        best(threads, Surroundings::direct).map(|slot| slot.offset)
    }

    #[test]
    fn of_one_thread_a_numbered_slot_is_taken() {
        let one = thread(7, &[(-64, 7), (16, 7), (792, 1), (800, 7)]);
        assert_eq!(direct(&[one]), Some(800));
    }

    #[test]
    fn of_several_threads_all_agree() {
        let threads = [
            thread(7, &[(-64, 7), (-32, 7), (792, 4), (800, 7)]),
            thread(8, &[(-64, 8), (-32, 7), (792, 4), (800, 7)]),
            thread(9, &[(-64, 9)]),
        ];
        assert_eq!(direct(&threads), Some(-64));
    }

    #[test]
    fn a_thread_of_several_interpreters_has_one_of_its_states_there() {
        let words = [(-64, 9), (792, 1), (800, 8)].into_iter().collect();
        assert_eq!(direct(&[Surroundings { states: vec![7, 8, 10], words }]), Some(800));
    }

    #[test]
    fn a_place_that_only_some_have_is_none() {
        let threads = [thread(7, &[(-64, 7)]), thread(8, &[(-56, 8)]), thread(9, &[])];
        assert_eq!(direct(&threads), None);
        assert_eq!(direct(&[]), None);
    }
}
