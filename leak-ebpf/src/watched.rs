//! The blocks whose free is to be told, while not every free is. A free of any other block ends in one look in here.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC},
    macros::map,
    maps::HashMap,
};
use leak_ebpf::{BlockKey, MAX_WATCHED};

/// The loader makes it small where every free is told.
#[map]
static WATCHED: HashMap<BlockKey, u32> = HashMap::with_max_entries(MAX_WATCHED, BPF_F_NO_PREALLOC);

/// Whether this block is watched.
#[inline(always)]
pub fn has(process: u16, addr: u64) -> bool {
    // SAFETY: nothing is read of the value.
    unsafe { WATCHED.get(BlockKey::new(process, addr)) }.is_some()
}

/// Watches a block. `false` when there is no more room.
#[inline(always)]
pub fn add(process: u16, addr: u64) -> bool {
    WATCHED.insert(BlockKey::new(process, addr), 0, u64::from(BPF_ANY)).is_ok()
}

/// Watches a block no more.
#[inline(always)]
pub fn remove(process: u16, addr: u64) {
    // It may not have been there.
    let _ = WATCHED.remove(BlockKey::new(process, addr));
}
