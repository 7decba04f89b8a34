//! The calls of `bpf(2)` that aya 0.14 does not make.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use anyhow::{Context, Result};

/// `BPF_MAP_GET_NEXT_KEY` and `BPF_MAP_LOOKUP_AND_DELETE_ELEM` of `enum bpf_cmd`.
const GET_NEXT_KEY: libc::c_int = 4;
const LOOKUP_AND_DELETE: libc::c_int = 21;

/// The part of `union bpf_attr` that element commands use.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    _pad: u32,
    key: u64,
    value_or_next_key: u64,
    flags: u64,
}

/// Empties a hash map of two-word keys and values, each entry read and removed in one step, so that an update
/// in between is never lost. Entries that arrive meanwhile may stay for the next time.
pub fn take_all<T>(map: impl AsFd, make: impl Fn([u64; 2], [u64; 2]) -> T) -> Result<Vec<T>> {
    let mut all = Vec::new();
    loop {
        let mut key = [0_u64; 2];
        let mut value = [0_u64; 2];
        if !call(GET_NEXT_KEY, &map, None, &mut key).context("spilled frees cannot be listed")? {
            return Ok(all);
        }
        if call(LOOKUP_AND_DELETE, &map, Some(&key), &mut value).context("spilled frees cannot be read")? {
            all.push(make(key, value));
        }
    }
}

/// `BPF_OBJ_GET_INFO_BY_FD`, and where `recursion_misses` stands in `struct bpf_prog_info`, in words.
const GET_INFO: libc::c_int = 15;
const RECURSION_MISSES: usize = 26;

/// The part of `union bpf_attr` that asks for information.
#[repr(C)]
struct InfoAttr {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// How often the kernel did not run this program where it should have. 0 on kernels that do not count it.
pub fn missed_runs(program: impl AsFd) -> Result<u64> {
    let mut info = [0_u64; RECURSION_MISSES + 1];
    let attr = InfoAttr {
        fd: program.as_fd().as_raw_fd() as u32,
        info_len: size_of_val(&info) as u32,
        info: info.as_mut_ptr().expose_provenance() as u64,
    };
    // SAFETY: the attribute is as long as said, and the kernel writes at most `info_len` bytes to `info`.
    let result = unsafe { libc::syscall(libc::SYS_bpf, GET_INFO, &raw const attr, size_of::<InfoAttr>()) };
    if result != 0 {
        return Err(io::Error::last_os_error()).context("the kernel does not tell of its BPF programs");
    }
    Ok(info[RECURSION_MISSES])
}

/// Makes the call; `false` when there is no such entry.
fn call(command: libc::c_int, map: &impl AsFd, key: Option<&[u64; 2]>, out: &mut [u64; 2]) -> io::Result<bool> {
    let attr = ElementAttr {
        map_fd: map.as_fd().as_raw_fd() as u32,
        _pad: 0,
        key: key.map_or(0, |key| std::ptr::from_ref(key).addr() as u64),
        value_or_next_key: std::ptr::from_mut(out).expose_provenance() as u64,
        flags: 0,
    };
    if let Some(key) = key {
        std::ptr::from_ref(key).expose_provenance();
    }
    // SAFETY: the attribute is as long as said, and both pointers in it lead to two words, which is the size of the
    // map's keys and values; the kernel writes only to `out`.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of::<ElementAttr>()) };
    if result == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        error => Err(error),
    }
}
