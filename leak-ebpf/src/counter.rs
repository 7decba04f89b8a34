//! What the programs count for all processes together: what was lost, and how walks have ended.

/// What the programs count, by index into a per-CPU array.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Allocations that succeeded and were not recorded because the ring had only the room kept for frees.
    AllocsRefused = 0,
    /// Bytes of those.
    AllocsRefusedBytes = 1,
    /// Allocating calls whose return was never seen (longjmp, exception, thread exit, a missed return probe).
    ReturnsMissed = 2,
    /// Bytes that those calls asked for.
    ReturnsMissedBytes = 3,
    /// Frees that found the ring full and were set aside; user space collects them, so they are not lost.
    FreesSpilled = 4,
    /// Frees lost: the ring and the place for spilled frees were both full. The ledger is not to be trusted after.
    FreesLost = 5,
    /// Calls not recorded because the kernel had no memory for the thread's state.
    ThreadsRefused = 6,
    /// Stacks cut at [`MAX_FRAMES`](crate::MAX_FRAMES).
    StacksTruncated = 7,
    /// Execs and library changes that found the ring full: blocks and names from before may be told as of now.
    ProcessChangesLost = 8,
    /// Processes that traced ones have made with a copy of their memory, breakpoints included.
    Copies = 9,
    /// Stacks walked to their bottom, as every one should be.
    StacksWhole = 10,
    /// Stacks whose walk came to code without an unwind rule.
    StacksUnruled = 11,
    /// Stacks whose walk came to code with a rule of a kind that is not understood.
    StacksUnsupported = 12,
    /// Stacks whose walk came to what can be no frame.
    StacksNotAFrame = 13,
    /// Stacks whose walk came to memory that could not be read.
    StacksUnreadable = 14,
}

/// How many [`Counter`]s there are.
pub const COUNTERS: usize = 15;
