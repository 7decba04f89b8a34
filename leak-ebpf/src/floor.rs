//! Empty programs on the probes that a tracer needs: what exact tracing costs before it does anything.
//!
//! Only the benchmark loads them, to measure leaktrace against.
#![no_std]
#![no_main]
#![expect(missing_docs, reason = "the program macros make functions without them")]

use aya_ebpf::{
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};

/// On entry.
#[uprobe]
pub fn floor_enter(_ctx: ProbeContext) -> u32 {
    0
}

/// On return.
#[uretprobe]
pub fn floor_leave(_ctx: RetProbeContext) -> u32 {
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
