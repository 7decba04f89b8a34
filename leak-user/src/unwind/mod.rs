//! Tables for unwinding without frame pointers, made from what compilers write down for exceptions and debuggers.
//!
//! [`compile`] turns an object file's `.eh_frame` and `.debug_frame` into [`Compiled`] rows and rules, on any thread
//! and without a lock; [`Compiled::publish`] turns those into a [`Table`] whose rules are in the one table of
//! [`Rules`] that all modules share. [`frame`](leak_ebpf::frame) says what rows and rules mean, and walks by them.
//!
//! [`Cache`](cache::Cache) keeps what took long on disk, for the next run.
//!
//! The object may be hostile: whatever its bytes, the answer comes in bounded time and memory, and is a table (of
//! which nothing but the walk of that very process depends) or an error sentence.

pub mod cache;
mod compile;
mod entries;
mod image;
mod rows;
mod rules;
pub mod supply;
mod translate;

pub use compile::{Compiled, Stats, Table, compile};
pub use rules::Rules;
