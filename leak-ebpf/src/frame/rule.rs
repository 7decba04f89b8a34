//! What is needed to go one frame up, in 64 bits.
//!
//! | bits   | what                                                        |
//! |--------|-------------------------------------------------------------|
//! | 0..4   | how the CFA is found, 0 being [`Cfa::Unsupported`]          |
//! | 4..28  | a number to that, signed                                    |
//! | 28..30 | how `rbp` is found                                          |
//! | 30..46 | a number to that, signed                                    |
//! | 46..48 | how `rbx` is found                                          |
//! | 48..64 | a number to that, signed                                    |
//!
//! The CFA (canonical frame address) is the caller's stack pointer once the function has returned. The return address
//! is always at CFA - 8; code for which it is elsewhere is [`Cfa::Unsupported`].

/// How the canonical frame address of a function is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cfa {
    /// In a way that a rule cannot say, or that is not known.
    Unsupported(Unsupported),
    /// Not at all: the function has no caller, it is the bottom of the stack.
    End,
    /// `rsp` plus so many bytes.
    Sp(i32),
    /// `rbp` plus so many bytes.
    Bp(i32),
    /// `rbx` plus so many bytes: glibc's `_dl_runtime_resolve`.
    Bx(i32),
    /// The word at `rbp + at`, plus `plus` bytes: functions that realign their stack.
    DerefBp {
        /// Where the word is, in bytes from `rbp`.
        at: i16,
        /// Bytes to add to it.
        plus: u8,
    },
    /// The word at `rsp + at`, plus `plus` bytes: hand-written code that realigns its stack.
    DerefSp {
        /// Where the word is, in bytes from `rsp`.
        at: i16,
        /// Bytes to add to it.
        plus: u8,
    },
    /// In a slot of the procedure linkage table: `rsp + 8`, and 8 more from this byte of a 16-byte slot on.
    Plt(u8),
    /// At the return from a signal handler: all registers are in the signal frame at `rsp`.
    Signal,
}

/// Why a rule cannot say how to go up.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsupported {
    /// There is no rule here, only zeros.
    Empty = 0,
    /// There were more different rules than the table holds.
    TableFull = 1,
    /// The CFA is counted from a register that is not followed.
    Register = 2,
    /// The CFA, or a signal frame, is described by an expression that is not known.
    Expression = 3,
    /// The return address is not at CFA - 8.
    ReturnAddress = 4,
    /// A number is too large for a rule.
    Range = 5,
}

/// Where the caller's value of a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Saved {
    /// Still in the register.
    Kept,
    /// At the CFA plus so many words of 8 bytes.
    AtCfa(i16),
    /// At `rbp`, as the function has it, plus so many words of 8 bytes.
    AtBp(i16),
    /// Where a rule cannot say.
    Unknown,
}

/// How to go from a function, at some stretch of its code, to its caller.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule(u64);

pub(super) const UNSUPPORTED: u64 = 0;
pub(super) const END: u64 = 1;
pub(super) const SP: u64 = 2;
pub(super) const BP: u64 = 3;
pub(super) const BX: u64 = 4;
pub(super) const DEREF_BP: u64 = 5;
pub(super) const DEREF_SP: u64 = 6;
pub(super) const PLT: u64 = 7;
pub(super) const SIGNAL: u64 = 8;

pub(super) const KEPT: u64 = 0;
pub(super) const AT_CFA: u64 = 1;
pub(super) const AT_BP: u64 = 2;

/// Largest offset of a CFA from its register, in bytes; one more the other way.
const MAX_OFFSET: i32 = (1 << 23) - 1;

impl Rule {
    /// The rule that holds at the first instruction of every function: nothing but the return address is on the stack.
    pub const AT_ENTRY: Self = Self(SP | 8 << 4);

    /// The rule where `push %rbp; mov %rsp,%rbp` has been done, and nothing is known of other registers.
    pub const BY_POINTER: Self = Self(BP | 16 << 4 | pack(Saved::AtCfa(-2)) << 28);

