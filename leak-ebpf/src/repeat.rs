//! Loops that the kernel runs (`bpf_loop`, Linux 5.17), so that its verifier follows one turn and not all in a row.

use core::ptr;

use aya_ebpf::{cty::c_void, helpers::generated::bpf_loop};

/// What a turn answers.
pub const GO_ON: i64 = 0;
/// What the last one answers.
pub const STOP: i64 = 1;

/// Calls `turn` so often, until it answers [`STOP`].
#[inline(always)]
pub fn repeat<T>(times: u32, turn: extern "C" fn(u64, *mut T) -> i64, state: &mut T) {
    // SAFETY: the helper calls `turn` with `state`, which outlives it, and one call after the other.
    unsafe { bpf_loop(times, turn as *mut c_void, ptr::from_mut(state).cast(), 0) };
}
