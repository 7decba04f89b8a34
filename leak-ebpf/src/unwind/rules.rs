//! The walk by rules: for each frame the rule that holds at its call, and by that one frame up.
//!
//! The kernel runs the steps (`bpf_loop`, Linux 5.17), so that its verifier follows one of them and not all in a row.

use core::ptr;

use aya_ebpf::{bindings::pt_regs, cty::c_void, helpers::generated::bpf_loop};
use leak_ebpf::{
    MAX_FRAMES, StackRecord, WalkEnd,
    frame::{Lost, Plan, Registers, Rule, Step, by_pointer},
};

use super::{
    USER_SPACE, Walked, mix,
    tables::{Code, Space},
    window::Window,
};
use crate::call::read_user;

/// What `bpf_loop` takes for an answer.
const GO_ON: i64 = 0;
const STOP: i64 = 1;

/// A walk under way.
#[repr(C)]
struct Walker<'a> {
    at: Registers,
    /// Where the code is that the next rule is for.
    pc: u64,
    hash: u64,
    end: WalkEnd,
    pointers_too: bool,
    /// Whether a step was by frame pointer.
    is_guess: bool,
    space: Space,
    /// The depth is kept here and not on the stack, where the verifier would tell each from the next and follow all.
    record: &'a mut StackRecord,
    window: &'a mut Window,
}

/// Walks from a probe at a function's entry. `pointers_too` is whether to go on by frame pointer where no rule is known.
#[inline(always)]
pub fn walk(
    regs: &pt_regs,
    process: u16,
    pointers_too: bool,
    hash: u64,
    record: &mut StackRecord,
    window: &mut Window,
) -> Walked {
    window.open(regs.rsp);
    let at = Registers { ip: record.frames[0], sp: regs.rsp.wrapping_add(8), bp: regs.rbp, bx: regs.rbx };
    let mut walker = Walker {
        at,
        // A return address is behind the call; one less is inside it, also where the call ends its function.
        pc: at.ip.wrapping_sub(1),
        hash,
        end: WalkEnd::TooDeep,
        pointers_too,
        is_guess: false,
        space: Space::of(process),
        record,
        window,
    };
    walker.record.depth = 1;
    repeat(MAX_FRAMES as u32, go_up, &mut walker);
    (walker.hash, walker.end)
}

/// Calls `step` so often, until it answers [`STOP`].
#[inline(always)]
fn repeat<T>(times: u32, step: extern "C" fn(u64, *mut T) -> i64, state: &mut T) {
    // SAFETY: the helper calls `step` with `state`, which outlives it, and one call after the other.
    unsafe { bpf_loop(times, step as *mut c_void, ptr::from_mut(state).cast(), 0) };
}

/// One frame up.
#[inline(never)]
extern "C" fn go_up(_time: u64, walker: *mut Walker<'_>) -> i64 {
    // SAFETY: `repeat` hands over a reference that nobody else uses meanwhile.
    let walker = unsafe { &mut *walker };
    let depth = usize::from(walker.record.depth);
    if depth >= MAX_FRAMES {
        return STOP;
    }
    let at = walker.at;
    // By frame pointer a walk can go astray, to the bottom of another stack: after such a step none is called whole.
    let rule = match walker.space.code_at(walker.pc) {
        Code::Ruled(rule) => Ok(rule),
        Code::Foreign if walker.pointers_too && at.bp != 0 => {
            walker.is_guess = true;
            by_pointer(at)
        }
        Code::Foreign | Code::Gap => {
            let is_bottom = at.bp == 0 && !walker.is_guess;
            walker.end = if is_bottom { WalkEnd::Bottom } else { WalkEnd::Unruled };
            return STOP;
        }
    };
    let mark;
    match rule.and_then(|rule| up(rule, at, walker.window)) {
        Ok(Step::Up(up)) => {
            walker.at = up;
            walker.pc = up.ip.wrapping_sub(1);
            mark = up.ip;
        }
        Ok(Step::Interrupted(up)) => {
            walker.at = up;
            walker.pc = up.ip;
            // As if it were a return address, for user space looks one byte before each.
            mark = up.ip.wrapping_add(1);
        }
        Ok(end) | Err(end) => {
            walker.end = match end {
                _ if walker.is_guess => WalkEnd::Unruled,
                Step::Bottom => WalkEnd::Bottom,
                Step::Lost(Lost::Unsupported) => WalkEnd::Unsupported,
                Step::Lost(Lost::Unreadable) => WalkEnd::Unreadable,
                _ => WalkEnd::NotAFrame,
            };
            return STOP;
        }
    }
    if !USER_SPACE.contains(&mark) {
        walker.end = if walker.is_guess { WalkEnd::Unruled } else { WalkEnd::NotAFrame };
        return STOP;
    }
    walker.record.frames[depth] = mark;
    walker.hash = mix(walker.hash, mark);
    walker.record.depth = depth as u16 + 1;
    GO_ON
}

#[inline(always)]
fn up(rule: Rule, at: Registers, window: &mut Window) -> Result<Step, Step> {
    let plan = Plan::new(rule, at, read_user)?;
    let words = window.read(at.sp, plan.places).ok_or(Step::Lost(Lost::Unreadable))?;
    Ok(plan.follow(at, words))
}

/// Frames that an allocator puts between two of its functions, at most. Beyond them a mark is believed.
const NEAR: u32 = 16;

/// A look for the frame that returns from a place.
#[repr(C)]
struct Seeker<'a> {
    at: Registers,
    rule: Rule,
    mark: u64,
    trampoline: u64,
    went_past: bool,
    space: Space,
    window: &'a mut Window,
}

/// Whether a call that begins with these registers can be inside another one that has left its mark on the stack: one
/// that was left by longjmp leaves its mark, too, and whoever comes to run below it is not inside. `false` only when the
/// walk up goes past the mark: no frame returns from there.
#[inline(always)]
pub fn may_be_inside(regs: &pt_regs, process: u16, mark: u64, trampoline: u64, window: &mut Window) -> bool {
    window.open(regs.rsp);
    let mut seeker = Seeker {
        at: Registers { ip: 0, sp: regs.rsp, bp: regs.rbp, bx: regs.rbx },
        rule: Rule::AT_ENTRY,
        mark,
        trampoline,
        went_past: false,
        space: Space::of(process),
        window,
    };
    repeat(NEAR, seek, &mut seeker);
    !seeker.went_past
}

#[inline(never)]
extern "C" fn seek(_time: u64, seeker: *mut Seeker<'_>) -> i64 {
    // SAFETY: as in `go_up`.
    let seeker = unsafe { &mut *seeker };
    let at = seeker.at;
    let Ok(plan) = Plan::new(seeker.rule, at, read_user) else { return STOP };
    // Where this frame returns from.
    let place = plan.places[0];
    if place >= seeker.mark {
        seeker.went_past = place > seeker.mark;
        return STOP;
    }
    let Some(words) = seeker.window.read(at.sp, plan.places) else { return STOP };
    let Step::Up(up) = plan.follow(at, words) else { return STOP };
    // The kernel has put itself in the way back, and what is above cannot be told.
    if up.ip == seeker.trampoline {
        return STOP;
    }
    seeker.at = up;
    let Code::Ruled(rule) = seeker.space.code_at(up.ip.wrapping_sub(1)) else { return STOP };
    seeker.rule = rule;
    GO_ON
}
