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
    /// One more than the position of the record that is here, set when that is complete. In the second and later slots
    /// of a stack it means nothing.
    pub turn: u64,
    /// The record, or as much of it as fits.
    pub words: [u64; SLOT_WORDS],
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
    assert!(size_of::<Positions>() == 2 * SLOT_BYTES);
    assert!(size_of::<StackRecord>() == MAX_SLOTS * SLOT_WORDS * 8);
};
