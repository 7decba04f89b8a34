//! The walk by rules: for each frame the rule that holds at its call, and by that one frame up.

use aya_ebpf::bindings::pt_regs;
use leak_ebpf::{
    MAX_FRAMES, WalkEnd,
    frame::{Lost, Plan, Registers, Step, by_pointer},
};

use crate::call::read_user;

use super::{
    USER_SPACE, Walked, mix,
    tables::{Code, Space},
    window::Window,
};

/// Walks from a probe at a function's entry. `pointers_too` is whether to go on by frame pointer where no rule is known.
#[inline(always)]
pub fn walk(
    regs: &pt_regs,
    process: u16,
    pointers_too: bool,
    mut hash: u64,
    frames: &mut [u64; MAX_FRAMES],
    window: &mut Window,
) -> Walked {
    let space = Space::of(process);
    window.open(regs.rsp);
    let mut at = Registers { ip: frames[0], sp: regs.rsp.wrapping_add(8), bp: regs.rbp, bx: regs.rbx };
    // A return address is behind the call; one less is inside it, also where the call ends its function.
    let mut pc = at.ip.wrapping_sub(1);
    let mut depth = 1;
    while depth < MAX_FRAMES {
        let rule = match space.code_at(pc) {
            Code::Ruled(rule) => Ok(rule),
            Code::Unruled if pointers_too => by_pointer(at),
            Code::Unruled => return (depth, hash, WalkEnd::Unruled),
        };
        let next = rule.and_then(|rule| Plan::new(rule, at, read_user)).and_then(|plan| {
            window.read(at.sp, plan.places).map(|words| plan.follow(at, words)).ok_or(Step::Lost(Lost::Unreadable))
        });
        let (Ok(next) | Err(next)) = next;
        let mark;
        match next {
            Step::Up(up) => {
                at = up;
                pc = up.ip.wrapping_sub(1);
                mark = up.ip;
            }
            Step::Interrupted(up) => {
                at = up;
                pc = up.ip;
                // As if it were a return address, for user space looks one byte before each.
                mark = up.ip.wrapping_add(1);
            }
            Step::Bottom => return (depth, hash, WalkEnd::Bottom),
            Step::Lost(Lost::Unsupported) => return (depth, hash, WalkEnd::Unsupported),
            Step::Lost(Lost::Unreadable) => return (depth, hash, WalkEnd::Unreadable),
            Step::Lost(Lost::NotAbove | Lost::Unaligned) => return (depth, hash, WalkEnd::NotAFrame),
        }
        if !USER_SPACE.contains(&mark) {
            return (depth, hash, WalkEnd::NotAFrame);
        }
        frames[depth] = mark;
        hash = mix(hash, mark);
        depth += 1;
    }
    (depth, hash, WalkEnd::TooDeep)
}
