//! How often a process has changed what it runs, which is what an address in it means.

/// Counts of changes: of execs, and of what the dynamic loader tells before and after it maps or unmaps libraries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// All of them: the process's generation.
    pub all: u32,
    /// Those that may have taken code away. Where there was none of these, what lay at an address lies there still.
    pub removals: u32,
}

impl Changes {
    /// What they are after one more.
    #[must_use]
    pub const fn and_one(self, is_removal: bool) -> Self {
        Self { all: self.all.wrapping_add(1), removals: self.removals.wrapping_add(is_removal as u32) }
    }

    /// Both in one word, which is written and read at once.
    pub const fn pack(self) -> u64 {
        (self.removals as u64) << 32 | self.all as u64
    }

    /// What [`Self::pack`] made.
    pub const fn unpack(word: u64) -> Self {
        Self { all: word as u32, removals: (word >> 32) as u32 }
    }
}

/// The dynamic loader of a process: where it says what it is doing, and what it said last.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loader {
    /// From the function that it calls at each change to its `r_debug.r_state`, in bytes, wrapping; 0 is not known.
    pub state_distance: u64,
    /// The last `r_state` that was read; [`Loader::CONSISTENT`] at first.
    pub state: u64,
}

impl Loader {
    /// `RT_CONSISTENT` of `<link.h>`: the change is complete.
    pub const CONSISTENT: u64 = 0;
    /// `RT_ADD`: libraries are about to be mapped.
    pub const ADD: u64 = 1;

    /// Whether code may be taken away between the call with `state` and the one before. Where the last word was not that
    /// something is added, the loader may have told of a namespace whose state is elsewhere.
    pub const fn may_remove(&self, state: u64) -> bool {
        state != Self::ADD && !(state == Self::CONSISTENT && self.state == Self::ADD)
    }
}
