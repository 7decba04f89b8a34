//! Memos of small machines, and of random ones.

extern crate std;
use std::{collections::BTreeMap, vec::Vec};

use super::*;
use crate::{
    MAX_FRAMES,
    frame::{Cfa, Climber, Code, Ground, Registers, Rule, Saved},
};

/// Where the stack begins that all walks here begin on.
const SP: u64 = 0x7000;

/// Words of it.
const STACK: usize = 700;

/// A machine that is walked.
#[derive(Clone)]
struct World {
    codes: BTreeMap<u64, Code>,
    stack: Vec<u64>,
    bp: u64,
    bx: u64,
}

/// A walk of it.
struct Walking<'a> {
    world: &'a World,
    memo: Option<&'a mut Memo>,
    /// Every word that was read.
    read: Vec<u64>,
}

impl Ground for Walking<'_> {
    fn code_at(&mut self, pc: u64) -> Code {
        self.world.codes.get(&pc).copied().unwrap_or(Code::Gap)
    }

    fn word(&mut self, place: u64) -> Option<u64> {
        let offset = place.checked_sub(SP)?;
        let word = self.world.stack.get(offset as usize / 8).copied().filter(|_| offset % 8 == 0)?;
        self.read.push(offset / 8);
        Some(word)
    }

    fn words(&mut self, _sp: u64, places: [u64; 4]) -> Option<[u64; 4]> {
        let mut words = [0; 4];
        for (word, place) in words.iter_mut().zip(places) {
            *word = self.word(place)?;
        }
        Some(words)
    }

    fn note_word(&mut self, place: u64, word: u64) {
        self.memo.as_mut().expect("notes are taken").note_word(place, word);
    }

    fn note_initial(&mut self, register: Initial) {
        self.memo.as_mut().expect("notes are taken").note_initial(register);
    }
}

impl World {
    /// One word on the stack, without frame pointers: nothing but its own address at `main`.
    fn of(codes: &[(u64, Code)], words: &[(usize, u64)]) -> Self {
        let mut stack = [0; STACK].to_vec();
        for (index, word) in words {
            stack[*index] = *word;
        }
        // Codes are looked up inside the call.
        Self { codes: codes.iter().map(|(ip, code)| (ip - 1, *code)).collect(), stack, bp: 0x7101, bx: 0x7202 }
    }

    fn subject(&self) -> Subject {
        Subject { process: 1, times: 1, ip: self.stack[0], sp: SP }
    }

    /// The frames, why there are no more, and the words that were read.
    fn walk(&self, memo: Option<&mut Memo>) -> (Vec<u64>, WalkEnd, Vec<u64>) {
        let takes_notes = memo.is_some();
        let mut ground = Walking { world: self, memo, read: Vec::new() };
        let at = Registers { ip: self.stack[0], sp: SP + 8, bp: self.bp, bx: self.bx };
        let mut climber = Climber::new(at, true);
        let mut frames = std::vec![at.ip];
        let end = loop {
            if frames.len() == MAX_FRAMES {
                break WalkEnd::TooDeep;
            }
            match climber.go_up(takes_notes, &mut ground) {
                Ok(mark) => frames.push(mark),
                Err(end) => break end,
            }
        };
        (frames, end, ground.read)
    }

    /// Walks it in the same way as the kernel's side does, and gives whether the memo now holds that.
    fn learn(&self, memo: &mut Memo, id: u64) -> bool {
        let subject = self.subject();
        memo.begin(subject, self.bp, self.bx);
        assert_eq!(memo.extent_for(&subject), None);
        if !memo.begin(subject, self.bp, self.bx) {
            return false;
        }
        let (_, end, _) = self.walk(Some(memo));
        memo.finish(Outcome { id, end });
        memo.extent_for(&subject).is_some()
    }

    fn recall(&self, memo: &mut Memo) -> Option<Outcome> {
        let extent = usize::from(memo.extent_for(&self.subject())?);
        // What is not asked for is not shown.
        let mut shown = [0xdead; REACH];
        shown[..extent].copy_from_slice(&self.stack[..extent]);
        memo.recall(self.bp, self.bx, &shown)
    }
}

