//! Sessions: what a trace has seen, kept in one file, and read back.
//!
//! A session is written while tracing goes on and can be read at any moment, also after the tracer was killed. It holds
//! names and numbers, and where events were asked for the addresses of blocks: it can be given to others.

pub mod bytes;
pub mod columns;
pub mod events;
mod filter;
mod moment;
mod point;
mod reader;
mod recorder;
mod report;
mod schema;
mod view;
mod weight;

pub use crate::process::{cgroup::Cgroup, memory_use::Memory};
pub use filter::{Filter, Pattern};
pub use moment::{Head, StackMoment};
pub use point::Point;
pub use reader::{Mark, Session};
pub use recorder::Recorder;
pub use view::{MOST_SNAPSHOTS, SizeClass, Snapshot, StackView, View};
pub use weight::Weight;

#[cfg(test)]
pub(crate) mod sample;
