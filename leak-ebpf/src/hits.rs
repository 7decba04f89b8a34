//! What the probes of one process were hit: what tracing costs it.

/// Counts of one process on one processor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Hits at the entry of an allocating function.
    pub entries: u64,
    /// Calls of those that were followed to their return, and hit a probe there.
    pub told_calls: u64,
    /// Hits on a freeing function.
    pub frees: u64,
    /// Frees of those that were told to user space.
    pub told_frees: u64,
    /// Hits, among all of the above, on an instruction that the kernel single-steps.
    pub stepped: u64,
    /// Bytes that the allocating calls asked for.
    pub bytes: u64,
}

impl Hits {
    /// Hits of every kind.
    pub const fn all(&self) -> u64 {
        self.entries + self.told_calls + self.frees
    }

    /// Both together.
    #[must_use]
    pub const fn and(&self, other: &Self) -> Self {
        Self {
            entries: self.entries + other.entries,
            told_calls: self.told_calls + other.told_calls,
            frees: self.frees + other.frees,
            told_frees: self.told_frees + other.told_frees,
            stepped: self.stepped + other.stepped,
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    /// What came since an earlier count.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(earlier.entries),
            told_calls: self.told_calls.saturating_sub(earlier.told_calls),
            frees: self.frees.saturating_sub(earlier.frees),
            told_frees: self.told_frees.saturating_sub(earlier.told_frees),
            stepped: self.stepped.saturating_sub(earlier.stepped),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}
