//! Whether a process's allocations and frees are told, and which: what user space has asked for, and the draw.

use aya_ebpf::{
    helpers::generated::bpf_get_prandom_u32,
    macros::map,
    maps::{Array, PerCpuArray},
};
use leak_ebpf::{Cookie, Hits, MAX_PROCESSES, Sampling};

/// By process slot, and one more for calibration.
#[map]
static SAMPLING: Array<Sampling> = Array::with_max_entries(MAX_PROCESSES + 1, 0);

/// By process slot, and one more for calibration.
#[map]
static HITS: PerCpuArray<Hits> = PerCpuArray::with_max_entries(MAX_PROCESSES + 1, 0);

/// What is asked of the probes of the process in this slot: everything, until user space says otherwise.
#[inline(always)]
pub fn sampling(process: u16) -> Sampling {
    SAMPLING.get(u32::from(process)).copied().unwrap_or_default()
}

/// Draws whether an allocation of `size` bytes is taken.
#[inline(always)]
pub fn takes(sampling: &Sampling, size: u64) -> bool {
    // SAFETY: the helper takes nothing and cannot fail.
    sampling.takes(size, || unsafe { bpf_get_prandom_u32() })
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
