//! A walk, frame by frame, and what its outcome rests on.
//!
//! It goes up by rules, and by frame pointers where there are none and that is allowed. Each word of memory that decides
//! which frames are found is noted, with the place it was read from; and whether the registers that the walk began with
//! decide anything. What is read and never looked at, such as the saved value of a register that no rule above counts
//! from, is not noted. So: the same rules, the same `ip` and `sp`, the same words in the places noted and, where they
//! count, the same `rbp` and `rbx` come to the same frames and the same end.

use super::{
    rule::{AT_BP, AT_CFA, KEPT, Rule},
    step::{Lost, Plan, Registers, Step, by_pointer},
};
use crate::WalkEnd;

/// Where a program can be: never in the first page, nor beyond what five levels of page tables span.
pub const USER_SPACE: core::ops::Range<u64> = 4096..1 << 56;

/// What is known of the code at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// How to go up from there.
    Ruled(Rule),
    /// Nothing, though there is a table for the module: it was written by hand, or is where a thread of control begins.
    Gap,
    /// Nothing: it is in no module that has a table. What compiles as it runs keeps frame pointers.
    Foreign,
}

/// A register that the walk begins with, beside `ip` and `sp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// `rbp`.
    Bp,
    /// `rbx`.
    Bx,
}

/// What a walk goes over.
pub trait Ground {
    /// What is known of the code here.
    fn code_at(&mut self, pc: u64) -> Code;

    /// A word of memory.
    fn word(&mut self, place: u64) -> Option<u64>;

    /// The words at these places of a frame that begins at `sp` and whose return address is the first of them.
    fn words(&mut self, sp: u64, places: [u64; 4]) -> Option<[u64; 4]>;

    /// The outcome rests on this word being at this place.
    fn note_word(&mut self, place: u64, word: u64);

    /// The outcome rests on what this register was when the walk began.
    fn note_initial(&mut self, register: Initial);
}

/// Where a register's value is from: the place of the word it was read from, or one of these, which are no places of
/// whole words.
mod origin {
    /// It is noted already, or could be nothing else.
    pub const SETTLED: u64 = 1;
    /// The walk began with it.
    pub const INITIAL: u64 = 2;
}

/// A walk under way.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Climber {
    at: Registers,
    /// Where the code is that the next rule is for.
    pc: u64,
    bp_origin: u64,
    bx_origin: u64,
    pointers_too: bool,
    /// Whether a step was by frame pointer.
    is_guess: bool,
}

impl Climber {
    /// At a frame whose `ip` is a return address. `pointers_too` is whether to go on by frame pointer where no rule is
    /// known.
    #[inline(always)]
    pub const fn new(at: Registers, pointers_too: bool) -> Self {
        Self {
            at,
            // A return address is behind the call; one less is inside it, also where the call ends its function.
            pc: at.ip.wrapping_sub(1),
            bp_origin: origin::INITIAL,
            bx_origin: origin::INITIAL,
            pointers_too,
            is_guess: false,
        }
    }

    /// One frame up: gives its return address, or why there is none. `takes_notes` is whether to tell the ground what that
    /// rests on; it is to be the same all the way up.
    #[inline(always)]
    pub fn go_up(&mut self, takes_notes: bool, ground: &mut impl Ground) -> Result<u64, WalkEnd> {
        let at = self.at;
        // By frame pointer a walk can go astray, to the bottom of another stack: after such a step none is called whole.
        let rule = match ground.code_at(self.pc) {
            Code::Ruled(rule) => Ok(rule),
            code => {
                if takes_notes {
                    self.note_bp(ground);
                }
                if code == Code::Gap || !self.pointers_too || at.bp == 0 {
                    let is_bottom = at.bp == 0 && !self.is_guess;
                    return Err(if is_bottom { WalkEnd::Bottom } else { WalkEnd::Unruled });
                }
                self.is_guess = true;
                by_pointer(at)
            }
        };
        let mark = match rule.and_then(|rule| self.step(rule, takes_notes, ground)) {
            Ok(Step::Up(up)) => {
                self.at = up;
                self.pc = up.ip.wrapping_sub(1);
                up.ip
            }
            Ok(Step::Interrupted(up)) => {
                self.at = up;
                self.pc = up.ip;
                // As if it were a return address, for user space looks one byte before each.
                up.ip.wrapping_add(1)
            }
            Ok(end) | Err(end) => {
                return Err(match end {
                    _ if self.is_guess => WalkEnd::Unruled,
                    Step::Bottom => WalkEnd::Bottom,
                    Step::Lost(Lost::Unsupported) => WalkEnd::Unsupported,
                    Step::Lost(Lost::Unreadable) => WalkEnd::Unreadable,
                    _ => WalkEnd::NotAFrame,
                });
            }
        };
        if !USER_SPACE.contains(&mark) {
            return Err(if self.is_guess { WalkEnd::Unruled } else { WalkEnd::NotAFrame });
        }
        Ok(mark)
    }

    #[inline(always)]
    fn step(&mut self, rule: Rule, takes_notes: bool, ground: &mut impl Ground) -> Result<Step, Step> {
        let at = self.at;
        if takes_notes {
            if rule.counts_from_bp() {
                self.note_bp(ground);
            }
            if rule.counts_from_bx() {
                self.note_bx(ground);
            }
        }
        let plan = Plan::new(rule, at, |place| {
            let word = ground.word(place)?;
            if takes_notes {
                ground.note_word(place, word);
            }
            Some(word)
        })?;
        let words = ground.words(at.sp, plan.places).ok_or(Step::Lost(Lost::Unreadable))?;
        if takes_notes {
            ground.note_word(plan.places[0], words[0]);
            if rule.is_signal() {
                ground.note_word(plan.places[3], words[3]);
            }
            let [_, bp, bx, _] = plan.places;
            self.bp_origin = origin_above(rule, rule.bp_tag(), self.bp_origin, bp);
            self.bx_origin = origin_above(rule, rule.bx_tag(), self.bx_origin, bx);
        }
        Ok(plan.follow(at, words))
    }

    #[inline(always)]
    fn note_bp(&mut self, ground: &mut impl Ground) {
        note(Initial::Bp, self.bp_origin, self.at.bp, ground);
        self.bp_origin = origin::SETTLED;
    }

    #[inline(always)]
    fn note_bx(&mut self, ground: &mut impl Ground) {
        note(Initial::Bx, self.bx_origin, self.at.bx, ground);
        self.bx_origin = origin::SETTLED;
    }
}

/// Where the caller's value of a register is from, by the tag that the rule has for it.
#[inline(always)]
fn origin_above(rule: Rule, tag: u64, origin: u64, place: u64) -> u64 {
    match tag {
        _ if rule.is_signal() => place,
        KEPT => origin,
        AT_CFA | AT_BP => place,
        _ => origin::SETTLED,
    }
}

#[inline(always)]
fn note(register: Initial, origin: u64, value: u64, ground: &mut impl Ground) {
    match origin {
        origin::SETTLED => {}
        origin::INITIAL => ground.note_initial(register),
        place => ground.note_word(place, value),
    }
}
