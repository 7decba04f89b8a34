//! A copy of a process's writable private memory, taken while the process runs.
//!
//! Everything that the interpreter allocates is in such memory: anonymous mappings, the heap, stacks, and the data of
//! programs and libraries. Only pages that are present are copied, so the process gets no page that it did not have.
//! The copy is not of one moment: what changes meanwhile may be half old and half new, so whoever reads it
//! checks what he finds. What is shared with other processes, read-only, or a device's is left out.

mod pages;

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};

use super::{interpreter::Interpreter, memory::Memory};
use crate::units;
use pages::Pages;

/// Longest text that is read, in bytes.
const LONGEST_TEXT: usize = 128;

/// See the module.
#[derive(Debug)]
pub struct Snapshot {
    bytes: Vec<u8>,
    /// Addresses and ends of [`Self::regions`], in order; they never touch.
    starts: Vec<u64>,
    regions: Vec<Region>,
    /// When it was begun.
    pub taken: SystemTime,
    /// The same, to tell the time between two.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
    /// Bytes of such memory that are swapped out, and so not in it.
    pub swapped_bytes: u64,
    /// Bytes that were gone before they could be read.
    pub lost_bytes: u64,
    /// Bytes of mappings that are too large to be looked through for what is present in them.
    pub skipped_bytes: u64,
}

/// A stretch of memory without a gap.
#[derive(Clone, Copy, Debug)]
struct Region {
    end: u64,
    /// Where its bytes are.
    at: usize,
}

impl Snapshot {
    /// Copies the memory of an interpreter's process, if that is at most so many bytes.
    pub fn take(interpreter: &Interpreter, most_bytes: u64) -> Result<Self> {
        let pid = interpreter.pid;
        let (began, taken) = (Instant::now(), SystemTime::now());
        let pages = Pages::of(pid);
        ensure!(!interpreter.is_gone(), "process {pid} ended before its memory was read");
        let pages = pages.with_context(|| format!("what process {pid} has in memory cannot be read"))?;
        let present = pages.bytes();
        ensure!(
            present <= most_bytes,
            "process {pid} has {} of memory of its own, of which a copy is made to look at it; at most {} are copied",
            units::bytes(present),
            units::bytes(most_bytes)
        );
        let mut snapshot = Self::of_runs(&interpreter.memory, &pages.runs, present as usize);
        ensure!(!interpreter.is_gone(), "process {pid} ended, or began another program, while its memory was read");
        (snapshot.taken, snapshot.at, snapshot.took) = (taken, began, began.elapsed());
        (snapshot.swapped_bytes, snapshot.skipped_bytes) = (pages.swapped_bytes, pages.skipped_bytes);
        Ok(snapshot)
    }

