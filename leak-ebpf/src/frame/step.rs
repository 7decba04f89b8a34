//! One frame up.

use super::rule::{AT_BP, AT_CFA, BP, BX, DEREF_BP, DEREF_SP, END, KEPT, PLT, Rule, SIGNAL, SP};

/// In place of a register whose value is lost: no address, nor near one that could be read.
pub const UNKNOWN: u64 = u64::MAX;

/// The registers of a frame that are followed up the stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// `rip`.
    pub ip: u64,
    /// `rsp`.
    pub sp: u64,
    /// `rbp`, or [`UNKNOWN`].
    pub bp: u64,
    /// `rbx`, or [`UNKNOWN`].
    pub bx: u64,
}

/// What lies above a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its caller, as it will be once the call has returned: `ip` is a return address, to be looked up as `ip - 1`.
    Up(Registers),
    /// What a signal interrupted, as it was: `ip` is the next instruction, to be looked up as it is.
    Interrupted(Registers),
    /// Nothing: it has no caller.
    Bottom,
    /// Something that could not be found.
    Lost(Lost),
}

/// Why the frame above could not be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The rule does not say, see [`Unsupported`](super::Unsupported).
    Unsupported,
    /// It would lie at or below this one, so that the walk would not get anywhere: some register is not what the rule
    /// takes it for.
    NotAbove,
    /// It would lie at no multiple of 8.
    Unaligned,
    /// A word of the stack cannot be read.
    Unreadable,
}

/// Where the kernel puts registers for a signal handler, in bytes from the stack pointer when the handler has returned:
/// behind 40 bytes of `ucontext` begin the general registers.
mod signal_frame {
    pub const BP: u64 = 120;
    pub const BX: u64 = 128;
    pub const SP: u64 = 160;
    pub const IP: u64 = 168;
}

/// A step up that is worked out but for the words of memory that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where the caller's `ip`, `bp`, `bx` and `sp` lie. What need not be read leads to the same place as `ip`.
    pub places: [u64; 4],
    cfa: u64,
    rule: Rule,
}

impl Plan {
    /// The way up from `at` by the rule that holds there, or how the walk ends. `read` gives a word of the target's
    /// memory; few rules need one to know where to look.
    #[inline(always)]
    pub fn new(rule: Rule, at: Registers, read: impl FnOnce(u64) -> Option<u64>) -> Result<Self, Step> {
        let offset = rule.number() as u64;
        let cfa = match rule.kind() {
            SP => at.sp.wrapping_add(offset),
            BP => at.bp.wrapping_add(offset),
            BX => at.bx.wrapping_add(offset),
            kind @ (DEREF_SP | DEREF_BP) => {
                let from = if kind == DEREF_SP { at.sp } else { at.bp };
                let Some(word) = read(from.wrapping_add(rule.deref_at() as u64)) else {
                    return Err(Step::Lost(Lost::Unreadable));
                };
                word.wrapping_add(rule.deref_plus())
            }
            PLT => at.sp.wrapping_add(if at.ip & 15 >= offset { 16 } else { 8 }),
            SIGNAL => {
                use signal_frame::{BP, BX, IP, SP};
                let places = [IP, BP, BX, SP].map(|place| at.sp.wrapping_add(place));
                return Ok(Self { places, cfa: at.sp, rule });
            }
            END => return Err(Step::Bottom),
            _ => return Err(Step::Lost(Lost::Unsupported)),
        };
        if let Some(lost) = refused(cfa, at.sp) {
            return Err(Step::Lost(lost));
        }
        let ip = cfa.wrapping_sub(8);
        let place = |tag, words: i64| match tag {
            AT_CFA => cfa.wrapping_add((words * 8) as u64),
            AT_BP => at.bp.wrapping_add((words * 8) as u64),
            _ => ip,
        };
        let (bp, bx) = (place(rule.bp_tag(), rule.bp_words()), place(rule.bx_tag(), rule.bx_words()));
        Ok(Self { places: [ip, bp, bx, ip], cfa, rule })
    }

    /// The step from `at`, given the words that lie in [`Plan::places`].
    #[inline(always)]
    pub fn follow(self, at: Registers, words: [u64; 4]) -> Step {
        let [ip, bp, bx, sp] = words;
        if self.rule.kind() == SIGNAL {
            return Step::Interrupted(Registers { ip, sp, bp, bx });
        }
        if ip == 0 {
            return Step::Bottom;
        }
        let value = |tag, now, word| match tag {
            KEPT => now,
            AT_CFA | AT_BP => word,
            _ => UNKNOWN,
        };
        let (bp, bx) = (value(self.rule.bp_tag(), at.bp, bp), value(self.rule.bx_tag(), at.bx, bx));
        Step::Up(Registers { ip, sp: self.cfa, bp, bx })
    }
}