fn ruled(cfa: Cfa, bp: Saved, bx: Saved) -> Code {
    Code::Ruled(Rule::new(cfa, bp, bx).expect("it fits"))
}

/// `allocate` keeps a word, was called by `step`, which has a frame pointer and an array, and that by `main`.
fn three_frames() -> World {
    let (allocate, step, main) = (0x40_1000, 0x40_2000, 0x40_3000);
    let codes = [
        (allocate, ruled(Cfa::Sp(16), Saved::Kept, Saved::AtCfa(-2))),
        (step, ruled(Cfa::Bp(16), Saved::AtCfa(-2), Saved::Kept)),
        (main, ruled(Cfa::End, Saved::Kept, Saved::Kept)),
    ];
    let mut world = World::of(&codes, &[(0, allocate), (1, 0x1234), (2, step), (20, 0), (21, main)]);
    world.bp = SP + 20 * 8;
    world
}

#[test]
fn a_walk_is_noted_the_second_time_and_recalled_from_then_on() {
    let (world, mut memo) = (three_frames(), Memo::NOTHING);
    assert_eq!(world.recall(&mut memo), None);
    assert!(world.learn(&mut memo, 77));
    for _ in 0..3 {
        assert_eq!(world.recall(&mut memo), Some(Outcome { id: 77, end: WalkEnd::Bottom }));
    }
}

#[test]
fn another_caller_above_the_same_call_is_told() {
    let (mut world, mut memo) = (three_frames(), Memo::NOTHING);
    assert!(world.learn(&mut memo, 77));
    world.stack[21] = 0x40_3007;
    assert_eq!(world.recall(&mut memo), None);
}

#[test]
fn a_register_counts_where_a_rule_counts_from_it_alone() {
    let (mut world, mut memo) = (three_frames(), Memo::NOTHING);
    assert!(world.learn(&mut memo, 77));
    // Neither `rbx` nor where it was saved leads anywhere, nor do the array and main's `rbp`.
    world.bx = 5;
    for index in [1, 3, 19, 20] {
        world.stack[index] = 5;
    }
    assert!(world.recall(&mut memo).is_some());
    world.bp += 8;
    world.stack[22] = 0x40_3000;
    assert_eq!(world.recall(&mut memo), None, "{:?} is another stack", world.walk(None));
}

#[test]
fn a_saved_register_counts_where_a_rule_further_up_counts_from_it() {
    let mut world = three_frames();
    world.codes.insert(0x40_0fff, ruled(Cfa::Sp(16), Saved::AtCfa(-2), Saved::Kept));
    world.stack[1] = world.bp;
    let mut memo = Memo::NOTHING;
    assert!(world.learn(&mut memo, 77));
    world.bp = 5;
    assert!(world.recall(&mut memo).is_some());
    world.stack[1] += 16;
    world.stack[23] = 0x40_3000;
    assert_eq!(world.recall(&mut memo), None);
}

#[test]
fn other_rules_another_process_or_another_place_are_told() {
    let (world, mut memo) = (three_frames(), Memo::NOTHING);
    assert!(world.learn(&mut memo, 77));
    let subject = world.subject();
    for other in [
        Subject { process: 2, ..subject },
        Subject { times: 2, ..subject },
        Subject { ip: 2, ..subject },
        Subject { sp: 2, ..subject },
    ] {
        assert_eq!(memo.extent_for(&other), None);
    }
    assert!(memo.extent_for(&subject).is_some());
}

#[test]
fn a_memo_of_use_is_given_up_for_the_second_other_subject() {
    let (world, mut memo) = (three_frames(), Memo::NOTHING);
    assert!(world.learn(&mut memo, 77));
    assert!(world.recall(&mut memo).is_some());
    let other = Subject { ip: 2, ..world.subject() };
    assert!(!memo.begin(other, 0, 0));
    assert!(world.recall(&mut memo).is_some());
    assert!(!memo.begin(other, 0, 0) && !memo.begin(other, 0, 0));
    assert_eq!(world.recall(&mut memo), None);
    assert!(memo.begin(other, 0, 0));
}

