//! The wire: every byte that crosses between the kernel programs and user space.
//!
//! Down go [`Cookie`]s (one per probe) and [`Settings`]; up come [`Record`](Kind)s through the ring buffer and
//! [`Counter`]s through a per-CPU array. Both sides compile this file, so nothing is written twice. It promises a
//! fixed layout, checked below at compile time; it holds no behaviour beyond packing and unpacking.
#![no_std]

mod changes;
mod counter;
pub mod frame;
mod hits;
mod python_wire;
mod record;
mod sample;
mod slot;

pub use changes::{Changes, Loader};
pub use counter::{COUNTERS, Counter};
pub use hits::Hits;
pub use python_wire::{
    ENTERED, FRAME_BYTES, MAX_MADE, MAX_PYTHON_FRAMES, MAX_PYTHON_STACKS, MAX_PYTHON_STEPS, MAX_WATCHED_WORDS,
    MAX_WRITERS, Made, NOWHERE, Places, PythonCall, PythonStack, Seen, UNSEEN, UNWATCHED, WriterKey, Writes,
};
pub use record::{Frames, Record};
pub use sample::{ALWAYS, EXACT, MAX_PERIOD, Sampling};
pub use slot::{MAX_SLOTS, Positions, SLOT_BYTES, SLOT_WORDS, Slot, Turn, slots_of, slots_of_stack};

/// Most frames a stack record carries. The kernel's own stack helper stops at 127 too.
pub const MAX_FRAMES: usize = 127;

/// Slots of the direct-mapped cache of stacks that user space already knows. A power of two.
pub const KNOWN_STACKS: u32 = 1 << 16;

/// Places of the direct-mapped cache of unwind rules. A power of two.
pub const CACHED_RULES: u32 = 1 << 15;

/// Tables of unwind rows at once, one for each module.
pub const MAX_TABLES: u32 = 1 << 12;

/// Segments of one process that have a table.
pub const MAX_SEGMENTS: u32 = 1 << 12;

/// Free addresses that can wait outside a full ring, see [`Counter::FreesLost`].
pub const MAX_SPILLED_FREES: u32 = 1 << 20;

/// In place of a return trampoline's address: user space looked for it and there is none to be found.
pub const NO_TRAMPOLINE: u64 = u64::MAX;

/// Processes traced at once.
pub const MAX_PROCESSES: u32 = 1 << 12;

/// The process slot of leaktrace's own calibration calls; no target ever has it.
pub const CALIBRATION_SLOT: u16 = MAX_PROCESSES as u16;

/// The process slot of processes that nobody chose, which probes for all meet too.
pub const STRANGERS_SLOT: u16 = CALIBRATION_SLOT + 1;

/// In a [`Cookie`]: the probe is in every process that maps its file, and whose it was hit by is to be looked up.
pub const ANY_PROCESS: u16 = u16::MAX;

/// Of a newcomer that will be traced, once it has its probes.
pub const NEWCOMER_WANTED: u32 = 1;

/// Slots of processes and those beside.
pub const SLOTS_OF_PROCESSES: u32 = STRANGERS_SLOT as u32 + 1;

/// Claims of slots of the ring that can be given up at once: one for each program that is interrupted at a moment when the
/// ring becomes full.
pub const MAX_SKIPPED: u32 = 1 << 10;

/// Blocks that can be watched for their free while not every free is told.
pub const MAX_WATCHED: u32 = 1 << 20;

/// How a probed function takes its arguments and gives its result: what the programs need to know of it.
///
/// `a0`, `a1`, … are the first, second, … integer argument of the platform's calling convention.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// `p = f(size)`: malloc, valloc.
    Size0 = 1,
    /// `p = f(_, size)`: memalign, `aligned_alloc`.
    Size1 = 2,
    /// `p = f(n, size)`: calloc.
    Product01 = 3,
    /// `p = f(old, size)`: realloc. A failure keeps `old`, unless the size was 0.
    Realloc = 4,
    /// `p = f(old, n, size)`: reallocarray.
    ReallocProduct = 5,
    /// `err = f(&p, _, size)`: `posix_memalign`. `p` is valid only when `err` is 0.
    OutPointer = 6,
    /// `p = f(size)`, and the size is rounded up to a whole page: pvalloc.
    PageRounded0 = 7,
    /// `p = mmap(_, len, _, flags, …)`; only anonymous mappings are recorded.
    Mmap = 8,
    /// `p = mremap(old, old_len, new_len, …)`.
    Mremap = 9,
    /// `err = munmap(p, len)`.
    Munmap = 10,
    /// `f(p)`: free.
    Free = 11,
    /// `real = f(p, size, …)`: `xallocx`, which resizes a block where it is, or leaves it when `real` is below `size`.
    ResizeInPlace = 12,
    /// An mremap that leaves the old pages mapped. No function is one; a call of mremap turns out to be.
    MremapCopy = 13,
}

