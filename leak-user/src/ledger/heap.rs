//! Outstanding heap blocks of one process, by address.

use std::collections::{HashMap, hash_map::Entry};

use foldhash::fast::RandomState;

use super::StackIndex;

/// A block that was allocated and not freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bytes asked for.
    pub size: u64,
    /// When it was allocated, nanoseconds of the records' clock.
    pub time: u64,
    /// Where.
    pub stack: StackIndex,
}

/// The blocks. The hash is seeded: the target chooses its addresses and must not choose our collisions.
#[derive(Debug, Default)]
pub struct Heap {
    blocks: HashMap<u64, Block, RandomState>,
}

impl Heap {
    /// Adds a block; gives back the one that was still there, whose free was never seen.
    pub fn insert(&mut self, addr: u64, block: Block) -> Option<Block> {
        self.blocks.insert(addr, block)
    }

    /// Removes the block here.
    pub fn remove(&mut self, addr: u64) -> Option<Block> {
        self.blocks.remove(&addr)
    }

    /// Removes the block here if it was allocated before `time`.
    pub fn remove_older(&mut self, addr: u64, time: u64) -> Option<Block> {
        match self.blocks.entry(addr) {
            Entry::Occupied(entry) if entry.get().time < time => Some(entry.remove()),
            _ => None,
        }
    }

    /// The blocks, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Block)> {
        self.blocks.iter().map(|(addr, block)| (*addr, block))
    }

    /// Removes all blocks.
    pub fn drain(&mut self) -> impl Iterator<Item = (u64, Block)> + '_ {
        self.blocks.drain()
    }
}
