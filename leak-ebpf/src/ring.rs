//! The way up: a ring of slots (see [`Slot`]) that any number of programs write to at once and user space reads.
//!
//! The kernel's own ring buffer takes a lock for each record and touches a line that another processor wrote last; with
//! two threads that cost more than all else here. A record here takes one addition that others see. A ring that is
//! full refuses; nothing in it is ever written over before it was read.

use core::sync::atomic::{Ordering, compiler_fence};

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_MMAPABLE, BPF_RB_FORCE_WAKEUP},
    macros::map,
    maps::{Array, HashMap, RingBuf},
};
use leak_ebpf::{MAX_SKIPPED, MAX_SLOTS, Positions, SLOT_WORDS, Slot, StackRecord, Turn, slots_of_stack};

use crate::{emit::settings, shared};

/// As many as the loader says, a power of two.
#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(1 << 10, BPF_F_MMAPABLE);

#[map]
static POSITIONS: Array<Positions> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Positions that were claimed when the ring had just become full, and how many slots: nothing is written there.
#[map]
static SKIPPED: HashMap<u64, u64> = HashMap::with_max_entries(MAX_SKIPPED, 0);

/// What wakes the reader. What is in it means nothing.
#[map]
static BELL: RingBuf = RingBuf::with_byte_size(1 << 12, 0);

/// Not 0 from when the reader was woken until it has read.
#[map]
static WOKEN: Array<u32> = Array::with_max_entries(1, 0);

/// What came of appending.
#[derive(Clone, Copy)]
pub struct Appended {
    /// The record's position.
    pub at: u64,
    /// How many slots are taken.
    pub used: u64,
}

/// Appends a record if no more slots than `limit` are taken then.
#[inline(always)]
pub fn append<T: 'static>(record: T, limit: u64) -> Option<Appended> {
    const { assert!(size_of::<T>() <= 8 * SLOT_WORDS && align_of::<T>() <= 8) };
    let claim = claim(1, limit)?;
    let slot = slot(claim.at)?;
    // SAFETY: the slot was claimed, so nobody else uses it, and the record fits.
    unsafe { (&raw mut (*slot).words).cast::<T>().write(record) };
    complete(slot, claim.at);
    Some(claim)
}

/// Appends a stack, as [`append`] does.
#[inline(always)]
pub fn append_stack(record: &StackRecord, limit: u64) -> Option<Appended> {
    let slots = slots_of_stack(record.depth);
    let claim = claim(slots as u64, limit)?;
    let words = core::ptr::from_ref(record).cast::<[u64; SLOT_WORDS]>();
    for index in 0..MAX_SLOTS {
        if index >= slots {
            break;
        }
        let slot = slot(claim.at + index as u64)?;
        // SAFETY: as in `append`; and a stack's record is `MAX_SLOTS` long.
        unsafe { (*slot).words = *words.add(index) };
    }
    complete(slot(claim.at)?, claim.at);
    Some(claim)
}

/// Wakes the reader, unless it has been and has not read yet.
#[inline(always)]
pub fn wake() {
    let Some(woken) = WOKEN.get_ptr_mut(0) else { return };
    // SAFETY: the pointer is into the array. Two programs that both find 0 wake the reader twice, no more.
    unsafe {
        if *woken == 0 {
            *woken = 1;
            ring_bell();
        }
    }
}

/// Wakes the reader in any case.
#[inline(always)]
pub fn ring_bell() {
    // A bell that is full has been rung, and the reader will hear it.
    let _ = BELL.output::<u64>(0, u64::from(BPF_RB_FORCE_WAKEUP));
}

#[inline(always)]
fn claim(slots: u64, limit: u64) -> Option<Appended> {
    let positions = positions()?;
    // SAFETY: the pointer is into the array, which lives as long as the programs.
    let (written, read) = unsafe { (&raw mut (*positions).written.0, &raw const (*positions).read.0) };
    // SAFETY: as above.
    if unsafe { shared::load(written).wrapping_sub(shared::load(read)) } + slots > limit {
        return None;
    }
    // SAFETY: as above.
    let at = unsafe { shared::fetch_add(written, slots) };
    // Others may have come in between.
    // SAFETY: as above.
    let used = (at + slots).wrapping_sub(unsafe { shared::load(read) });
    if used > settings().slots {
        // The reader looks here for what never comes. There is room for more programs than are ever interrupted at once
        // between these two lines.
        let _ = SKIPPED.insert(at, slots, u64::from(BPF_ANY));
        return None;
    }
    Some(Appended { at, used })
}

#[inline(always)]
pub fn positions() -> Option<*mut Positions> {
    POSITIONS.get_ptr_mut(0)
}

#[inline(always)]
pub fn slot(position: u64) -> Option<*mut Slot> {
    SLOTS.get_ptr_mut((position & (settings().slots - 1)) as u32)
}

/// Hands a slot to the reader, with those behind it that belong to its record.
#[inline(always)]
fn complete(slot: *mut Slot, at: u64) {
    // The processor keeps stores in order (x86 does); the compiler is to do so too.
    compiler_fence(Ordering::Release);
    // SAFETY: the slot was claimed.
    unsafe { (&raw mut (*slot).turn).write_volatile(Turn::of(at).0) };
}
