//! The walk by rules: for each frame the rule that holds at its call, and by that one frame up.
//!
//! The kernel runs the steps (`bpf_loop`, Linux 5.17), so that its verifier follows one of them and not all in a row.

use aya_ebpf::bindings::pt_regs;
use leak_ebpf::{
    MAX_FRAMES, StackRecord, WalkEnd,
    frame::{Climber, Code, Ground, Initial, Memo, Plan, Registers, Rule, Step},
};

use super::{
    Walked, mix,
    tables::Space,
    window::{Width, Window},
};
use crate::{
    call::read_user,
    repeat::{GO_ON, STOP, repeat},
};

/// How far a walk is.
///
/// It is kept in the thread's storage and not on the stack, where the verifier would tell each value from the next and
/// follow all.
#[repr(C)]
pub struct Progress {
    climber: Climber,
    hash: u64,
    end: WalkEnd,
    takes_notes: bool,
}

/// A walk under way.
#[repr(C)]
struct Walker<'a> {
    progress: &'a mut Progress,
    record: &'a mut StackRecord,
    land: Land<'a>,
}

/// What it goes over.
#[repr(C)]
struct Land<'a> {
    space: Space,
    window: &'a mut Window,
    memo: &'a mut Memo,
}

impl Ground for Land<'_> {
    #[inline(always)]
    fn code_at(&mut self, pc: u64) -> Code {
        self.space.code_at(pc)
    }

    #[inline(always)]
    fn word(&mut self, place: u64) -> Option<u64> {
        read_user(place)
    }

    #[inline(always)]
    fn words(&mut self, sp: u64, places: [u64; 4]) -> Option<[u64; 4]> {
        self.window.read(sp, places)
    }

    #[inline(always)]
    fn note_word(&mut self, place: u64, word: u64) {
        self.memo.note_word(place, word);
    }

    #[inline(always)]
    fn note_initial(&mut self, register: Initial) {
        self.memo.note_initial(register);
    }
}

/// How to walk.
pub struct Manner {
    /// Whether to go on by frame pointer where no rule is known.
    pub pointers_too: bool,
    /// Whether to note in the memo what the outcome rests on.
    pub takes_notes: bool,
}

/// Where a walk leaves its traces.
pub struct Paper<'a> {
    /// How far it is.
    pub progress: &'a mut Progress,
    /// The frames.
    pub record: &'a mut StackRecord,
    /// What is read of the stack, open where it begins.
    pub window: &'a mut Window,
    /// What the outcome rests on.
    pub memo: &'a mut Memo,
}

/// Walks from a probe at a function's entry.
#[inline(always)]
pub fn walk(regs: &pt_regs, space: Space, manner: Manner, hash: u64, paper: Paper<'_>) -> Walked {
    let Paper { progress, record, window, memo } = paper;
    let at = Registers { ip: record.frames[0], sp: regs.rsp.wrapping_add(8), bp: regs.rbp, bx: regs.rbx };
    record.depth = 1;
    let climber = Climber::new(at, manner.pointers_too);
    *progress = Progress { climber, hash, end: WalkEnd::TooDeep, takes_notes: manner.takes_notes };
    let mut walker = Walker { progress, record, land: Land { space, window, memo } };
    repeat(MAX_FRAMES as u32, go_up, &mut walker);
    (walker.progress.hash, walker.progress.end)
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
    let progress = &mut *walker.progress;
    match progress.climber.go_up(progress.takes_notes, &mut walker.land) {
        Ok(mark) => {
            walker.record.frames[depth] = mark;
            walker.record.depth = depth as u16 + 1;
            progress.hash = mix(progress.hash, mark);
            GO_ON
        }
        Err(end) => {
            progress.end = end;
            STOP
        }
    }
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
    window.open(regs.rsp, Width::USUAL);
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
