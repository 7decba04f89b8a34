//! Sessions: what a trace has seen, kept in one file, and read back.
//!
//! A session is written while tracing goes on and can be read at any moment, also after the tracer was killed. It holds
//! names and numbers: no address of the target but of code in its modules, so that it can be given to others.

mod point;
mod view;

pub use point::Point;
pub use view::{Cgroup, MOST_SNAPSHOTS, Memory, SizeClass, Snapshot, StackView, View};

#[cfg(test)]
pub(crate) mod sample;
