//! Makes a link.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use super::{super::bpf_call::bpf, Run};

/// `BPF_LINK_CREATE` of `enum bpf_cmd`, and the flag of `uprobe_multi` that puts the program on returns.
const LINK_CREATE: libc::c_int = 28;
const ON_RETURN: u32 = 1;

/// Where a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// In the file.
    pub file_offset: u64,
    /// What the program is told at each hit.
    pub cookie: u64,
}

/// The part of `union bpf_attr` that makes a link on functions.
#[repr(C)]
struct LinkAttr {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
    path: u64,
    offsets: u64,
    ref_ctr_offsets: u64,
    cookies: u64,
    cnt: u32,
    multi_flags: u32,
    pid: u32,
    _pad: u32,
}

/// Puts a program on these places of a file, in the process with this pid alone; 0 is every process. All are probed, or
/// none. The probes go when the descriptor is closed, which waits for the kernel.
pub fn create(
    program: BorrowedFd<'_>,
    run: Run,
    on_return: bool,
    file: &Path,
    pid: u32,
    points: &[Point],
) -> io::Result<OwnedFd> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    let offsets: Vec<u64> = points.iter().map(|point| point.file_offset).collect();
    let cookies: Vec<u64> = points.iter().map(|point| point.cookie).collect();
    let mut attr = LinkAttr {
        prog_fd: program.as_raw_fd() as u32,
        target_fd: 0,
        attach_type: run.attach_type(),
        flags: 0,
        path: path.as_ptr().expose_provenance() as u64,
        offsets: offsets.as_ptr().expose_provenance() as u64,
        ref_ctr_offsets: 0,
        cookies: cookies.as_ptr().expose_provenance() as u64,
        cnt: points.len() as u32,
        multi_flags: if on_return { ON_RETURN } else { 0 },
        pid,
        _pad: 0,
    };
    // SAFETY: the kernel writes nothing, and reads a string and two arrays of `cnt` words, which all outlive the call.
    super::descriptor(unsafe { bpf(LINK_CREATE, &mut attr) }?)
}
