//! Outstanding heap blocks of one process, by address, in little room: a program may hold ten million.
//!
//! A block takes 25 bytes in a hash table that is at least 7/16 full: at most 57. The table is in parts that grow one
//! after the other, so that growing does not for a moment take twice as much. The hash is seeded: the target chooses
//! its addresses and must not choose our collisions.

use std::collections::{HashMap, hash_map::Entry};

use foldhash::fast::RandomState;

use super::StackIndex;

/// A block that was allocated and not freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bytes asked for.
    pub size: u64,
    /// When it was allocated, nanoseconds of the records' clock, to 64 of them.
    pub time: u64,
    /// Where.
    pub stack: StackIndex,
    /// The number of the period at which it was taken.
    pub period: u8,
}

/// How many parts the table is in.
const PARTS: usize = 64;

/// The blocks.
#[derive(Debug, Default)]
pub struct Heap {
    parts: Vec<HashMap<u64, Packed, RandomState>>,
    /// Time of the first block, which the others' are counted from.
    epoch: u64,
}

/// A [`Block`] in 16 bytes: 48 bits for the size, for no address space holds more, and 48 for the time in units of
/// 64 ns since the epoch, which last 208 days.
#[derive(Clone, Copy, Debug)]
struct Packed {
    size_low: u32,
    time_low: u32,
    size_high: u16,
    time_high: u16,
    stack: [u8; 3],
    period: u8,
}

/// Nanoseconds in the unit of a packed time, as a power of two.
const TIME_UNIT_LOG2: u32 = 6;

/// Largest value of 48 bits.
pub const MAX_48: u64 = (1 << 48) - 1;

const _: () = assert!(size_of::<(u64, Packed)>() == 24);

impl Packed {
    fn new(block: Block, epoch: u64) -> Self {
        let size = block.size.min(MAX_48);
        let time = (block.time.saturating_sub(epoch) >> TIME_UNIT_LOG2).min(MAX_48);
        Self {
            size_low: size as u32,
            time_low: time as u32,
            size_high: (size >> 32) as u16,
            time_high: (time >> 32) as u16,
            stack: [block.stack.0 as u8, (block.stack.0 >> 8) as u8, (block.stack.0 >> 16) as u8],
            period: block.period,
        }
    }

    fn unpack(self, epoch: u64) -> Block {
        let wide = |high: u16, low: u32| u64::from(high) << 32 | u64::from(low);
        Block {
            size: wide(self.size_high, self.size_low),
            time: epoch + (wide(self.time_high, self.time_low) << TIME_UNIT_LOG2),
            stack: StackIndex(u32::from_le_bytes([self.stack[0], self.stack[1], self.stack[2], 0])),
            period: self.period,
        }
    }
}

impl Heap {
    /// Adds a block; gives back the one that was still there, whose free was never seen.
    pub fn insert(&mut self, addr: u64, block: Block) -> Option<Block> {
        if self.parts.is_empty() {
            self.parts.resize_with(PARTS, HashMap::default);
            self.epoch = block.time;
        }
        let epoch = self.epoch;
        let replaced = self.parts[part(addr)].insert(addr, Packed::new(block, epoch));
        replaced.map(|packed| packed.unpack(epoch))
    }

    /// Removes the block here.
    pub fn remove(&mut self, addr: u64) -> Option<Block> {
        let removed = self.parts.get_mut(part(addr))?.remove(&addr)?;
        Some(removed.unpack(self.epoch))
    }

    /// Removes the block here if it was allocated before `time`.
    pub fn remove_older(&mut self, addr: u64, time: u64) -> Option<Block> {
        let epoch = self.epoch;
        match self.parts.get_mut(part(addr))?.entry(addr) {
            Entry::Occupied(entry) if entry.get().unpack(epoch).time < time => Some(entry.remove().unpack(epoch)),
            _ => None,
        }
    }

    /// The blocks, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Block)> + '_ {
        let epoch = self.epoch;
        self.parts.iter().flatten().map(move |(addr, packed)| (*addr, packed.unpack(epoch)))
    }

    /// Removes all blocks.
    pub fn drain(&mut self) -> impl Iterator<Item = (u64, Block)> + use<> {
        let epoch = self.epoch;
        std::mem::take(&mut self.parts).into_iter().flatten().map(move |(addr, packed)| (addr, packed.unpack(epoch)))
    }
}

/// Which part an address belongs to, by bits that neighbours differ in.
fn part(addr: u64) -> usize {
    (addr.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PARTS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Numbers that repeat from run to run.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn it_answers_as_a_plain_map_would() {
        let (mut heap, mut plain) = (Heap::default(), BTreeMap::new());
        let mut state = 42;
        for step in 0..200_000_u64 {
            let addr = 0x5555_0000_0000 + random(&mut state) % 5_000 * 16;
            let time = (1 << 40) + step * 64;
            let block =
                Block { size: random(&mut state) >> 17, time, stack: StackIndex(step as u32), period: step as u8 };
            match random(&mut state) % 3 {
                0 | 1 => assert_eq!(heap.insert(addr, block), plain.insert(addr, block)),
                _ => assert_eq!(heap.remove(addr), plain.remove(&addr)),
            }
        }
        let mut left: Vec<_> = heap.iter().collect();
        left.sort_by_key(|(addr, _)| *addr);
        assert_eq!(left, plain.into_iter().collect::<Vec<_>>());
        assert_eq!(heap.drain().count(), left.len());
        assert_eq!(heap.iter().count(), 0);
    }

    #[test]
    fn a_late_free_ends_only_what_was_allocated_before_it() {
        let mut heap = Heap::default();
        heap.insert(16, Block { size: 1, time: 10_000, stack: StackIndex(0), period: 0 });
        assert_eq!(heap.remove_older(16, 10_000), None);
        assert!(heap.remove_older(16, 10_500).is_some());
    }

    #[test]
    fn a_size_that_no_address_space_holds_does_not_wrap() {
        let mut heap = Heap::default();
        heap.insert(16, Block { size: u64::MAX, time: 0, stack: StackIndex(0), period: 0 });
        assert_eq!(heap.remove(16).map(|block| block.size), Some(MAX_48));
    }
}
