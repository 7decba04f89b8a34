//! The calls of `bpf(2)` that aya 0.14 does not make.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use anyhow::{Context, Result};

/// `BPF_MAP_LOOKUP_AND_DELETE_BATCH` of `enum bpf_cmd`.
const TAKE_BATCH: libc::c_int = 25;

/// Entries that are taken at a time; no bucket of a hash map holds as many.
const BATCH: usize = 4096;

/// The part of `union bpf_attr` that batches use.
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

/// Gives every entry of a hash map of two-word keys and one-word values to `take`, each read and removed in one step,
/// so that an update in between is never lost. Entries that arrive meanwhile may stay for the next time.
pub fn take_all(map: impl AsFd, mut take: impl FnMut([u64; 2], u64)) -> Result<()> {
    let mut keys = vec![[0_u64; 2]; BATCH];
    let mut values = vec![0_u64; BATCH];
    let mut place = 0_u32;
    let mut is_first = true;
    loop {
        let mut attr = BatchAttr {
            in_batch: if is_first { 0 } else { (&raw mut place).expose_provenance() as u64 },
            out_batch: (&raw mut place).expose_provenance() as u64,
            keys: keys.as_mut_ptr().expose_provenance() as u64,
            values: values.as_mut_ptr().expose_provenance() as u64,
            count: BATCH as u32,
            map_fd: map.as_fd().as_raw_fd() as u32,
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: `keys` and `values` have room for `count` of the map's keys and values, and a hash map's place is a
        // `u32`; all of them outlive the call.
        let at_end = match unsafe { bpf(TAKE_BATCH, &mut attr) } {
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) => return Err(error).context("the frees that were set aside cannot be read"),
        };
        for (key, value) in keys.iter().zip(&values).take(attr.count as usize) {
            take(*key, *value);
        }
        if at_end {
            return Ok(());
        }
        is_first = false;
    }
}

/// `BPF_MAP_UPDATE_BATCH` of `enum bpf_cmd`.
const PUT_BATCH: libc::c_int = 26;

/// Puts these keys of two words into a hash map, each with 0 of four bytes for its value. Gives how many found room.
pub fn put_all(map: impl AsFd, keys: impl Iterator<Item = [u64; 2]>) -> Result<u64> {
    let values = vec![0_u32; BATCH];
    let mut keys = keys.peekable();
    let mut put = 0;
    while keys.peek().is_some() {
        let batch: Vec<[u64; 2]> = keys.by_ref().take(BATCH).collect();
        let mut attr = BatchAttr {
            in_batch: 0,
            out_batch: 0,
            keys: batch.as_ptr().expose_provenance() as u64,
            values: values.as_ptr().expose_provenance() as u64,
            count: batch.len() as u32,
            map_fd: map.as_fd().as_raw_fd() as u32,
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: `keys` has `count` of the map's keys and `values` at least as many of its values; both outlive the call.
        match unsafe { bpf(PUT_BATCH, &mut attr) } {
            Ok(_) => put += batch.len() as u64,
            Err(error) if error.raw_os_error() == Some(libc::E2BIG) => return Ok(put + u64::from(attr.count)),
            Err(error) => return Err(error).context("the blocks to watch cannot be told to the kernel"),
        }
    }
    Ok(put)
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
    let mut attr = InfoAttr {
        fd: program.as_fd().as_raw_fd() as u32,
        info_len: size_of_val(&info) as u32,
        info: info.as_mut_ptr().expose_provenance() as u64,
    };
    // SAFETY: the kernel writes at most `info_len` bytes to `info`.
    unsafe { bpf(GET_INFO, &mut attr) }.context("the kernel does not tell of its BPF programs")?;
    Ok(info[RECURSION_MISSES])
}

/// Makes a call of `bpf(2)` whose attribute is `attr`, a part of `union bpf_attr` from its beginning. Gives what the
/// call returns: for many commands a descriptor.
///
/// # Safety
///
/// `T` must have no padding, and every pointer in `attr` must be good for what the command reads and writes there.
pub(super) unsafe fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is as long as said; the caller answers for what it points to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
