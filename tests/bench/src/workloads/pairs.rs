//! Loops in C that allocate and free as fast as they can: `pair.c` and `churn.c`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::{LIBC, Subject, TurnTaker, Workload, prefer};

/// How a loop is compiled, or which it is.
#[derive(Clone, Copy)]
pub enum Build {
    /// One size, with frame pointers.
    FramePointers,
    /// One size, as distributions compile: with tables in their place.
    Tables,
    /// Many sizes, blocks that live on, and frees by other threads.
    Churn,
}

impl Build {
    fn program(self) -> &'static str {
        match self {
            Self::FramePointers => "pair",
            Self::Tables => "pair-nofp",
            Self::Churn => "churn",
        }
    }
}

/// One of the loops.
pub struct Pairs {
    /// The directory of the compiled programs.
    pub targets: PathBuf,
    /// Which.
    pub build: Build,
    /// Frames of its stack, beside those that start its threads.
    pub depth: u32,
    /// Threads that loop.
    pub threads: u32,
    /// Milliseconds of a turn.
    pub turn_ms: u64,
}

impl Pairs {
    /// Starts it as what it is; gives nanoseconds a pair.
    pub fn start_loop(&self, libraries: Option<&Path>) -> Result<TurnTaker> {
        let mut command = Command::new(self.targets.join(self.build.program()));
        command.args([self.depth.to_string(), self.threads.to_string(), "0".to_owned()]);
        prefer(&mut command, libraries);
        TurnTaker::start(&mut command, self.turn_ms)
    }
}

impl Workload for Pairs {
    fn start(&self, libraries: Option<&Path>) -> Result<Box<dyn Subject>> {
        Ok(Box::new(self.start_loop(libraries)?))
    }

    fn allocator(&self) -> &'static str {
        LIBC
    }
}
