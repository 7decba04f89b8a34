//! The memory of a ring buffer map, mapped once: the kernel's own way has all of it twice, for records that run over its
//! end, and it would count twice in leaktrace's resident memory. Such a record is put together here.

use std::{
    os::fd::BorrowedFd,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence},
};

use anyhow::{Context, Result, ensure};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// `BPF_RINGBUF_BUSY_BIT`, `BPF_RINGBUF_DISCARD_BIT` and `BPF_RINGBUF_HDR_SZ`.
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER_BYTES: usize = 8;

/// A ring's memory, and how far it was read.
pub struct RingMemory {
    /// A page with the position up to which it was read.
    read: Mapping,
    /// A page with the position up to which it was written; then what was.
    written: Mapping,
    position: usize,
    /// Bytes of the ring, a power of two.
    size: usize,
    /// A record that ran over the ring's end.
    joined: Vec<u8>,
}

impl RingMemory {
    /// Maps the ring of this descriptor, which has so many bytes.
    pub fn map(ring: BorrowedFd<'_>, size: u32) -> Result<Self> {
        let (page, size) = (procfs::page_size() as usize, size as usize);
        ensure!(size.is_power_of_two() && size >= page, "a ring of {size} bytes cannot be read");
        let read = Mapping::new(ring, 0, page, 0, ProtFlags::READ | ProtFlags::WRITE)?;
        let written = Mapping::new(ring, page, page, size, ProtFlags::READ)?;
        let position = read.position().load(Ordering::Acquire);
        Ok(Self { read, written, position, size, joined: Vec::new() })
    }

    /// Gives every record that is there to `take`, and its place back to the kernel after that.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        while let Some(header) = self.next_header() {
            let length = (header & !(BUSY | DISCARDED)) as usize;
            if header & DISCARDED == 0
                && let Some(record) = record(self.written.ring(), self.position, length, &mut self.joined)
            {
                take(record);
            }
            self.position = self.position.wrapping_add((HEADER_BYTES + length).next_multiple_of(8));
            self.read.position().store(self.position, Ordering::Release);
        }
        // A record that comes now finds that all was read, or has been seen.
        fence(Ordering::SeqCst);
    }

    /// The header of the next record, unless there is none or it is still being written.
    fn next_header(&self) -> Option<u32> {
        if self.position == self.written.position().load(Ordering::Acquire) {
            return None;
        }
        // Records begin at multiples of 8, and so does the end: headers do not run over it.
        let header = self.written.header(self.position & (self.size - 1)).load(Ordering::Acquire);
        (header & BUSY == 0).then_some(header)
    }
}

/// The record whose header is at this position.
fn record<'a>(ring: &'a [u8], position: usize, length: usize, joined: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let start = (position + HEADER_BYTES) & (ring.len() - 1);
    let (before, after) = ring.split_at(start);
    if length <= after.len() {
        return after.get(..length);
    }
    joined.clear();
    joined.extend_from_slice(after);
    joined.extend_from_slice(before.get(..length - after.len())?);
    Some(joined)
}

/// A mapped part of the ring: a page that begins with a position, and what follows.
struct Mapping {
    start: NonNull<u8>,
    page: usize,
    rest: usize,
}

// SAFETY: it is memory like any other, and nothing in it belongs to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(ring: BorrowedFd<'_>, offset: usize, page: usize, rest: usize, protection: ProtFlags) -> Result<Self> {
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let start =
            unsafe { mmap(std::ptr::null_mut(), page + rest, protection, MapFlags::SHARED, ring, offset as u64) }
                .context("the ring cannot be mapped")?;
        Ok(Self { start: NonNull::new(start.cast()).context("the ring cannot be mapped")?, page, rest })
    }

    /// The position that the first page begins with.
    fn position(&self) -> &AtomicUsize {
        // SAFETY: the mapping begins with a page, so aligned, and is there as long as `self`; the kernel writes
        // positions as whole words. Where it may not be written, it is only loaded.
        unsafe { self.start.cast().as_ref() }
    }

    /// What follows the first page.
    fn ring(&self) -> &[u8] {
        // SAFETY: this much is mapped as long as `self` is. The kernel does not write to records that are complete and
        // were not given back, and only those are looked at.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(self.page), self.rest) }
    }

    /// The first word of a header, which the kernel changes while the record is written.
    fn header(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(HEADER_BYTES) && offset < self.rest);
        // SAFETY: inside the mapping and aligned, as was just looked at.
        unsafe { self.start.add(self.page + offset).cast().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing that was borrowed from the mapping outlives it. An error leaves it mapped, which does no harm.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.page + self.rest) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_runs_over_the_end_is_put_together() {
        let ring: Vec<u8> = (0..64).collect();
        let mut joined = Vec::new();
        assert_eq!(record(&ring, 64 + 8, 4, &mut joined), Some(&[16, 17, 18, 19][..]));
        assert_eq!(record(&ring, 48, 8, &mut joined), Some(&[56, 57, 58, 59, 60, 61, 62, 63][..]));
        assert_eq!(record(&ring, 48, 10, &mut joined), Some(&[56, 57, 58, 59, 60, 61, 62, 63, 0, 1][..]));
        assert_eq!(record(&ring, 56, 3, &mut joined), Some(&[0, 1, 2][..]));
        assert_eq!(record(&ring, 56, 65, &mut joined), None);
    }
}
