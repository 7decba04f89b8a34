//! The stack of a call: walked by frame pointer, hashed, and sent only when user space may not know it.
//!
//! The walk starts at the return address on top of the stack, so the allocator itself needs no frame pointer, and
//! reads two words a frame. It promises at most [`MAX_FRAMES`] reads. It cannot see a caller that keeps no frame
//! pointer: that one is skipped.

use aya_ebpf::{bindings::pt_regs, helpers::bpf_probe_read_user, macros::map, maps::Array};
use leak_ebpf::{Cookie, Counter, KNOWN_STACKS, Kind, MAX_FRAMES, StackRecord};

use crate::{call::read_user, emit, lifecycle};

/// Ids of stacks that user space has been sent, two places for each. A miss costs one more record, never a stack.
#[map]
static KNOWN: Array<u64> = Array::with_max_entries(KNOWN_STACKS, 0);

/// Where a program can be: never in the first page, nor beyond what five levels of page tables span.
const USER_SPACE: core::ops::Range<u64> = 4096..1 << 56;

/// Odd, with its bits spread: Fibonacci hashing's multiplier.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Walks the stack into `record`, and makes sure that user space will know it. Gives its id, or `None` when there
/// was no room to tell user space of it.
#[inline(always)]
pub fn capture(regs: &pt_regs, ret: u64, cookie: Cookie, record: &mut StackRecord) -> Option<u64> {
    let generation = lifecycle::generation(cookie.process);
    record.generation = generation;
    walk(regs, ret, u64::from(generation) << 16 | u64::from(cookie.process), record);
    if record.truncated != 0 {
        emit::count(Counter::StacksTruncated, 1);
    }
    if !is_known(record.id) {
        record.head = emit::head(Kind::Stack, cookie);
        emit::stack(record)?;
        remember(record.id);
    }
    Some(record.id)
}

/// `address_space` tells the stack from those with the same addresses in another process, or before a change.
#[inline(always)]
fn walk(regs: &pt_regs, ret: u64, address_space: u64, record: &mut StackRecord) {
    let mut hash = mix(address_space, ret);
    let mut depth = 1;
    let mut fp = regs.rbp;
    let mut below = regs.rsp;
    record.frames[0] = ret;
    record.truncated = 0;
    while depth < MAX_FRAMES {
        if !is_frame_pointer(fp, below) {
            break;
        }
        // SAFETY: the helper checks the address and fails on one that is not the target's.
        let Ok([next, ret]) = (unsafe { bpf_probe_read_user(fp as *const [u64; 2]) }) else { break };
        if !USER_SPACE.contains(&ret) {
            break;
        }
        record.frames[depth] = ret;
        hash = mix(hash, ret);
        depth += 1;
        below = fp;
        fp = next;
    }
    if depth == MAX_FRAMES && is_frame_pointer(fp, below) && read_user(fp).is_some() {
        record.truncated = 1;
    }
    record.depth = depth as u16;
    record.id = hash ^ hash >> 32;
}

/// Frames lie above one another; anything else is a register that holds no frame pointer.
#[inline(always)]
fn is_frame_pointer(fp: u64, below: u64) -> bool {
    fp > below && fp.is_multiple_of(8)
}

#[inline(always)]
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(MIX)
}

#[inline(always)]
fn is_known(id: u64) -> bool {
    let place = id as u32 % KNOWN_STACKS;
    KNOWN.get(place) == Some(&id) || KNOWN.get(place ^ 1) == Some(&id)
}

/// Takes the empty place of the two, else the one that a bit of the id picks.
#[inline(always)]
fn remember(id: u64) {
    let place = id as u32 % KNOWN_STACKS;
    let place = if KNOWN.get(place) == Some(&0) { place } else { place ^ (id >> 63) as u32 };
    if let Some(slot) = KNOWN.get_ptr_mut(place) {
        // SAFETY: the pointer is into the array; a word is written whole, and losing a race only costs a resend.
        unsafe { *slot = id };
    }
}
