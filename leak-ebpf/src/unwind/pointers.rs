//! The walk by frame pointers, which reads two words a frame. It cannot see a caller that keeps no frame pointer: that
//! one is skipped, or the walk ends there.

use aya_ebpf::{bindings::pt_regs, helpers::bpf_probe_read_user};
use leak_ebpf::{MAX_FRAMES, StackRecord, WalkEnd, frame::USER_SPACE};

use super::{Walked, mix};

#[inline(always)]
pub fn walk(regs: &pt_regs, mut hash: u64, record: &mut StackRecord) -> Walked {
    let mut fp = regs.rbp;
    let mut below = regs.rsp;
    let mut depth = 1;
    while depth < MAX_FRAMES {
        if fp == 0 {
            return done(record, depth, hash, WalkEnd::Bottom);
        }
        // Frames lie above one another; anything else is a register that holds no frame pointer.
        if fp <= below || !fp.is_multiple_of(8) {
            return done(record, depth, hash, WalkEnd::NotAFrame);
        }
        // SAFETY: the helper checks the address and fails on one that is not the target's.
        let Ok([next, ret]) = (unsafe { bpf_probe_read_user(fp as *const [u64; 2]) }) else {
            return done(record, depth, hash, WalkEnd::Unreadable);
        };
        if ret == 0 {
            return done(record, depth, hash, WalkEnd::Bottom);
        }
        if !USER_SPACE.contains(&ret) {
            return done(record, depth, hash, WalkEnd::NotAFrame);
        }
        record.frames[depth] = ret;
        hash = mix(hash, ret);
        depth += 1;
        below = fp;
        fp = next;
    }
    done(record, depth, hash, WalkEnd::TooDeep)
}

#[inline(always)]
fn done(record: &mut StackRecord, depth: usize, hash: u64, end: WalkEnd) -> Walked {
    record.depth = depth as u16;
    (hash, end)
}
