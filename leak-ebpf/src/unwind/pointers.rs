//! The walk by frame pointers, which reads two words a frame. It cannot see a caller that keeps no frame pointer: that
//! one is skipped, or the walk ends there.

use aya_ebpf::{bindings::pt_regs, helpers::bpf_probe_read_user};
use leak_ebpf::{MAX_FRAMES, WalkEnd};

use super::{USER_SPACE, Walked, mix};

#[inline(always)]
pub fn walk(regs: &pt_regs, mut hash: u64, frames: &mut [u64; MAX_FRAMES]) -> Walked {
    let mut fp = regs.rbp;
    let mut below = regs.rsp;
    let mut depth = 1;
    while depth < MAX_FRAMES {
        if fp == 0 {
            return (depth, hash, WalkEnd::Bottom);
        }
        // Frames lie above one another; anything else is a register that holds no frame pointer.
        if fp <= below || !fp.is_multiple_of(8) {
            return (depth, hash, WalkEnd::NotAFrame);
        }
        // SAFETY: the helper checks the address and fails on one that is not the target's.
        let Ok([next, ret]) = (unsafe { bpf_probe_read_user(fp as *const [u64; 2]) }) else {
            return (depth, hash, WalkEnd::Unreadable);
        };
        if ret == 0 {
            return (depth, hash, WalkEnd::Bottom);
        }
        if !USER_SPACE.contains(&ret) {
            return (depth, hash, WalkEnd::NotAFrame);
        }
        frames[depth] = ret;
        hash = mix(hash, ret);
        depth += 1;
        below = fp;
        fp = next;
    }
    (depth, hash, WalkEnd::TooDeep)
}