/// One frame up from `at`, by the rule that holds there. `read` gives a word of the target's memory.
///
/// The caller's `ip` is not checked but for 0, which no call leaves and which is the bottom by convention. A step
/// always leads to a higher stack pointer, except across a signal, whose handler can have a stack of its own: who
/// walks bounds the number of steps.
#[inline(always)]
pub fn step(rule: Rule, at: Registers, mut read: impl FnMut(u64) -> Option<u64>) -> Step {
    let plan = match Plan::new(rule, at, &mut read) {
        Ok(plan) => plan,
        Err(end) => return end,
    };
    let mut words = [0; 4];
    for (word, place) in words.iter_mut().zip(plan.places) {
        let Some(read) = read(place) else { return Step::Lost(Lost::Unreadable) };
        *word = read;
    }
    plan.follow(at, words)
}

/// One frame up from `at`, where no rule is known, by the frame pointer; for a frame that has set it up, as all have
/// that are in the middle of a call.
///
/// `rbp` of 0 is the bottom, as the x86-64 ABI has it. The caller's `rbx` is taken to be as it is here.
#[inline(always)]
pub fn fp_step(at: Registers, read: impl FnMut(u64) -> Option<u64>) -> Step {
    match by_pointer(at) {
        Ok(rule) => step(rule, at, read),
        Err(end) => end,
    }
}

/// The rule for a frame that has set up its frame pointer, or how the walk ends there.
#[inline(always)]
pub fn by_pointer(at: Registers) -> Result<Rule, Step> {
    if at.bp == 0 {
        Err(Step::Bottom)
    } else if at.bp < at.sp {
        Err(Step::Lost(Lost::NotAbove))
    } else {
        Ok(Rule::BY_POINTER)
    }
}

