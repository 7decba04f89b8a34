//! The stack of a call: walked, hashed, and sent only when user space may not know it.
//!
//! The walk starts at the return address on top of the stack, so the allocator itself may be anything. It goes up by
//! the rules that user space has made of each module's unwind information (`tables`), or by frame pointers (`pointers`)
//! where there are none or where that is asked for. It promises at most [`MAX_FRAMES`] steps, and says how it ended.

mod pointers;
mod rules;
mod tables;
mod window;

use aya_ebpf::{bindings::pt_regs, macros::map, maps::Array};
use leak_ebpf::{Cookie, KNOWN_STACKS, Kind, StackRecord, Walk, WalkEnd};

use crate::{emit, lifecycle};
pub use rules::may_be_inside;
pub use window::Window;

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
pub fn capture(regs: &pt_regs, ret: u64, cookie: Cookie, record: &mut StackRecord, window: &mut Window) -> Option<u64> {
    walk(regs, ret, cookie.process, record, window);
    if !is_known(record.id) {
        record.head = emit::head(Kind::Stack, cookie);
        emit::stack(record)?;
        remember(record.id);
    }
    Some(record.id)
}

/// Walks the stack into `record`, all but its head.
#[inline(always)]
pub fn walk(regs: &pt_regs, ret: u64, process: u16, record: &mut StackRecord, window: &mut Window) {
    let generation = lifecycle::generation(process);
    record.generation = generation;
    record.frames[0] = ret;
    // Tells the stack from those with the same addresses in another process, or before a change.
    let hash = mix(u64::from(generation) << 16 | u64::from(process), ret);
    let way = emit::settings().walk;
    let (hash, end) = if way == Walk::Pointers as u64 {
        pointers::walk(regs, hash, record)
    } else {
        rules::walk(regs, process, way == Walk::Auto as u64, hash, record, window)
    };
    record.end = end as u16;
    record.id = hash ^ hash >> 32;
    emit::count(end.counter(), 1);
}

/// What a walk that has filled a record has come to: the frames' hash, and why there are no more.
type Walked = (u64, WalkEnd);

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
