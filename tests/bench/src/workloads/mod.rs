//! What contenders trace: programs that do a known kind of work in turns, and say how fast they were.

mod objects;
mod pairs;
mod redis;
mod turns;

use std::path::Path;

use anyhow::Result;

pub use objects::Objects;
pub use pairs::{Build, Pairs};
pub use redis::Redis;
pub use turns::TurnTaker;

/// A kind of work.
pub trait Workload {
    /// Starts a process that does it, and that looks for shared libraries in this directory first.
    fn start(&self, libraries: Option<&Path>) -> Result<Box<dyn Subject>>;

    /// File names of the library with its allocator, as they begin.
    fn allocator(&self) -> &'static str;
}

/// A running process that works when told to. Killed when dropped.
pub trait Subject {
    /// Its process id.
    fn pid(&self) -> u32;

    /// Works for a turn; gives the measurement.
    fn turn(&mut self) -> Result<f64>;
}

/// File name of the C library, as it begins.
pub const LIBC: &str = "libc.so";

/// Has a program look for shared libraries in a directory first.
fn prefer(command: &mut std::process::Command, libraries: Option<&Path>) {
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
}
