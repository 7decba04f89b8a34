//! The blocks whose free is to be told, while not every free is.
//!
//! A free of any other block mostly ends in a look at a bin in which no watched block is: that costs a fraction of
//! a look for the block itself. A bin never counts fewer than are watched.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::{Array, HashMap},
};
use leak_ebpf::{BlockKey, MAX_WATCHED, WATCHED_BINS_LOG2};

use crate::shared;

/// The loader makes it small where every free is told.
#[map]
static WATCHED: HashMap<BlockKey, u32> = HashMap::with_max_entries(MAX_WATCHED, BPF_F_NO_PREALLOC);

/// How many watched blocks are in each bin, or more. User space counts those that it adds.
#[map]
static WATCHED_BINS: Array<u64> = Array::with_max_entries(1 << WATCHED_BINS_LOG2, BPF_F_MMAPABLE);

/// Whether this block is watched.
#[inline(always)]
pub fn has(process: u16, addr: u64) -> bool {
    let key = BlockKey::new(process, addr);
    // SAFETY: nothing is read of the value.
    may_have(key) && unsafe { WATCHED.get(key) }.is_some()
}

/// Watches a block. `false` when there is no more room.
#[inline(always)]
pub fn add(process: u16, addr: u64) -> bool {
    let key = BlockKey::new(process, addr);
    count(key, 1);
    let added = WATCHED.insert(key, 0, u64::from(BPF_NOEXIST));
    if added.is_err() {
        count(key, MINUS_ONE);
    }
    !matches!(added, Err(error) if error != EXISTS)
}

/// Watches a block no more.
#[inline(always)]
pub fn remove(process: u16, addr: u64) {
    let key = BlockKey::new(process, addr);
    // It may not have been there.
    if may_have(key) && WATCHED.remove(key).is_ok() {
        count(key, MINUS_ONE);
    }
}

/// What the kernel says where the block is watched already: EEXIST.
const EXISTS: i32 = -17;

const MINUS_ONE: u64 = u64::MAX;

#[inline(always)]
fn may_have(key: BlockKey) -> bool {
    // SAFETY: the pointer is into the array, which lives as long as the programs.
    WATCHED_BINS.get_ptr(key.bin(WATCHED_BINS_LOG2)).is_some_and(|bin| unsafe { shared::load(bin) } != 0)
}

#[inline(always)]
fn count(key: BlockKey, by: u64) {
    if let Some(bin) = WATCHED_BINS.get_ptr_mut(key.bin(WATCHED_BINS_LOG2)) {
        // SAFETY: as above.
        unsafe { shared::fetch_add(bin, by) };
    }
}
