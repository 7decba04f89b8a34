//! What tells the calls that an allocator makes to itself when the program's own call was not sampled.
//!
//! A call that is recorded is known by the return trampoline on the stack (`call`). One that is not has none: it leaves a
//! mark with its thread in its place, where its return address lies and what it is. A call is inside it while that word
//! still stands there and the walk up from the call returns through it.

use aya_ebpf::{bindings::pt_regs, macros::btf_map};

use crate::{
    call::{Thread, read_user},
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
pub fn leave(regs: &pt_regs, ret: u64, cookie: u64) {
    let sp = regs.rsp;
    let Some(mark) = MARKS.get_or_create() else { return };
    // Another function at the same place, with the same way back, was called by a jump at the end of the first.
    let below = mark.sp.wrapping_sub(sp);
    if below == 0 && mark.ret == ret || below != 0 && below < NEAR && read_user(mark.sp) == Some(mark.ret) {
        return;
    }
    *mark = Mark { sp, ret, cookie };
}

/// Where the call lies that left its mark last and that the thread's next one can be inside; the walk up tells.
#[inline(always)]
pub fn around(regs: &pt_regs, cookie: u64, thread: &Thread) -> Option<(u64, u64)> {
    let mark = MARKS.get()?;
    let sp = regs.rsp;
    let is_there = if sp == mark.sp {
        thread.next_call().ret == mark.ret && cookie != mark.cookie
    } else {
        sp < mark.sp && read_user(mark.sp) == Some(mark.ret)
    };
    is_there.then_some((mark.sp, 0))
}
