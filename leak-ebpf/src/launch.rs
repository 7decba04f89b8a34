//! Holds a launched program, its libraries mapped, before it runs code of its own.
//!
//! Only ever attached to a process that leaktrace launched itself; one that was running is never signalled.

use aya_ebpf::{helpers::generated::bpf_send_signal, macros::uprobe, programs::ProbeContext};

const SIGSTOP: u32 = 19;

/// On the dynamic loader's word to debuggers that the libraries are there, and on the program's entry point.
#[uprobe]
pub fn pause(_ctx: ProbeContext) -> u32 {
    // SAFETY: the helper only sends a signal to the running process.
    unsafe { bpf_send_signal(SIGSTOP) };
    0
}
