//! One link for the probes on many functions of a file (`BPF_TRACE_UPROBE_MULTI`), which aya 0.14 does not make.
//!
//! Taking all out waits for one grace period of the kernel, where perf events wait for one each. [`is_supported`] says
//! whether the running kernel can; [`Programs`] loads programs for it and puts them on functions. Only programs whose
//! section says that they are user-space probes are loaded.

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

/// `BPF_TRACE_UPROBE_MULTI` of `enum bpf_attach_type`. Linux 6.13 has `BPF_TRACE_UPROBE_SESSION` (57), too.
const UPROBE_MULTI: u32 = 48;

/// `mov r0, 0; exit`.
const EMPTY_PROGRAM: [u64; 2] = [0xb7, 0x95];

/// Whether this kernel makes such links, and keeps them to one process: before Linux 6.10 and its fix they were kept to
/// one of its threads.
pub fn is_supported() -> bool {
    let Ok(empty) = empty_program() else { return false };
    let point = [Point { file_offset: 0, cookie: 0 }];
    let refusal = |pid| match link::create(empty.as_fd(), UPROBE_MULTI, false, Path::new("/"), pid, &point) {
        Err(error) => error.raw_os_error(),
        Ok(_) => None,
    };
    // A folder is no file to probe; a kernel that keeps links to processes looks at the pid before it looks there.
    refusal(0) == Some(libc::EBADF) && refusal(u32::MAX) == Some(libc::EINVAL)
}

/// What sweeps the memory of processes that nobody chose.
pub fn sweeper() -> io::Result<Sweeper> {
    Ok(Sweeper::new(empty_program()?))
}

fn empty_program() -> io::Result<OwnedFd> {
    let (instructions, license) = (&EMPTY_PROGRAM, c"Dual MIT/GPL");
    program::load_plain(&program::Code { name: "empty", instructions, license, functions: None })
}

/// A result of `bpf(2)` that is a new descriptor.
fn descriptor(result: libc::c_long) -> io::Result<OwnedFd> {
    let number = i32::try_from(result).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, for nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