    /// The rule that says so. `None` when the CFA's offset does not fit 24 bits.
    pub const fn new(cfa: Cfa, bp: Saved, bx: Saved) -> Option<Self> {
        let (kind, number) = match cfa {
            Cfa::Unsupported(why) => return Some(Self::unsupported(why)),
            Cfa::End => return Some(Self(END)),
            Cfa::Signal => return Some(Self(SIGNAL)),
            Cfa::Sp(offset) => (SP, offset),
            Cfa::Bp(offset) => (BP, offset),
            Cfa::Bx(offset) => (BX, offset),
            Cfa::DerefBp { at, plus } => (DEREF_BP, (at as i32) << 8 | plus as i32),
            Cfa::DerefSp { at, plus } => (DEREF_SP, (at as i32) << 8 | plus as i32),
            Cfa::Plt(from) => (PLT, from as i32),
        };
        if number > MAX_OFFSET || number < -MAX_OFFSET - 1 {
            return None;
        }
        Some(Self(kind | (number as u32 as u64 & 0xff_ffff) << 4 | pack(bp) << 28 | pack(bx) << 46))
    }

    /// The rule that there is none, and why.
    pub const fn unsupported(why: Unsupported) -> Self {
        Self(UNSUPPORTED | (why as u64) << 4)
    }

    /// The rule from how a map or a file holds it. All numbers mean something, if only [`Cfa::Unsupported`].
    #[inline(always)]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The rule as a map or a file holds it.
    #[inline(always)]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// How the CFA is found.
    pub const fn cfa(self) -> Cfa {
        let offset = self.number() as i32;
        let (at, plus) = (self.deref_at() as i16, self.deref_plus() as u8);
        match self.kind() {
            END => Cfa::End,
            SP => Cfa::Sp(offset),
            BP => Cfa::Bp(offset),
            BX => Cfa::Bx(offset),
            DEREF_BP => Cfa::DerefBp { at, plus },
            DEREF_SP => Cfa::DerefSp { at, plus },
            PLT => Cfa::Plt(offset as u8),
            SIGNAL => Cfa::Signal,
            _ => Cfa::Unsupported(match offset {
                1 => Unsupported::TableFull,
                2 => Unsupported::Register,
                3 => Unsupported::Expression,
                4 => Unsupported::ReturnAddress,
                5 => Unsupported::Range,
                _ => Unsupported::Empty,
            }),
        }
    }

    /// Where the caller's `rbp` is.
    pub const fn bp(self) -> Saved {
        unpack(self.bp_tag(), self.bp_words())
    }

    /// Where the caller's `rbx` is.
    pub const fn bx(self) -> Saved {
        unpack(self.bx_tag(), self.bx_words())
    }

    /// Whether `rbp` leads to where something lies.
    #[inline(always)]
    pub(super) const fn counts_from_bp(self) -> bool {
        let kinds = 1 << BP | 1 << DEREF_BP;
        kinds >> self.kind() & 1 != 0 || self.bp_tag() == AT_BP || self.bx_tag() == AT_BP
    }

    /// Whether `rbx` does.
    #[inline(always)]
    pub(super) const fn counts_from_bx(self) -> bool {
        self.kind() == BX
    }

    /// Whether all registers are in a signal frame.
    #[inline(always)]
    pub(super) const fn is_signal(self) -> bool {
        self.kind() == SIGNAL
    }

    #[inline(always)]
    pub(super) const fn kind(self) -> u64 {
        self.0 & 15
    }

    /// The number to the kind.
    #[inline(always)]
    pub(super) const fn number(self) -> i64 {
        (self.0 << 36) as i64 >> 40
    }

    #[inline(always)]
    pub(super) const fn deref_at(self) -> i64 {
        self.number() >> 8
    }

    #[inline(always)]
    pub(super) const fn deref_plus(self) -> u64 {
        self.number() as u64 & 0xff
    }

    #[inline(always)]
    pub(super) const fn bp_tag(self) -> u64 {
        self.0 >> 28 & 3
    }

    #[inline(always)]
    pub(super) const fn bp_words(self) -> i64 {
        (self.0 << 18) as i64 >> 48
    }

    #[inline(always)]
    pub(super) const fn bx_tag(self) -> u64 {
        self.0 >> 46 & 3
    }

    #[inline(always)]
    pub(super) const fn bx_words(self) -> i64 {
        self.0 as i64 >> 48
    }
}

const fn pack(saved: Saved) -> u64 {
    match saved {
        Saved::Kept => KEPT,
        Saved::AtCfa(words) => AT_CFA | (words as u16 as u64) << 2,
        Saved::AtBp(words) => AT_BP | (words as u16 as u64) << 2,
        Saved::Unknown => 3,
    }
}

