//! The stack of a call: walked, hashed, and sent only when user space may not know it.
//!
//! The walk starts at the return address on top of the stack, so the allocator itself may be anything. It goes up by
//! the rules that user space has made of each module's unwind information (`tables`), or by frame pointers (`pointers`)
//! where there are none or where that is asked for. It promises at most [`MAX_FRAMES`] steps, and says how it ended. Where
//! the thread has walked before and nothing has changed that this rested on (`memos`), it is not done again.

mod memos;
mod pointers;
mod rules;
mod tables;
mod window;

use aya_ebpf::{bindings::pt_regs, macros::map, maps::Array};
use leak_ebpf::{
    Cookie, KNOWN_STACKS, Kind, StackRecord, Walk, WalkEnd,
    frame::{Outcome, Subject},
};

use crate::{
    call::{Thread, read_user},
    emit, lifecycle, python_stack,
};
use rules::{Manner, Paper};
use tables::Space;
use window::Width;

pub use memos::Memos;
pub use rules::{Progress, may_be_inside};
pub use window::Window;

/// Ids of stacks that user space has been sent, two places for each. A miss costs one more record, never a stack.
#[map]
static KNOWN: Array<u64> = Array::with_max_entries(KNOWN_STACKS, 0);

/// Odd, with its bits spread: Fibonacci hashing's multiplier.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// The return address of a call that begins with this stack pointer; and looks at so much of the stack above as a walk
/// from there is likely to need.
#[inline(always)]
pub fn look(sp: u64, thread: &mut Thread) -> Option<u64> {
    thread.window.open(sp, thread.memos.width_at(sp));
    // The end of the stack may lie close by, so that not as much can be read.
    thread.window.first(sp).or_else(|| read_user(sp))
}

/// Finds the id of the stack, which [`look`] has begun with, Python's frames included, and makes sure that user space will know it. Leaves it in
/// the thread's record, and gives it, or `None` when there was no room to tell user space of it.
#[inline(always)]
pub fn capture(regs: &pt_regs, ret: u64, cookie: Cookie, thread: &mut Thread) -> Option<u64> {
    let python = python_stack::walk(cookie.process);
    let view = View::new(regs, ret, cookie.process);
    if let Some(outcome) = recall(&view, regs, thread)
        && is_known(outcome.id ^ python)
    {
        emit::count(outcome.end.counter(), 1);
        thread.stack.id = outcome.id ^ python;
        return Some(thread.stack.id);
    }
    walk(view, regs, thread);
    let (record, tid) = (&mut thread.stack, thread.tid);
    record.id ^= python;
    if !is_known(record.id) {
        if python != 0 {
            python_stack::tell(record.id);
        }
        record.head = emit::head(Kind::Stack, cookie, tid);
        emit::stack(record)?;
        remember(record.id);
    }
    Some(record.id)
}

/// What a walk is made with, and which it is.
pub struct View {
    space: Space,
    generation: u32,
    way: u64,
    subject: Subject,
}

impl View {
    /// From a call that begins with these registers, `ret` on top of its stack.
    #[inline(always)]
    pub fn new(regs: &pt_regs, ret: u64, process: u16) -> Self {
        let (space, generation) = (Space::of(process), lifecycle::generation(process));
        let times = u64::from(space.epoch()) << 32 | u64::from(generation);
        let subject = Subject { process: u64::from(process), times, ip: ret, sp: regs.rsp };
        Self { space, generation, way: emit::settings().walk, subject }
    }
}

/// What a walk would come to, if the thread remembers one that rests on the same.
#[inline(always)]
pub fn recall(view: &View, regs: &pt_regs, thread: &mut Thread) -> Option<Outcome> {
    let memo = thread.memos.of(&view.subject);
    let extent = memo.extent_for(&view.subject)?;
    let stack = thread.window.show(regs.rsp, extent)?;
    memo.recall(regs.rbp, regs.rbx, stack)
}

/// Walks the stack into the thread's record, all but its head.
#[inline(always)]
pub fn walk(view: View, regs: &pt_regs, thread: &mut Thread) {
    let View { space, generation, way, subject } = view;
    let record = &mut thread.stack;
    record.generation = generation;
    record.frames[0] = subject.ip;
    // Tells the stack from those with the same addresses in another process, or before a change.
    let hash = mix(u64::from(generation) << 16 | subject.process, subject.ip);
    if way == Walk::Pointers as u64 {
        let (hash, end) = pointers::walk(regs, hash, record);
        done(record, hash, end);
    } else {
        let memo = thread.memos.of(&subject);
        let takes_notes = memo.begin(subject, regs.rbp, regs.rbx);
        let manner = Manner { pointers_too: way == Walk::Auto as u64, takes_notes };
        let paper = Paper { progress: &mut thread.progress, record, window: &mut thread.window, memo };
        let (hash, end) = rules::walk(regs, space, manner, hash, paper);
        done(record, hash, end);
        let is_held = takes_notes && memo.finish(Outcome { id: record.id, end });
        if is_held {
            let extent = memo.extent();
            thread.memos.took(regs.rsp, Width::of_words(extent));
        } else if !thread.window.was_enough() {
            thread.memos.took(regs.rsp, Width::USUAL);
        }
    }
}

#[inline(always)]
fn done(record: &mut StackRecord, hash: u64, end: WalkEnd) {
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
