//! A walk remembered: what it came to, and every word that this rests on.
//!
//! Programs allocate from the same stacks over and over. Where a call begins as an earlier one did, and all that the
//! earlier walk rested on (see [`Climber`](super::Climber)) is as it was, word by word, a walk would come to the same
//! frames, and need not be done. Nothing is taken for equal by a hash.
//!
//! A memo says what a walk came to and not what the frames were. It holds walks that rest on no more than [`MEMO_WORDS`]
//! words, all of them among the first [`REACH`] of the stack; it never holds one that ended where memory could not be
//! read. Whether a word can still be read that nothing rests on is not asked again.

use super::climb::Initial;
use crate::WalkEnd;

/// Words that an outcome may rest on.
pub const MEMO_WORDS: usize = 64;

/// From how many words of the stack, beginning at the stack pointer, these may be.
pub const REACH: usize = 512;

/// Which walk a memo is of.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Tells the process from others.
    pub process: u64,
    /// Tells which rules held, and what addresses meant.
    pub times: u64,
    /// The return address on top of the stack.
    pub ip: u64,
    /// Where the return address is.
    pub sp: u64,
}

/// What a walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The stack's id.
    pub id: u64,
    /// Why it has no more frames.
    pub end: WalkEnd,
}

/// Nothing is remembered: zeros are this.
const EMPTY: u16 = 0;
/// The subject was seen, and not looked into.
const SEEN: u16 = 1;
/// The walk is under way.
const NOTING: u16 = 2;
/// The outcome is known.
const HELD: u16 = 3;
/// The outcome rests on more than a memo holds.
const REFUSED: u16 = 4;

/// So many words are compared without a look at how many there are.
const TOGETHER: usize = 4;

/// More words than any memo has.
const TOO_MANY: u64 = 1 << 32;

/// A walk remembered. All zeros are a memo of nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Memo {
    subject: Subject,
    bp: u64,
    bx: u64,
    /// All ones where the outcome rests on the register, else 0.
    bp_mask: u64,
    bx_mask: u64,
    id: u64,
    /// How many words it rests on, some twice to fill up the last [`TOGETHER`]; more than [`MEMO_WORDS`] is too many.
    count: u64,
    state: u16,
    end: u16,
    /// One more than the last of the places.
    extent: u16,
    /// Whether it was of use since another subject last asked for its place.
    was_used: u16,
    /// Where the words are, counted in words from the stack pointer.
    places: [u16; MEMO_WORDS],
    words: [u64; MEMO_WORDS],
}

impl Memo {
    /// A memo of nothing.
    pub const NOTHING: Self = Self {
        subject: Subject { process: 0, times: 0, ip: 0, sp: 0 },
        bp: 0,
        bx: 0,
        bp_mask: 0,
        bx_mask: 0,
        id: 0,
        count: 0,
        state: EMPTY,
        end: 0,
        extent: 0,
        was_used: 0,
        places: [0; MEMO_WORDS],
        words: [0; MEMO_WORDS],
    };

    /// How many words of the stack [`Memo::recall`] has to be shown, if it can be of use for this subject at all.
    #[inline(always)]
    pub fn extent_for(&self, subject: &Subject) -> Option<u16> {
        (self.state == HELD && self.is_of(subject)).then_some(self.extent)
    }

    /// The outcome of a walk of the memo's subject that begins with these registers on a stack that begins with these
    /// words; `None` when it may be another one.
    #[inline(always)]
    pub fn recall(&mut self, bp: u64, bx: u64, stack: &[u64; REACH]) -> Option<Outcome> {
        let mut difference = (self.bp ^ bp) & self.bp_mask | (self.bx ^ bx) & self.bx_mask;
        let mut noted = 0;
        for (places, words) in self.places.as_chunks::<TOGETHER>().0.iter().zip(self.words.as_chunks::<TOGETHER>().0) {
            if noted >= self.count {
                break;
            }
            noted += TOGETHER as u64;
            for (place, word) in places.iter().zip(words) {
                difference |= word ^ stack[*place as usize % REACH];
            }
        }
        if difference != 0 {
            // It has to be seen once more before it is noted again: of stacks in turn there is nothing to remember.
            self.state = SEEN;
            return None;
        }
        self.was_used = 1;
        Some(Outcome { id: self.id, end: WalkEnd::from_u16(self.end)? })
    }

    /// A walk of this subject, which could not be recalled, begins with these registers. Says whether to note here what
    /// it rests on.
    ///
    /// That is so from the second time on: most of what is seen once is not seen again. A memo that was of use is only
    /// given up for the second other subject.
    #[inline(always)]
    pub fn begin(&mut self, subject: Subject, bp: u64, bx: u64) -> bool {
        if !self.is_of(&subject) {
            if self.was_used != 0 {
                self.was_used = 0;
            } else {
                self.subject = subject;
                self.state = SEEN;
            }
            return false;
        }
        // Places are counted in whole words.
        if self.state != SEEN || !subject.sp.is_multiple_of(8) {
            return false;
        }
        self.state = NOTING;
        self.bp = bp;
        self.bx = bx;
        self.bp_mask = 0;
        self.bx_mask = 0;
        self.count = 0;
        self.extent = 0;
        true
    }

    /// The outcome rests on this word being at this place.
    #[inline(always)]
    pub fn note_word(&mut self, place: u64, word: u64) {
        let offset = place.wrapping_sub(self.subject.sp);
        let index = self.count as usize % MEMO_WORDS;
        self.places[index] = (offset / 8) as u16;
        self.words[index] = word;
        let is_near = offset & !(8 * REACH as u64 - 8) == 0;
        self.count += if is_near { 1 } else { TOO_MANY };
        let end = (offset / 8) as u16 + 1;
        if end > self.extent {
            self.extent = end;
        }
    }

    /// The outcome rests on what this register was when the walk began.
    #[inline(always)]
    pub fn note_initial(&mut self, register: Initial) {
        match register {
            Initial::Bp => self.bp_mask = u64::MAX,
            Initial::Bx => self.bx_mask = u64::MAX,
        }
    }

    /// The walk has come to this. Says whether it is held.
    #[inline(always)]
    pub fn finish(&mut self, outcome: Outcome) -> bool {
        for _ in 1..TOGETHER {
            if !self.count.is_multiple_of(TOGETHER as u64) {
                self.note_word(self.subject.sp, self.subject.ip);
            }
        }
        self.id = outcome.id;
        self.end = outcome.end as u16;
        let is_held = self.count <= MEMO_WORDS as u64 && outcome.end as u16 != WalkEnd::Unreadable as u16;
        self.state = if is_held { HELD } else { REFUSED };
        is_held
    }

    /// From how many words of the stack those are that it rests on, if it is held.
    #[inline(always)]
    pub fn extent(&self) -> u16 {
        self.extent
    }

    #[inline(always)]
    fn is_of(&self, subject: &Subject) -> bool {
        let Subject { process, times, ip, sp } = self.subject;
        (process ^ subject.process) | (times ^ subject.times) | (ip ^ subject.ip) | (sp ^ subject.sp) == 0
    }
}

#[cfg(test)]
mod tests;
