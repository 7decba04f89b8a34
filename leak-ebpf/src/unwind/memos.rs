//! What a thread remembers of its walks, and how much of its stack they took.

use leak_ebpf::frame::{Memo, Subject};

use super::{mix, window::Width};

/// Memos of a thread: with all else that is kept for it, they take less than 16 KiB.
const MEMOS: usize = 12;

/// Places for the widths of stacks. A power of two.
const WIDTHS: usize = 32;

/// A thread's memos, each at the place that its subject picks.
#[repr(C)]
pub struct Memos {
    /// What walks from a stack pointer took at most, each at the place that the stack pointer picks.
    widths: [Width; WIDTHS],
    memos: [Memo; MEMOS],
}

impl Memos {
    /// The memo for this subject: of it, of another one, or of nothing.
    #[inline(always)]
    pub fn of(&mut self, subject: &Subject) -> &mut Memo {
        // The upper bits of a product are spread best. They become a place by multiplication, of which the verifier sees
        // the bounds.
        let place = ((mix(subject.ip, subject.sp) >> 32) * MEMOS as u64) >> 32;
        &mut self.memos[place as usize % MEMOS]
    }

    /// How much of the stack to look at from here: all that may be of use, until it is known how much that is.
    #[inline(always)]
    pub fn width_at(&self, sp: u64) -> Width {
        self.widths[place_of(sp)]
    }

    /// A walk from here took so much.
    #[inline(always)]
    pub fn took(&mut self, sp: u64, width: Width) {
        let known = &mut self.widths[place_of(sp)];
        *known = known.max(width);
    }
}

#[inline(always)]
fn place_of(sp: u64) -> usize {
    // Functions begin at 8 more than a multiple of 16.
    (sp / 16) as usize % WIDTHS
}
