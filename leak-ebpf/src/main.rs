//! leaktrace's eBPF programs.
//!
//! | file | watches or does |
//! |---|---|
//! | `alloc` | the programs on allocator functions: entry, return, free |
//! | `arguments` | what a call asks for, read from registers by its signature |
//! | `call` | the one outermost call that a thread is in |
//! | `draw` | what is asked of a process's probes, and which allocations are sampled |
//! | `watched` | the blocks whose free is told, when not every free is |
//! | `unwind` | the stack, walked and interned |
//! | `python` | Python's own stack, of a process that runs an interpreter |
//! | `python_stack` | its frames beside those of the stack |
//! | `lifecycle` | exec of a traced process |
//! | `launch` | holds a launched program before its first allocation |
//! | `emit` | what goes up: records, frees that found the ring full, the counters |
//! | `ring` | the ring of records, written without a lock |
//! | `shared` | words that all processors add to |
//! | `task_storage` | a map type that `aya-ebpf` 0.2 lacks |
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![expect(
    clippy::inline_always,
    reason = "a call in BPF costs a frame of its 512-byte stack and hides bounds from the verifier"
)]
#![expect(clippy::needless_pass_by_value, reason = "the program macros call with the context by value")]

mod alloc;
mod arguments;
mod brief;
mod call;
mod draw;
mod emit;
mod launch;
mod lifecycle;
mod newcomers;
mod python;
mod python_stack;
mod repeat;
mod ring;
mod shared;
mod sharers;
mod task_storage;
mod unwind;
mod watched;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that this is never reached: a program that could get here is not loaded.
    loop {}
}

/// The kernel lends its tracing helpers only to programs under a GPL-compatible licence; MIT/Apache with GPL is one.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
