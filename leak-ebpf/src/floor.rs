//! Programs on the probes that a tracer needs, empty or nearly so: what exact tracing costs before it does anything, and
//! what the kernel's own way to walk a stack costs.
//!
//! Only the benchmark loads them, to measure leaktrace against.
#![no_std]
#![no_main]
#![expect(clippy::needless_pass_by_value, reason = "the program macros call with the context by value")]
#![expect(missing_docs, reason = "the program macros make functions without them")]

use aya_ebpf::{
    bindings::BPF_F_USER_STACK,
    macros::{map, uprobe, uretprobe},
    maps::StackTrace,
    programs::{ProbeContext, RetProbeContext, tracing::StackIdContext as _},
};

/// Stacks that the kernel has walked. The loops that are measured have one each.
#[map]
static STACKS: StackTrace = StackTrace::with_max_entries(64, 0);

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

/// On entry: has the kernel walk the stack, by frame pointers.
#[uprobe]
pub fn kernel_walk(ctx: ProbeContext) -> u32 {
    u32::from(ctx.get_stackid(&STACKS, BPF_F_USER_STACK.into()).is_err())
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