impl Signature {
    /// The signature with this number, if there is one.
    pub const fn from_u8(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Size0,
            2 => Self::Size1,
            3 => Self::Product01,
            4 => Self::Realloc,
            5 => Self::ReallocProduct,
            6 => Self::OutPointer,
            7 => Self::PageRounded0,
            8 => Self::Mmap,
            9 => Self::Mremap,
            10 => Self::Munmap,
            11 => Self::Free,
            12 => Self::ResizeInPlace,
            13 => Self::MremapCopy,
            _ => return None,
        })
    }

    /// Whether the function may move or resize what is there already.
    pub const fn may_move(self) -> bool {
        matches!(self, Self::Realloc | Self::ReallocProduct | Self::ResizeInPlace | Self::Mremap | Self::MremapCopy)
    }

    /// Whether the function hands out address space (mmap) rather than heap blocks.
    pub const fn is_mapping(self) -> bool {
        matches!(self, Self::Mmap | Self::Mremap | Self::MremapCopy | Self::Munmap)
    }
}

/// What a probe is told when it is attached, readable by the program at each hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Number of the [`Signature`]. Kept raw because a program must not trust an enum it has not checked.
    pub signature: u8,
    /// Which traced process this probe belongs to. Chosen at attach, so it also holds in a vfork child. Of a probe for all
    /// it is [`ANY_PROCESS`].
    pub process: u16,
    /// Whether the kernel single-steps the probed instruction, which costs about ten times as much as emulating it.
    pub stepped: bool,
    /// The number that user space gave the function, from 1; 0 if none.
    pub function: u16,
}

impl Cookie {
    /// The cookie of a probe on a function of this signature in this process.
    pub const fn new(signature: Signature, process: u16, stepped: bool, function: u16) -> Self {
        Self { signature: signature as u8, process, stepped, function }
    }

    /// Of no function, in this process.
    pub const fn of_process(process: u16) -> Self {
        Self { signature: 0, process, stepped: false, function: 0 }
    }

    /// The cookie as the kernel stores it.
    pub const fn pack(self) -> u64 {
        self.signature as u64 | (self.stepped as u64) << 8 | (self.process as u64) << 16 | (self.function as u64) << 32
    }

    /// The cookie from what the kernel stored.
    pub const fn unpack(raw: u64) -> Self {
        Self {
            signature: raw as u8,
            stepped: raw >> 8 & 1 != 0,
            process: (raw >> 16) as u16,
            function: (raw >> 32) as u16,
        }
    }
}

/// What a record says; the first byte of each.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A [`StackRecord`]: a stack that user space may not know yet. Always ahead of the first use of its id.
    Stack = 1,
    /// An [`AllocRecord`]: a call that gave out memory has succeeded.
    Alloc = 2,
    /// A [`FreeRecord`]: a block is about to be freed.
    Free = 3,
    /// A [`TakeRecord`]: realloc, mremap or munmap has begun on this memory. It counts as gone until the thread's
    /// next [`Kind::Restore`] brings it back; for a [`Signature::MremapCopy`] it stays.
    Take = 4,
    /// A [`RestoreRecord`]: the call that began with [`Kind::Take`] failed and the memory is still there.
    Restore = 5,
    /// A [`ProcessRecord`]: the process has replaced its program; all of its memory is gone.
    Exec = 6,
    /// A [`ProcessRecord`]: the process has loaded or unloaded libraries.
    Libraries = 7,
    /// A [`ProcessRecord`]: the process has made another one, which has a copy of its memory.
    Fork = 8,
    /// A [`ProcessRecord`]: the process has made another one, which uses its very memory until it execs (vfork).
    Vfork = 9,
    /// A [`ProcessRecord`] of no slot: a process that is not traced, whose id is the head's thread id, runs a new program.
    Newcomer = 10,
}

