//! One link for the probes on many functions of a file (`BPF_TRACE_UPROBE_MULTI`), which aya 0.14 does not make.
//!
//! Taking all out waits for one grace period of the kernel, where perf events wait for one each. A program can be for a
//! session (`BPF_TRACE_UPROBE_SESSION`): it runs at a function's entry, where it says whether it is to run at its return.
//! [`Run::is_supported`] says what the running kernel can; [`Programs`] loads programs and puts them on functions. Only
//! programs whose section says that they are user-space probes are loaded.

mod link;
mod program;
mod sweep;

use std::{
    io,
    os::fd::{AsFd, FromRawFd, OwnedFd},
    path::Path,
};

pub use link::Point;
pub use program::Programs;
pub use sweep::{Breakpoints, Sweeper};

/// When a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// At a function's entry, or at its return, as its section says. Linux 6.6.
    Once,
    /// At its entry and, if it says so there, at its return. Linux 6.13.
    Session,
}

/// `mov r0, 0; exit`.
const EMPTY_PROGRAM: [u64; 2] = [0xb7, 0x95];

impl Run {
    /// Of `enum bpf_attach_type`.
    const fn attach_type(self) -> u32 {
        match self {
            Self::Once => 48,
            Self::Session => 57,
        }
    }

    /// Whether this kernel makes such links, and keeps them to one process: before Linux 6.10 and its fix they were kept to
    /// one of its threads.
    pub fn is_supported(self) -> bool {
        let Ok(empty) = empty_program(self) else { return false };
        let point = [Point { file_offset: 0, cookie: 0 }];
        let refusal = |pid| match link::create(empty.as_fd(), self, false, Path::new("/"), pid, &point) {
            Err(error) => error.raw_os_error(),
            Ok(_) => None,
        };
        // A folder is no file to probe; a kernel that keeps links to processes looks at the pid before it looks there.
        refusal(0) == Some(libc::EBADF) && refusal(u32::MAX) == Some(libc::EINVAL)
    }
}

/// What sweeps the memory of processes that nobody chose.
pub fn sweeper() -> io::Result<Sweeper> {
    Ok(Sweeper::new(empty_program(Run::Once)?))
}

fn empty_program(run: Run) -> io::Result<OwnedFd> {
    let (instructions, license) = (&EMPTY_PROGRAM, c"Dual MIT/GPL");
    program::load_plain(&program::Code { name: "empty", run, instructions, license, functions: None })
}

/// A result of `bpf(2)` that is a new descriptor.
fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let number = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
