//! `CPython` from outside: what a running interpreter's heap holds, who holds it, and which line adds to it.
//!
//! A tracer of malloc is blind here, for nearly all of Python's objects lie in arenas that its own allocator cuts up with
//! inlined code. So nothing is probed: the process's memory is read while it runs, and what is found there is counted
//! ([`heap`]). Every address and length in it was written by the target and may be changing: each is checked, every walk
//! is bounded, and a doubtful one ends in "not known". The target is never stopped or written to.

pub mod containers;
pub mod heap;
pub mod holders;
pub mod interpreter;
pub mod layout;
pub mod lines;
pub mod memory;
pub mod merge;
pub mod places;
pub mod reader;
pub mod snapshot;
pub mod strings;
pub mod study;
mod thread_slot;
mod type_page;
pub mod type_report;
pub mod view;
pub mod watch;
