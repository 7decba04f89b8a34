//! The figures of one stack at one moment.

use serde::Serialize;

/// A stack's sums since tracing began. Estimates, rounded, where allocations were sampled.
///
/// allocated = outstanding + unknown + freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Bytes allocated and not given back.
    pub outstanding_bytes: u64,
    /// Blocks of those.
    pub outstanding_count: u64,
    /// Bytes of which it is not known whether they were given back.
    pub unknown_bytes: u64,
    /// Blocks of those.
    pub unknown_count: u64,
    /// Bytes given back.
    pub freed_bytes: u64,
    /// Blocks of those.
    pub freed_count: u64,
    /// Standard error of the outstanding bytes; 0 where every allocation was traced.
    pub bytes_stderr: u64,
}

impl Point {
    /// Bytes that were not seen to be given back.
    pub fn held_bytes(&self) -> u64 {
        self.outstanding_bytes.saturating_add(self.unknown_bytes)
    }

    /// Blocks of those.
    pub fn held_count(&self) -> u64 {
        self.outstanding_count.saturating_add(self.unknown_count)
    }

    /// Bytes allocated since tracing began.
    pub fn allocated_bytes(&self) -> u64 {
        self.held_bytes().saturating_add(self.freed_bytes)
    }

    /// Blocks of those.
    pub fn allocated_count(&self) -> u64 {
        self.held_count().saturating_add(self.freed_count)
    }
}
