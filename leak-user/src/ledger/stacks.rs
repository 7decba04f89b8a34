//! The stacks that allocated, each once, with its sums.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::process::modules::Location;

/// Place of a stack in the ledger. Small, because every outstanding block carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackIndex(pub(super) u32);

impl StackIndex {
    /// The stack's place in the order in which stacks appeared.
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

/// A stack and its sums since tracing began.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The id that the kernel side gave it: it covers frames and process.
    pub id: u64,
    /// The process slot.
    pub process: u16,
    /// Its calls, from the allocator's caller outwards.
    pub frames: Box<[Location]>,
    /// Bytes outstanding.
    pub outstanding_bytes: u64,
    /// Blocks outstanding.
    pub outstanding_count: u64,
    /// Bytes ever allocated.
    pub allocated_bytes: u64,
    /// Blocks ever allocated.
    pub allocated_count: u64,
}

impl Stack {
    /// Blocks given back.
    pub fn freed_count(&self) -> u64 {
        self.allocated_count - self.outstanding_count
    }

    pub(super) fn came(&mut self, bytes: u64) {
        self.allocated_bytes += bytes;
        self.allocated_count += 1;
        self.back(bytes, 1);
    }

    pub(super) fn gone(&mut self, bytes: u64, count: u64) {
        self.outstanding_bytes -= bytes;
        self.outstanding_count -= count;
    }

    pub(super) fn back(&mut self, bytes: u64, count: u64) {
        self.outstanding_bytes += bytes;
        self.outstanding_count += count;
    }
}

/// All stacks.
#[derive(Debug, Default)]
pub struct Stacks {
    all: Vec<Stack>,
    by_id: HashMap<u64, StackIndex, RandomState>,
}

impl Stacks {
    /// Takes note of a stack; one that is known already stays as it is.
    pub fn intern(&mut self, id: u64, process: u16, frames: impl FnOnce() -> Box<[Location]>) {
        self.by_id.entry(id).or_insert_with(|| {
            let index = StackIndex(self.all.len() as u32);
            self.all.push(Stack {
                id,
                process,
                frames: frames(),
                outstanding_bytes: 0,
                outstanding_count: 0,
                allocated_bytes: 0,
                allocated_count: 0,
            });
            index
        });
    }

    /// The stack with this id.
    pub fn index(&self, id: u64) -> Option<StackIndex> {
        self.by_id.get(&id).copied()
    }

    /// The stack at this place. Indices come from this table alone, so it is there.
    pub fn get_mut(&mut self, index: StackIndex) -> &mut Stack {
        &mut self.all[index.0 as usize]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (StackIndex, &Stack)> {
        self.all.iter().enumerate().map(|(place, stack)| (StackIndex(place as u32), stack))
    }
}
