//! Whether a process's allocations and frees are told, and which: what user space has asked for, and the draw.

use aya_ebpf::{
    helpers::generated::bpf_get_prandom_u32,
    macros::map,
    maps::{Array, PerCpuArray},
};
use leak_ebpf::{Cookie, Hits, SLOTS_OF_PROCESSES, Sampling};

/// By process slot.
#[map]
static SAMPLING: Array<Sampling> = Array::with_max_entries(SLOTS_OF_PROCESSES, 0);

/// By process slot.
#[map]
static HITS: PerCpuArray<Hits> = PerCpuArray::with_max_entries(SLOTS_OF_PROCESSES, 0);

/// What is asked of the probes of the process in this slot: everything, until user space says otherwise.
#[inline(always)]
pub fn sampling(process: u16) -> Sampling {
    SAMPLING.get(u32::from(process)).copied().unwrap_or_default()
}

/// Draws whether an allocation of `size` bytes is taken.
#[inline(always)]
pub fn takes(sampling: &Sampling, size: u64) -> bool {
    sampling.takes(size, random)
}

/// A processor's place in its sequence of random numbers, 0 before the first.
#[map]
static RANDOM: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// 32 random bits, by splitmix64: the kernel's own numbers would cost a call for each allocation.
#[inline(always)]
fn random() -> u32 {
    let Some(place) = RANDOM.get_ptr_mut(0) else { return seed() };
    // SAFETY: the pointer is to this processor's value, which lives as long as the map. A program that interrupts another
    // one here may draw the same number.
    let place = unsafe { &mut *place };
    if *place == 0 {
        *place = u64::from(seed()) << 32 | u64::from(seed());
    }
    *place = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *place;
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits >> 32) as u32
}

#[inline(always)]
fn seed() -> u32 {
    // SAFETY: the helper takes nothing and cannot fail.
    unsafe { bpf_get_prandom_u32() }
}

/// Counts a hit of a process's probe on this processor. Programs may be preempted here, so a count can be off by a hit
/// in a blue moon.
#[inline(always)]
pub fn hit(cookie: Cookie, count: impl FnOnce(&mut Hits)) {
    if let Some(hits) = HITS.get_ptr_mut(u32::from(cookie.process)) {
        // SAFETY: the pointer is to this processor's counts, which live as long as the map.
        let hits = unsafe { &mut *hits };
        count(hits);
        hits.stepped += u64::from(cookie.stepped);
    }
}
