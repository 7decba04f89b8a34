//! Python's own stack: the frames of a running interpreter, read from its memory.
//!
//! Where they are, user space says ([`Places`]). Every pointer is the target's: it is read by a helper that fails on what
//! is not there, and a walk is bounded, so that the worst it comes to is a stack that ends early.

mod walk;

use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel, bpf_probe_read_user};
use leak_ebpf::{NOWHERE, Places};

pub use walk::{Sheet, walk};

/// The `PyThreadState` of the running thread, if it runs Python.
#[inline(always)]
fn state(places: &Places) -> Option<u64> {
    // SAFETY: the helper takes nothing.
    let task = unsafe { bpf_get_current_task() };
    let place = task.wrapping_add(places.thread_pointer);
    // SAFETY: the helper fails on an address that cannot be read.
    let thread_pointer = unsafe { bpf_probe_read_kernel(place as *const u64) }.ok()?;
    let state = word(thread_pointer.wrapping_add(places.state))?;
    if places.state_in_table == NOWHERE { Some(state) } else { word(state.wrapping_add(places.state_in_table)) }
}

/// The innermost frame of the running thread. It may be null.
#[inline(always)]
fn innermost(places: &Places) -> Option<u64> {
    let frame = word(state(places)?.wrapping_add(places.frame))?;
    if places.frame_through == NOWHERE { Some(frame) } else { word(frame.wrapping_add(places.frame_through)) }
}

/// A word of the target's memory.
#[inline(always)]
fn word(addr: u64) -> Option<u64> {
    // SAFETY: the helper fails on an address that is not the target's.
    unsafe { bpf_probe_read_user(addr as *const u64) }.ok()
}
