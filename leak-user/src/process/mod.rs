//! What `/proc` says of a process: who it is, what it maps, which allocators those objects hold.
//!
//! Everything here was written by the target or by files it chose, and is read as such: bounded, and by the file that
//! is mapped rather than by the path that bears its name. Nothing here touches eBPF.

pub mod allocator;
pub mod elf;
mod family;
pub mod identity;
pub mod maps;
pub mod modules;
pub mod origin;
pub mod sealed;
pub mod sparse;
mod vdso;
