//! The blocks of a deque.

use super::View;
use crate::python::layout::{DEQUE_LEFT_BLOCK, DEQUE_LEFT_INDEX, SIZE};

/// Items of a block.
const BLOCK_ITEMS: u64 = 64;

/// Where in a block its items begin, behind the pointer to the block on the left.
const ITEMS: u64 = 8;

/// Where in a block the pointer to the one on the right is.
const RIGHT: u64 = ITEMS + BLOCK_ITEMS * 8;

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = RIGHT + 8;

/// Where a deque says how many items it may have at most, or -1.
const MOST: u64 = 64;

impl View<'_> {
    /// Addresses of the items, from the left, up to so many.
    pub fn deque_items(&self, deque: u64, most: u64) -> impl Iterator<Item = u64> + '_ {
        // A ring of blocks ends where there can be no more.
        let count = self.word(deque + SIZE).unwrap_or(0).min(most).min(self.bytes_read() / 8);
        let first = self.word(deque + DEQUE_LEFT_INDEX).filter(|index| *index < BLOCK_ITEMS).unwrap_or(0);
        let left = self.pointer(deque + DEQUE_LEFT_BLOCK);
        let blocks = std::iter::successors(left, |block| self.pointer(block + RIGHT));
        blocks
            .map_while(|block| {
                let items = self.words(block + ITEMS, BLOCK_ITEMS);
                (items.len() > 0).then_some(items)
            })
            .flatten()
            .skip(first as usize)
            .take(count as usize)
    }

    /// Whether a deque lets go of an item for each new one from some length on.
    pub fn is_bounded_deque(&self, deque: u64) -> bool {
        self.word(deque + MOST).is_some_and(|most| (most as i64) >= 0)
    }
}