/// What every record begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// A [`Kind`].
    pub kind: u8,
    /// The [`Signature`] of the function, or 0.
    pub signature: u8,
    /// The process slot from the [`Cookie`].
    pub process: u16,
    /// Thread id, in the initial PID namespace; 0 for a free.
    pub tid: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds. For an allocation when it returned and for a free when it was called, at most a tick
    /// (4 ms) early; of an allocation it is behind every [`SpillTime`] from before.
    pub time: u64,
}

/// A stack: return addresses from the allocator's caller outwards.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StackRecord {
    /// Kind, process, thread and time.
    pub head: Head,
    /// The stack's id: a hash of its frames, its process slot, and how often that changed what it runs.
    pub id: u64,
    /// How many of `frames` are filled.
    pub depth: u16,
    /// A [`WalkEnd`].
    pub end: u16,
    /// How often the process had changed what it runs: which mappings the addresses lie in.
    pub generation: u32,
    /// Return addresses.
    pub frames: [u64; MAX_FRAMES],
    /// Fills the last [`Slot`].
    pub spare: [u64; 2],
}

/// How stacks are walked.
#[repr(u64)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Walk {
    /// By unwind rules, and by frame pointers where there are none.
    #[default]
    Auto = 0,
    /// By unwind rules alone.
    Rules = 1,
    /// By frame pointers alone.
    Pointers = 2,
}

/// Why a walk went no farther.
#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkEnd {
    /// There was no frame above: the stack is whole.
    Bottom = 0,
    /// It had [`MAX_FRAMES`].
    TooDeep = 1,
    /// No rule is known for the code; or none was on the way, and the walk went on by frame pointer, to wherever.
    Unruled = 2,
    /// The code's rule is of a kind that is not understood.
    Unsupported = 3,
    /// What should have been a frame cannot be one.
    NotAFrame = 4,
    /// A word of the stack could not be read.
    Unreadable = 5,
}

impl WalkEnd {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Bottom, Self::TooDeep, Self::Unruled, Self::Unsupported, Self::NotAFrame, Self::Unreadable];

    /// The one with this number, if there is one.
    #[inline]
    pub const fn from_u16(value: u16) -> Option<Self> {
        Some(match value {
            0 => Self::Bottom,
            1 => Self::TooDeep,
            2 => Self::Unruled,
            3 => Self::Unsupported,
            4 => Self::NotAFrame,
            5 => Self::Unreadable,
            _ => return None,
        })
    }

    /// What counts the walks that ended so.
    pub const fn counter(self) -> Counter {
        match self {
            Self::Bottom => Counter::StacksWhole,
            Self::TooDeep => Counter::StacksTruncated,
            Self::Unruled => Counter::StacksUnruled,
            Self::Unsupported => Counter::StacksUnsupported,
            Self::NotAFrame => Counter::StacksNotAFrame,
            Self::Unreadable => Counter::StacksUnreadable,
        }
    }
}

/// A stretch of a process's code for which a table of unwind rows holds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// The address that the table's rows count from.
    pub base: u64,
    /// The table.
    pub table: u32,
    /// How many rows it has.
    pub rows: u32,
}

/// An allocation that succeeded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocRecord {
    /// Kind, function, process, thread and time.
    pub head: Head,
    /// Where the memory begins.
    pub addr: u64,
    /// Bytes asked for.
    pub size: u64,
    /// The [`StackRecord::id`] of the call.
    pub stack: u64,
    /// A [`Draw`].
    pub draw: u64,
}

/// How it came that an allocation was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The [`Sampling::period`] at which it was taken.
    pub period: u64,
    /// The [`Cookie::function`] that was called, if it may have been called by the allocator itself, inside a call that
    /// was not recorded; 0 if not.
    pub function: u16,
}

impl Draw {
    /// Taken as every one is.
    pub const EXACT: Self = Self { period: EXACT, function: 0 };

    const PERIOD_BITS: u32 = 48;

    /// As a record has it.
    pub const fn pack(self) -> u64 {
        self.period | (self.function as u64) << Self::PERIOD_BITS
    }

    /// From a record.
    pub const fn unpack(raw: u64) -> Self {
        Self { period: raw & ((1 << Self::PERIOD_BITS) - 1), function: (raw >> Self::PERIOD_BITS) as u16 }
    }
}

