//! The calls of `bpf(2)` that aya 0.14 does not make.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use anyhow::{Context, Result};

/// `BPF_MAP_UPDATE_ELEM`, `BPF_MAP_LOOKUP_AND_DELETE_BATCH`, `BPF_MAP_UPDATE_BATCH` and `BPF_MAP_DELETE_BATCH` of `enum
/// bpf_cmd`.
const SET_ELEMENT: libc::c_int = 2;
const TAKE_BATCH: libc::c_int = 25;
const SET_BATCH: libc::c_int = 26;
const DROP_BATCH: libc::c_int = 27;

/// Entries that are taken at a time; no bucket of a hash map holds as many.
const BATCH: usize = 4096;

/// The part of `union bpf_attr` that single entries use.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

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
        match unsafe { bpf(SET_BATCH, &mut attr) } {
            Ok(_) => put += batch.len() as u64,
            Err(error) if error.raw_os_error() == Some(libc::E2BIG) => return Ok(put + u64::from(attr.count)),
            Err(error) => return Err(error).context("the blocks to watch cannot be told to the kernel"),
        }
    }
    Ok(put)
}

/// Takes these keys of two words out of a hash map, those that are in it; tells `dropped` each of those.
pub fn drop_all(map: impl AsFd, keys: impl Iterator<Item = [u64; 2]>, dropped: impl Fn([u64; 2])) -> Result<()> {
    let keys: Vec<[u64; 2]> = keys.collect();
    let mut rest = &keys[..];
    while !rest.is_empty() {
        let mut attr = BatchAttr {
            in_batch: 0,
            out_batch: 0,
            keys: rest.as_ptr().expose_provenance() as u64,
            values: 0,
            count: rest.len().min(BATCH) as u32,
            map_fd: map.as_fd().as_raw_fd() as u32,
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: `keys` has `count` of the map's keys, which outlive the call.
        let (gone, passed) = match unsafe { bpf(DROP_BATCH, &mut attr) } {
            Ok(_) => (rest.len().min(BATCH), 0),
            // One that is not there ends the batch: on behind it.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => (attr.count as usize, 1),
            Err(error) => return Err(error).context("the blocks of a process that is gone cannot be forgotten"),
        };
        rest.iter().take(gone).for_each(|key| dropped(*key));
        rest = rest.get(gone + passed..).unwrap_or_default();
    }
    Ok(())
}

/// Puts maps into the places of an array of maps, all at once where the kernel can (since Linux 6.8): it then waits
/// once for programs that look into those that were there, and not for each.
pub fn set_all(array: impl AsFd, places: &[u32], maps: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut places = places.to_vec();
    let mut descriptors: Vec<u32> = maps.iter().map(|map| map.as_raw_fd() as u32).collect();
    let count = places.len().min(descriptors.len());
    let mut attr = BatchAttr {
        in_batch: 0,
        out_batch: 0,
        keys: places.as_mut_ptr().expose_provenance() as u64,
        values: descriptors.as_mut_ptr().expose_provenance() as u64,
        count: count as u32,
        map_fd: array.as_fd().as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    // SAFETY: `places` and `descriptors` hold `count` keys and values of an array of maps, and outlive the call, which
    // reads them.
    unsafe { bpf(SET_BATCH, &mut attr) }.map(|_| ())
}

/// Puts a map into a place of an array of maps.
pub fn set_one(array: impl AsFd, place: u32, map: BorrowedFd<'_>) -> io::Result<()> {
    let (mut place, mut descriptor) = (place, map.as_raw_fd() as u32);
    let mut attr = ElementAttr {
        map_fd: array.as_fd().as_raw_fd() as u32,
        _pad: 0,
        key: (&raw mut place).expose_provenance() as u64,
        value: (&raw mut descriptor).expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: a key and a value of an array of maps, which outlive the call and are only read.
    unsafe { bpf(SET_ELEMENT, &mut attr) }.map(|_| ())
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