#[test]
fn what_rests_on_too_much_or_lies_too_far_or_cannot_be_read_is_not_held() {
    let frames = |count: usize, words: usize| {
        let next = |frame| 0x40_1000 + frame as u64;
        let mut world = World::of(&[], &[]);
        for frame in 0..count {
            world.stack[frame * words] = next(frame);
            world.codes.insert(next(frame) - 1, ruled(Cfa::Sp(8 * words as i32), Saved::Kept, Saved::Kept));
        }
        world.stack[count * words] = 0;
        world.learn(&mut Memo::NOTHING.clone(), 1)
    };
    assert!(frames(MEMO_WORDS, 1) && !frames(MEMO_WORDS + 1, 1));
    assert!(frames(5, 102) && !frames(4, 128) && !frames(2, 300));
    let mut unreadable = three_frames();
    unreadable.bp = 0x9000;
    assert!(!unreadable.learn(&mut Memo::NOTHING.clone(), 1));
    assert_eq!(unreadable.walk(None).1, WalkEnd::Unreadable);
}

/// Walks of random machines, of which one thing after the other is changed: what is recalled is what a walk would
/// come to, and what was not read makes no difference.
#[test]
fn whatever_changes_what_is_recalled_is_what_a_walk_would_come_to() {
    let mut state = 1_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let (mut recalled, mut told, mut by_register) = (0, 0, 0);
    for _ in 0..30_000 {
        let mut world = random_world(&mut random);
        let mut memo = Memo::NOTHING;
        if !world.learn(&mut memo, 77) {
            continue;
        }
        let (frames, end, read) = world.walk(None);
        assert_eq!(world.recall(&mut memo), Some(Outcome { id: 77, end }));
        for _ in 0..8 {
            let before = (world.bp, world.bx);
            match random(4) {
                0 => world.bp = random_word(&mut random),
                1 => world.bx = random_word(&mut random),
                _ if random(4) == 0 || read.is_empty() => {
                    world.stack[1 + random(STACK as u64 - 1) as usize] = random_word(&mut random);
                }
                _ => {
                    let index = read[random(read.len() as u64) as usize] as usize;
                    world.stack[index.max(1)] = random_word(&mut random);
                }
            }
            let again = world.recall(&mut memo);
            let (frames_now, end_now, _) = world.walk(None);
            if let Some(outcome) = again {
                assert_eq!((&frames_now, outcome.end), (&frames, end_now));
                recalled += 1;
                by_register += u32::from(before != (world.bp, world.bx));
            } else {
                told += 1;
                break;
            }
        }
    }
    assert!(recalled > 10_000 && told > 5_000 && by_register > 1_000, "{recalled} {told} {by_register}");
}

/// A return address, a place on the stack, or nothing of sense.
fn random_word(random: &mut impl FnMut(u64) -> u64) -> u64 {
    match random(8) {
        0..4 => 0x40_0000 + random(12),
        4..7 => SP + 8 * random(STACK as u64),
        _ => random(3),
    }
}

fn random_world(random: &mut impl FnMut(u64) -> u64) -> World {
    let saved = |random: &mut dyn FnMut(u64) -> u64| match random(8) {
        0..3 => Saved::Kept,
        3..6 => Saved::AtCfa(-2 - random(3) as i16),
        6 => Saved::AtBp(-(random(3) as i16)),
        _ => Saved::Unknown,
    };
    let mut world = World::of(&[], &[]);
    for pc in 0x40_0000..0x40_000c {
        let offset = 8 * (1 + random(6) as i32);
        let cfa = match random(16) {
            0..6 => Cfa::Sp(offset),
            6..9 => Cfa::Bp(offset),
            9 | 10 => Cfa::Bx(offset),
            11 => Cfa::DerefBp { at: -8 * random(3) as i16, plus: 8 },
            12 => Cfa::DerefSp { at: 8 * random(3) as i16, plus: 8 },
            13 => Cfa::Plt(random(16) as u8),
            14 => Cfa::Signal,
            _ => Cfa::End,
        };
        let code = match random(24) {
            0 => Code::Gap,
            1 => Code::Foreign,
            _ => ruled(cfa, saved(random), saved(random)),
        };
        world.codes.insert(pc - 1, code);
    }
    for word in &mut world.stack {
        *word = random_word(random);
    }
    world.stack[0] = 0x40_0000 + random(12);
    (world.bp, world.bx) = (SP + 8 * random(40), SP + 8 * random(40));
    world
}
