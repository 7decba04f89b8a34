//! The memory of the ring: slots of a cache line each, and how far it was written and read.
//!
//! A record is one slot; a stack may be more of them, one after the other. Who writes claims a position, fills the slot
//! that the position falls on, and marks it with its turn: so the reader, who knows which turn is next, sees what is
//! complete, and nobody waits for anybody. That a slot lies in a line of its own keeps processors from pulling lines
//! from one another.

use crate::{Kind, MAX_FRAMES, StackRecord};

/// Words of a record that a slot holds.
pub const SLOT_WORDS: usize = 7;

/// Bytes of a slot.
pub const SLOT_BYTES: usize = 64;

/// A place in the ring.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The [`Turn`] of the record that is here, set when that is complete. In the second and later slots of a stack it
    /// means nothing.
    pub turn: u64,
    /// The record, or as much of it as fits.
    pub words: [u64; SLOT_WORDS],
}

/// Whose turn it is in a slot, and for how long the block lived whose allocation is recorded there, if it was freed before
/// that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(pub u64);

impl Turn {
    /// A position is told from others by so many bits: no ring is as long, and nobody is interrupted for so long.
    const POSITION_BITS: u32 = 40;

    /// Lives are kept in units of `2^16` ns, 66 µs, up to 18 minutes.
    const LIFE_SHIFT: u32 = 16;

    /// Of the record at this position.
    #[inline]
    pub const fn of(position: u64) -> Self {
        Self((position + 1) & ((1 << Self::POSITION_BITS) - 1))
    }

    /// The same, of a block that was freed so many nanoseconds after it was allocated.
    #[inline]
    #[must_use]
    pub const fn freed_after(self, life: u64) -> Self {
        const LONGEST: u64 = (1 << (64 - Turn::POSITION_BITS)) - 2;
        let life = life >> Self::LIFE_SHIFT;
        Self(self.0 | (if life > LONGEST { LONGEST } else { life } + 1) << Self::POSITION_BITS)
    }

    /// Whether it is this position's turn.
    #[inline]
    pub const fn is(self, position: u64) -> bool {
        self.0 & ((1 << Self::POSITION_BITS) - 1) == Self::of(position).0
    }

    /// For how many nanoseconds the block lived, if it was freed.
    #[inline]
    pub const fn life(self) -> Option<u64> {
        match self.0 >> Self::POSITION_BITS {
            0 => None,
            life => Some((life - 1) << Self::LIFE_SHIFT),
        }
    }
}

/// A number in a cache line of its own.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Line(pub u64);

/// How far the ring was written and read, in slots since it was made.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// Up to where slots were claimed by writers.
    pub written: Line,
    /// Up to where slots were read, and may be written again. Set by user space.
    pub read: Line,
    /// Up to where records are being read, or were: they are not changed any more. Set by user space.
    pub reading: Line,
    /// Up to where records are of before a process was copied: what it held then, its child holds too.
    pub copied: Line,
}

/// Words of a stack with so many frames.
const fn stack_words(depth: usize) -> usize {
    4 + depth
}

/// The most slots that a record takes.
pub const MAX_SLOTS: usize = stack_words(MAX_FRAMES).div_ceil(SLOT_WORDS);

/// How many slots a stack of so many frames takes.
#[inline]
pub const fn slots_of_stack(depth: u16) -> usize {
    stack_words(if depth as usize > MAX_FRAMES { MAX_FRAMES } else { depth as usize }).div_ceil(SLOT_WORDS)
}

/// How many slots the record takes whose first slot has these words.
#[inline]
pub const fn slots_of(words: &[u64; SLOT_WORDS]) -> usize {
    // The kind is the first byte, and a stack's depth the lowest part of its fourth word.
    if words[0] as u8 == Kind::Stack as u8 { slots_of_stack(words[3] as u16) } else { 1 }
}

const _: () = {
    assert!(size_of::<Slot>() == SLOT_BYTES);
    assert!(size_of::<Positions>() == 4 * SLOT_BYTES);
    assert!(size_of::<StackRecord>() == MAX_SLOTS * SLOT_WORDS * 8);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_one_positions_and_keeps_a_life() {
        for position in [0, 1, 63, 64, 1 << 32, (1 << 40) - 2, (1 << 40) - 1, 1 << 40, u64::MAX >> 1] {
            let turn = Turn::of(position);
            assert!(turn.is(position) && !turn.is(position + 1) && !turn.is(position + (1 << 16)));
            assert_eq!(turn.life(), None);
            for life in [0, 1 << 16, 1 << 30] {
                assert_eq!(turn.freed_after(life).life(), Some(life));
                assert!(turn.freed_after(life).is(position));
            }
            assert!(turn.freed_after(u64::MAX).is(position));
            assert!(turn.freed_after(u64::MAX).life() > Some(1_000_000_000_000));
        }
    }
}
