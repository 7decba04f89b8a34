//! Takes breakpoints out of processes that nobody chose.
//!
//! A fork copies its parent's memory with the breakpoints in it. A perf event has each taken out when the child runs
//! into it; a link on many functions only leaves its program out, and the child would go on paying for every hit. But
//! whenever a probe is taken out, the kernel looks through all memory that maps the file, and takes its breakpoints out
//! where no probe wants them. So a sweep puts one more probe on each place, with an empty program, and takes it out.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    sync::Arc,
    thread::{self, JoinHandle},
};

use super::{Run, link};
use crate::process::maps::MappedFile;

/// Where a process has breakpoints, in one file.
#[derive(Clone, Debug)]
pub struct Breakpoints {
    /// The process for which they were placed.
    pub pid: u32,
    file: Arc<MappedFile>,
    /// Device and inode: one file, whoever maps it.
    identity: (u64, u64),
    offsets: Vec<u64>,
}

impl Breakpoints {
    /// Breakpoints at these places; those at one place are one.
    pub fn new(pid: u32, file: &File, mut offsets: Vec<u64>) -> io::Result<Self> {
        offsets.sort_unstable();
        offsets.dedup();
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Self { pid, identity, file: Arc::new(MappedFile { file: file.try_clone()? }), offsets })
    }

    fn place(&self) -> ((u64, u64), &[u64]) {
        (self.identity, &self.offsets)
    }
}

/// Sweeps, one at a time.
pub struct Sweeper {
    empty_program: Arc<OwnedFd>,
    at_work: Option<JoinHandle<()>>,
    /// Copies of traced processes that were there when the last sweep began.
    swept: u64,
}

impl Sweeper {
    pub(super) fn new(empty_program: OwnedFd) -> Self {
        Self { empty_program: Arc::new(empty_program), at_work: None, swept: 0 }
    }

    /// Sweeps, on a thread of its own, if traced processes have made copies of themselves since the last time; `copies`
    /// is how many they ever made. While a sweep is going on it does nothing: to be called again.
    pub fn sweep(&mut self, copies: u64, breakpoints: impl FnOnce() -> Vec<Breakpoints>) {
        if copies == self.swept || self.at_work.as_ref().is_some_and(|work| !work.is_finished()) {
            return;
        }
        self.swept = copies;
        // What is swept is the file, in whichever process.
        let mut breakpoints = breakpoints();
        breakpoints.sort_by(|one, other| one.place().cmp(&other.place()));
        breakpoints.dedup_by(|one, other| one.place() == other.place());
        let program = Arc::clone(&self.empty_program);
        self.at_work = Some(thread::spawn(move || {
            for all in breakpoints {
                let points: Vec<_> =
                    all.offsets.iter().map(|offset| link::Point { file_offset: *offset, cookie: 0 }).collect();
                // It fails only for a process that is gone, and with its probes the kernel sweeps by itself.
                drop(link::create(program.as_fd(), Run::Once, false, &all.file.path(), all.pid, &points));
            }
        }));
    }
}

/// A sweep that is broken off by the end of leaktrace leaves the kernel with a probe that it cannot take out.
impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(work) = self.at_work.take() {
            // It says nothing, whichever way it ends.
            let _ = work.join();
        }
    }
}