const fn unpack(tag: u64, words: i64) -> Saved {
    match tag {
        KEPT => Saved::Kept,
        AT_CFA => Saved::AtCfa(words as i16),
        AT_BP => Saved::AtBp(words as i16),
        _ => Saved::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: [Saved; 11] = [
        Saved::Kept,
        Saved::AtCfa(-2),
        Saved::AtCfa(0),
        Saved::AtCfa(i16::MIN),
        Saved::AtCfa(i16::MAX),
        Saved::AtBp(-6),
        Saved::AtBp(0),
        Saved::AtBp(-1),
        Saved::AtBp(i16::MIN),
        Saved::AtBp(i16::MAX),
        Saved::Unknown,
    ];

    #[test]
    fn a_rule_gives_back_what_it_was_made_of_at_every_edge() {
        let offsets = [0, 1, -1, 8, 255, 256, -256, MAX_OFFSET, -MAX_OFFSET - 1];
        let at_plus = [(0, 0), (-40, 0), (-8, 8), (i16::MIN, 0), (i16::MAX, u8::MAX), (-1, u8::MAX), (0, u8::MAX)];
        let cfas = offsets
            .into_iter()
            .flat_map(|offset| [Cfa::Sp(offset), Cfa::Bp(offset), Cfa::Bx(offset)])
            .chain(at_plus.into_iter().flat_map(|(at, plus)| [Cfa::DerefBp { at, plus }, Cfa::DerefSp { at, plus }]))
            .chain([0, 9, 11, u8::MAX].map(Cfa::Plt));
        for cfa in cfas {
            for bp in SAVED {
                for bx in SAVED {
                    let rule = Rule::from_raw(Rule::new(cfa, bp, bx).expect("it fits").raw());
                    assert_eq!((rule.cfa(), rule.bp(), rule.bx()), (cfa, bp, bx));
                    assert_eq!(Rule::new(rule.cfa(), rule.bp(), rule.bx()), Some(rule));
                }
            }
        }
    }

    #[test]
    fn rules_without_a_place_to_go_forget_where_registers_were() {
        use Unsupported as Why;
        for why in [Why::Empty, Why::TableFull, Why::Register, Why::Expression, Why::ReturnAddress, Why::Range] {
            let rule = Rule::new(Cfa::Unsupported(why), Saved::Unknown, Saved::AtBp(-1)).expect("it fits");
            assert_eq!((rule.cfa(), rule), (Cfa::Unsupported(why), Rule::unsupported(why)));
        }
        for cfa in [Cfa::End, Cfa::Signal] {
            let rule = Rule::new(cfa, Saved::AtCfa(-2), Saved::Unknown).expect("it fits");
            assert_eq!((rule.cfa(), Some(rule)), (cfa, Rule::new(cfa, Saved::Kept, Saved::Kept)));
        }
    }

    #[test]
    fn an_offset_of_more_than_24_bits_is_refused() {
        for offset in [MAX_OFFSET + 1, -MAX_OFFSET - 2, i32::MAX, i32::MIN] {
            for cfa in [Cfa::Sp(offset), Cfa::Bp(offset), Cfa::Bx(offset)] {
                assert_eq!(Rule::new(cfa, Saved::Kept, Saved::Kept), None);
            }
        }
    }

    #[test]
    fn zeros_are_no_rule_and_entry_is_the_return_address_alone() {
        assert_eq!(Rule::default().cfa(), Cfa::Unsupported(Unsupported::Empty));
        assert_eq!(Some(Rule::AT_ENTRY), Rule::new(Cfa::Sp(8), Saved::Kept, Saved::Kept));
        assert_eq!(Some(Rule::BY_POINTER), Rule::new(Cfa::Bp(16), Saved::AtCfa(-2), Saved::Kept));
    }

    #[test]
    fn every_number_can_be_read_as_a_rule() {
        for kind in 0..16 {
            for rest in [0, 1, 0x5555_5555_5555_5555, u64::MAX] {
                let rule = Rule::from_raw(rest & !15 | kind);
                let _ = (rule.cfa(), rule.bp(), rule.bx());
                assert_eq!(kind > SIGNAL, kind != 0 && matches!(rule.cfa(), Cfa::Unsupported(_)));
            }
        }
    }
}