/// Why there can be no frame at this CFA above a frame with this stack pointer, if there cannot.
#[inline(always)]
fn refused(cfa: u64, sp: u64) -> Option<Lost> {
    if cfa <= sp {
        Some(Lost::NotAbove)
    } else if cfa.is_multiple_of(8) {
        None
    } else {
        Some(Lost::Unaligned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Cfa, Saved, Unsupported};

    const AT: Registers = Registers { ip: 0x40_100b, sp: 0x7000, bp: 0x7040, bx: 0x7080 };

    /// Every word of this memory is its own address plus one.
    fn memory(addr: u64) -> Option<u64> {
        (0x6000..0x8000).contains(&addr).then_some(addr + 1)
    }

    fn rule(cfa: Cfa, bp: Saved, bx: Saved) -> Rule {
        Rule::new(cfa, bp, bx).expect("it fits")
    }

    fn up(cfa: Cfa) -> Step {
        step(rule(cfa, Saved::Kept, Saved::Kept), AT, memory)
    }

    fn at_cfa(cfa: u64) -> Step {
        Step::Up(Registers { ip: cfa - 8 + 1, sp: cfa, ..AT })
    }

    #[test]
    fn the_cfa_is_counted_from_the_register_that_the_rule_names() {
        assert_eq!(up(Cfa::Sp(8)), at_cfa(0x7008));
        assert_eq!(up(Cfa::Bp(16)), at_cfa(0x7050));
        assert_eq!(up(Cfa::Bp(-8)), at_cfa(0x7038));
        assert_eq!(up(Cfa::Bx(24)), at_cfa(0x7098));
        assert_eq!(up(Cfa::DerefBp { at: -8, plus: 7 }), at_cfa(0x7040));
        assert_eq!(up(Cfa::DerefSp { at: 32, plus: 7 }), at_cfa(0x7028));
    }

    #[test]
    fn a_slot_of_the_linkage_table_has_pushed_from_the_byte_that_the_rule_names() {
        assert_eq!(up(Cfa::Plt(11)), at_cfa(0x7010));
        assert_eq!(up(Cfa::Plt(12)), at_cfa(0x7008));
    }

    #[test]
    fn registers_are_read_where_the_rule_says() {
        let to = |bp, bx| Step::Up(Registers { ip: 0x7051 - 8, sp: 0x7050, bp, bx });
        let from = |bp, bx| step(rule(Cfa::Bp(16), bp, bx), AT, memory);
        assert_eq!(from(Saved::AtCfa(-2), Saved::AtCfa(-3)), to(0x7041, 0x7039));
        assert_eq!(from(Saved::AtBp(0), Saved::AtBp(-6)), to(0x7041, 0x7011));
        assert_eq!(from(Saved::Unknown, Saved::Unknown), to(UNKNOWN, UNKNOWN));
        assert_eq!(from(Saved::AtCfa(i16::MAX), Saved::Kept), Step::Lost(Lost::Unreadable));
        assert_eq!(from(Saved::Kept, Saved::AtBp(i16::MIN)), Step::Lost(Lost::Unreadable));
    }

    #[test]
    fn a_step_that_leads_nowhere_is_lost() {
        assert_eq!(up(Cfa::Sp(0)), Step::Lost(Lost::NotAbove));
        assert_eq!(up(Cfa::Sp(-8)), Step::Lost(Lost::NotAbove));
        assert_eq!(up(Cfa::Sp(12)), Step::Lost(Lost::Unaligned));
        assert_eq!(up(Cfa::Sp(1 << 20)), Step::Lost(Lost::Unreadable));
        assert_eq!(up(Cfa::DerefSp { at: i16::MIN, plus: 0 }), Step::Lost(Lost::Unreadable));
        assert_eq!(up(Cfa::Unsupported(Unsupported::Range)), Step::Lost(Lost::Unsupported));
    }

    #[test]
    fn a_lost_register_cannot_lead_anywhere() {
        let at = Registers { bp: UNKNOWN, bx: UNKNOWN, ..AT };
        for offset in [-16, 0, 1, 8, 16, 240] {
            for cfa in [Cfa::Bp(offset), Cfa::Bx(offset)] {
                let lost = step(rule(cfa, Saved::Kept, Saved::Kept), at, |_| Some(8));
                assert!(matches!(lost, Step::Lost(Lost::NotAbove | Lost::Unaligned)), "{cfa:?}: {lost:?}");
            }
        }
        assert!(matches!(fp_step(at, |_| Some(8)), Step::Lost(_)));
    }

    #[test]
    fn the_stack_ends_where_the_rule_or_a_return_address_of_zero_says_so() {
        assert_eq!(up(Cfa::End), Step::Bottom);
        assert_eq!(step(Rule::AT_ENTRY, AT, |_| Some(0)), Step::Bottom);
        assert_eq!(fp_step(AT, |_| Some(0)), Step::Bottom);
        assert_eq!(fp_step(Registers { bp: 0, ..AT }, memory), Step::Bottom);
    }

    #[test]
    fn a_signal_leads_to_what_it_interrupted_also_further_down() {
        let frame = |addr| match addr - AT.sp {
            120 => Some(2),
            128 => Some(3),
            160 => Some(0x1000),
            168 => Some(5),
            _ => None,
        };
        let found = step(rule(Cfa::Signal, Saved::Kept, Saved::Kept), AT, frame);
        assert_eq!(found, Step::Interrupted(Registers { ip: 5, sp: 0x1000, bp: 2, bx: 3 }));
    }

    #[test]
    fn a_frame_pointer_leads_up_when_it_lies_in_the_stack() {
        assert_eq!(fp_step(AT, memory), Step::Up(Registers { ip: 0x7049, sp: 0x7050, bp: 0x7041, bx: AT.bx }));
        let from = |bp| fp_step(Registers { bp, ..AT }, memory);
        assert_eq!(from(AT.sp), Step::Up(Registers { ip: AT.sp + 9, sp: AT.sp + 16, bp: AT.sp + 1, bx: AT.bx }));
        assert_eq!(from(AT.sp - 8), Step::Lost(Lost::NotAbove));
        assert_eq!(from(AT.bp + 4), Step::Lost(Lost::Unaligned));
        assert_eq!(from(0x9000), Step::Lost(Lost::Unreadable));
        assert_eq!(from(u64::MAX - 7), Step::Lost(Lost::NotAbove));
    }

    #[test]
    fn no_rule_and_no_memory_make_it_panic() {
        let edges = [0, 1, 8, 0x7000, 1 << 47, i64::MAX as u64, 1 << 63, u64::MAX - 7, u64::MAX];
        let mut state = 1_u64;
        for _ in 0..200_000 {
            let mut random = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state
            };
            let mut edge = || edges[random() as usize % edges.len()];
            let at = Registers { ip: edge(), sp: edge(), bp: edge(), bx: edge() };
            let word = edge();
            let found = step(Rule::from_raw(random()), at, |addr| (addr % 3 != 0).then_some(word));
            assert!(!matches!(found, Step::Up(up) if up.sp <= at.sp), "{at:?} {found:?}");
            let _ = fp_step(at, |addr| (addr % 3 != 0).then_some(word));
        }
    }
}