/// A block that is being freed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreeRecord {
    /// Kind, function, process, thread and time.
    pub head: Head,
    /// Where the memory begins.
    pub addr: u64,
}

/// Memory that a call has begun to move or unmap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakeRecord {
    /// Kind, function, process, thread and time.
    pub head: Head,
    /// Where the memory begins.
    pub addr: u64,
    /// Bytes of address space, or 0 for a heap block.
    pub len: u64,
}

/// The thread's last [`TakeRecord`] did not come to pass.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreRecord {
    /// Kind, function, process, thread and time.
    pub head: Head,
}

/// Something happened to a process as a whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessRecord {
    /// Kind, process and time.
    pub head: Head,
}

/// Names memory whose giving back found the ring full.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpillKey {
    /// Where the memory begins.
    pub addr: u64,
    /// Pages of address space, or 0 for a heap block.
    pub pages: u32,
    /// The process slot.
    pub process: u16,
    /// Keys are compared byte by byte, so there is no padding.
    pub zero: u16,
}

impl SpillKey {
    const PAGE: u64 = 4096;

    /// Names this much address space, or a heap block where `len` is 0.
    pub const fn new(process: u16, addr: u64, len: u64) -> Self {
        // What no address space holds is cut: no mapping is as long, so none is taken for another.
        let pages = len.div_ceil(Self::PAGE);
        Self { addr, pages: if pages > u32::MAX as u64 { u32::MAX } else { pages as u32 }, process, zero: 0 }
    }

    /// The key from its two words, as the kernel gives it.
    pub const fn unpack(addr: u64, rest: u64) -> Self {
        Self { addr, pages: rest as u32, process: (rest >> 32) as u16, zero: 0 }
    }

    /// Bytes of address space, or 0 for a heap block.
    pub const fn bytes(self) -> u64 {
        self.pages as u64 * Self::PAGE
    }
}

/// Names a block whose free is to be told.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BlockKey {
    /// Where the block begins.
    pub addr: u64,
    /// The process slot. Keys are compared byte by byte, so it fills the word.
    pub process: u64,
}

impl BlockKey {
    /// The block of this process here.
    pub const fn new(process: u16, addr: u64) -> Self {
        Self { addr, process: process as u64 }
    }

    /// Which one of `2^log2` bins it falls into. They are filled evenly, but not against somebody who chooses addresses.
    #[inline]
    pub const fn bin(self, log2: u32) -> u32 {
        // Blocks lie at multiples of 16; the multiplier is the golden ratio's.
        let name = self.addr >> 4 ^ self.process << 44;
        (name.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - log2)) as u32
    }
}

/// Bins of the map of bins (see [`BlockKey::bin`]) in which watched blocks are counted, as a power of two.
pub const WATCHED_BINS_LOG2: u32 = 14;

/// When that memory was last given back, as [`Head::time`]. Only what was allocated before is gone.
pub type SpillTime = u64;

/// Numbers that user space sets before the programs are loaded.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Slots of the ring, a power of two.
    pub slots: u64,
    /// Slots in use above which allocations are refused; the rest is kept for frees.
    pub refuse_above: u64,
    /// Slots in use above which the reader is woken instead of waiting for its timer.
    pub wake_above: u64,
    /// Where the kernel puts the return trampoline in a process that has nothing there yet.
    pub usual_trampoline: u64,
    /// A [`Walk`].
    pub walk: u64,
    /// Whether new programs of processes that are not traced are told, 0 or 1.
    pub newcomers: u64,
    /// Whether stacks have Python's frames too, of processes that have [`Places`], 0 or 1.
    pub python: u64,
}

const _: () = {
    assert!(size_of::<Head>() == 16);
    assert!(size_of::<AllocRecord>() == 48);
    assert!(size_of::<FreeRecord>() == 24);
    assert!(size_of::<TakeRecord>() == 32);
    assert!(size_of::<RestoreRecord>() == 16);
    assert!(size_of::<ProcessRecord>() == 16);
    assert!(size_of::<SpillKey>() == 16);
    assert!(size_of::<Settings>() == 56);
    assert!(size_of::<Segment>() == 32);
    assert!(size_of::<Sampling>() == 24);
    assert!(size_of::<Hits>() == 48);
    assert!(size_of::<Loader>() == 16);
    assert!(size_of::<BlockKey>() == 16);
    assert!(KNOWN_STACKS.is_power_of_two() && CACHED_RULES.is_power_of_two());
};