    /// The memory that lies at these addresses; for tests, made-up memory.
    pub fn of_parts<'b>(parts: impl IntoIterator<Item = (u64, &'b [u8])>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_by_key(|(start, _)| *start);
        let mut snapshot = Self::empty();
        for (start, bytes) in parts {
            let at = snapshot.bytes.len();
            let is_free = snapshot.regions.last().is_none_or(|last| last.end <= start);
            if is_free && start.checked_add(bytes.len() as u64).is_some() {
                snapshot.bytes.extend_from_slice(bytes);
                snapshot.add(start, bytes.len(), at);
            }
        }
        snapshot
    }

    fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            starts: Vec::new(),
            regions: Vec::new(),
            taken: SystemTime::UNIX_EPOCH,
            at: Instant::now(),
            took: Duration::ZERO,
            swapped_bytes: 0,
            lost_bytes: 0,
            skipped_bytes: 0,
        }
    }

    fn of_runs(memory: &Memory, runs: &[(u64, u64)], room: usize) -> Self {
        let mut snapshot = Self::empty();
        // Zeroed by the kernel as it is written.
        snapshot.bytes = vec![0; room];
        let mut at = 0;
        for (start, end) in runs {
            let length = (end - start) as usize;
            let read = snapshot.bytes.get_mut(at..at + length).map_or(0, |bytes| memory.read(*start, bytes));
            snapshot.lost_bytes += (length - read) as u64;
            snapshot.add(*start, read, at);
            at += read;
        }
        snapshot.bytes.truncate(at);
        snapshot
    }

    /// Notes that these bytes are at that place, one region with what lies before them.
    fn add(&mut self, start: u64, length: usize, at: usize) {
        let end = start + length as u64;
        match self.regions.last_mut() {
            _ if length == 0 => {}
            Some(last) if last.end == start => last.end = end,
            _ => {
                self.starts.push(start);
                self.regions.push(Region { end, at });
            }
        }
    }

    /// How many bytes were read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Stretches of memory by their addresses, in order.
    pub fn regions(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.starts.iter().zip(&self.regions).map(|(start, region)| (*start, self.bytes_of(*start, region)))
    }

    fn bytes_of(&self, start: u64, region: &Region) -> &[u8] {
        &self.bytes[region.at..][..(region.end - start) as usize]
    }

    /// What there is from this address on without a gap.
    pub fn tail(&self, address: u64) -> Option<&[u8]> {
        let index = self.starts.partition_point(|start| *start <= address).checked_sub(1)?;
        let (start, region) = (self.starts[index], self.regions.get(index)?);
        (address < region.end).then(|| &self.bytes_of(start, region)[(address - start) as usize..])
    }

    /// So many bytes at this address, if all of them are there.
    pub fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        self.tail(address)?.get(..length)
    }

    /// The word at this address.
    pub fn word(&self, address: u64) -> Option<u64> {
        self.tail(address)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// The four bytes at this address, as a number.
    pub fn half(&self, address: u64) -> Option<u32> {
        self.tail(address)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// The byte at this address.
    pub fn byte(&self, address: u64) -> Option<u8> {
        self.tail(address)?.first().copied()
    }

    /// The C string at this address if it is of UTF-8, of a long one the first 128 bytes.
    pub fn text(&self, address: u64) -> Option<&str> {
        text_in(self.tail(address)?)
    }
}

/// The C string that these bytes begin with if it is of UTF-8, of a long one the first 128 bytes.
pub fn text_in(bytes: &[u8]) -> Option<&str> {
    let bytes = bytes.get(..LONGEST_TEXT).unwrap_or(bytes);
    if let Some(length) = bytes.iter().position(|byte| *byte == 0) {
        return std::str::from_utf8(&bytes[..length]).ok();
    }
    match std::str::from_utf8(bytes) {
        _ if bytes.len() < LONGEST_TEXT => None,
        Ok(text) => Some(text),
        // A character was cut.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_parts() -> Snapshot {
        let (front, middle, back) = ([1; 16], [2; 8], b"name\0\xff\0");
        Snapshot::of_parts([(0x3000, &back[..]), (0x1000, &front[..]), (0x1010, &middle[..])])
    }

    #[test]
    fn what_touches_is_one_region() {
        let snapshot = two_parts();
        let regions: Vec<_> = snapshot.regions().map(|(start, bytes)| (start, bytes.len())).collect();
        assert_eq!(regions, [(0x1000, 24), (0x3000, 7)]);
        assert_eq!(snapshot.bytes(0x1008, 16), Some(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2][..]));
        assert_eq!(snapshot.word(0x1010), Some(0x0202_0202_0202_0202));
    }

    #[test]
    fn what_is_not_whole_is_not_there() {
        let snapshot = two_parts();
        for address in [0, 0xfff, 0x1011, 0x1018, 0x2fff, 0x3007, u64::MAX] {
            assert_eq!(snapshot.word(address), None, "{address:#x}");
        }
        assert_eq!((snapshot.half(0x1014), snapshot.half(0x1015)), (Some(0x0202_0202), None));
        assert_eq!((snapshot.byte(0x3000), snapshot.byte(0x3007)), (Some(b'n'), None));
    }

    #[test]
    fn a_text_ends_and_is_utf_8() {
        let snapshot = two_parts();
        assert_eq!(snapshot.text(0x3000), Some("name"));
        assert_eq!((snapshot.text(0x3005), snapshot.text(0x1000)), (None, None));
    }

    #[test]
    fn of_a_long_text_the_beginning_is_told() {
        let long = format!("x{}", "é".repeat(100));
        assert_eq!(text_in(long.as_bytes()).map(str::len), Some(127), "no character is cut");
        assert_eq!(text_in(&long.as_bytes()[..127]), None, "it may go on");
        assert_eq!(text_in(&[b'\xff'; 200]), None);
    }

    #[test]
    fn parts_that_overlap_are_left_out() {
        let bytes = [0; 32];
        let snapshot = Snapshot::of_parts([(0x1000, &bytes[..]), (0x1010, &bytes[..]), (u64::MAX - 8, &bytes[..])]);
        assert_eq!(snapshot.regions().count(), 1);
        assert_eq!(snapshot.bytes_read(), 32);
    }
}
