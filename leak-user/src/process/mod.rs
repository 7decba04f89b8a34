//! What `/proc` says of a process: who it is, what it maps, which allocators those objects hold.
//!
//! Everything here was written by the target or by files it chose, and is read as such: bounded, and by the file that
//! is mapped rather than by the path that bears its name. Nothing here touches eBPF.

mod address_space;
pub mod allocator;
mod below;
pub mod call_target;
pub mod census;
pub mod cgroup;
pub mod elf;
mod family;
pub mod identity;
pub mod maps;
pub mod memory_use;
pub mod modules;
pub mod origin;
pub mod own_use;
pub mod sealed;
pub mod sparse;
pub mod unit;
mod vdso;
pub mod who;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the clock by which the kernel side's records tell the time.
pub fn monotonic_now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
