//! What tells the calls that an allocator makes to itself when the program's own call was not sampled.
//!
//! A call that is recorded is known by the return trampoline on the stack (`call`). One that is not has none: it leaves a
//! mark with its thread in its place, where its return address lies and what it is. A call is inside it while that word
//! still stands there and the walk up from the call returns through it.

use aya_ebpf::{bindings::pt_regs, macros::btf_map};
use leak_ebpf::Cookie;

use crate::{
    call::{Thread, read_user},
    lifecycle,
    task_storage::TaskStorage,
};

#[btf_map]
static MARKS: TaskStorage<Mark> = TaskStorage::new();

/// The last outermost call of a thread that was not sampled.
#[repr(C)]
struct Mark {
    /// Stack pointer at entry, pointing at the return address; 0 when there was none yet.
    sp: u64,
    /// The return address.
    ret: u64,
    /// The probe's cookie.
    cookie: u64,
}

/// An allocator uses less of the stack than this before it calls itself.
const NEAR: u64 = 4096;

/// Leaves the mark of a call that is not sampled. One that is made inside another keeps that one's.
#[inline(always)]
pub fn leave(regs: &pt_regs, ret: u64, cookie: Cookie) {
    let sp = regs.rsp;
    let Some(mark) = MARKS.get_or_create() else { return };
    let below = mark.sp.wrapping_sub(sp);
    // Another function at the same place, with the same way back, was called by a jump at the end of the first.
    if below == 0 && mark.leads_back_by(ret, cookie.process)
        || below != 0 && below < NEAR && mark.is_there(cookie.process)
    {
        return;
    }
    *mark = Mark { sp, ret, cookie: cookie.pack() };
}

/// Where the call lies that left its mark last and that the thread's next one can be inside; the walk up tells.
#[inline(always)]
pub fn around(regs: &pt_regs, thread: &Thread) -> Option<(u64, u64)> {
    let mark = MARKS.get()?;
    let sp = regs.rsp;
    let (next, process) = (thread.next_call(), Cookie::unpack(mark.cookie).process);
    let is_there = if sp == mark.sp {
        mark.leads_back_by(next.ret, process) && (next.ret != mark.ret || next.probe != mark.cookie)
    } else {
        sp < mark.sp && mark.is_there(process)
    };
    is_there.then_some((mark.sp, 0))
}

impl Mark {
    /// Whether this word is its return address, or what the kernel puts in its place where it has no sessions.
    #[inline(always)]
    fn leads_back_by(&self, word: u64, process: u16) -> bool {
        word == self.ret || word == lifecycle::trampoline(process)
    }

    #[inline(always)]
    fn is_there(&self, process: u16) -> bool {
        read_user(self.sp).is_some_and(|word| self.leads_back_by(word, process))
    }
}
