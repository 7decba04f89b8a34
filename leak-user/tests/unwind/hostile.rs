//! Broken and malicious unwind information: an answer comes, soon, and what is sound beside it still counts.

use std::{
    fs,
    time::{Duration, Instant},
};

use leak_ebpf::frame::{Cfa, Rule};
use leak_user::unwind::{self, Rules, Table};

use crate::made_up::{EH_FRAME, object};

/// Where functions begin.
const CODE: u64 = 0x1000;

/// Unwind information under construction.
#[derive(Default)]
struct EhFrame(Vec<u8>);

impl EhFrame {
    fn entry(&mut self, body: &[u8]) -> usize {
        let at = self.0.len();
        self.0.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.0.extend_from_slice(body);
        at
    }

    /// A shared entry as GCC writes it: CFA = rsp + 8, return address at CFA - 8.
    fn shared(&mut self, instructions: &[u8]) -> usize {
        let head = [0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b];
        self.entry(&[&head, instructions].concat())
    }

    fn usual(&mut self) -> usize {
        self.shared(&[0x0c, 7, 8, 0x90, 1])
    }

    /// The entry of a function.
    fn function(&mut self, shared: usize, start: u64, len: u32, instructions: &[u8]) -> usize {
        let id = self.0.len() as u64 + 4;
        let relative = start.wrapping_sub(EH_FRAME + id + 4);
        let mut body = ((id - shared as u64) as u32).to_le_bytes().to_vec();
        body.extend_from_slice(&(relative as u32).to_le_bytes());
        body.extend_from_slice(&len.to_le_bytes());
        body.push(0);
        body.extend_from_slice(instructions);
        self.entry(&body)
    }

    fn compile(&self) -> (Table, Rules) {
        let mut rules = Rules::new();
        (unwind::compile(&object(&self.0)).expect("it compiles").publish(&mut rules), rules)
    }
}

/// The CFA at an address.
fn cfa_at((table, rules): &(Table, Rules), pc: u64) -> Option<Cfa> {
    table.rule_at(pc as u32).map(|index| rules.all()[usize::from(index)].cfa())
}

/// Advances by so many bytes, and then has CFA = rsp + this.
fn sp_after(bytes: u8, offset: u8) -> [u8; 3] {
    [0x40 | bytes, 0x0e, offset]
}

#[test]
fn a_function_has_the_rules_that_its_entry_says_and_none_around_it() {
    let mut frame = EhFrame::default();
    let shared = frame.usual();
    frame.function(shared, CODE, 0x20, &sp_after(4, 16));
    let found = frame.compile();
    let at = |pc| cfa_at(&found, pc);
    assert_eq!([at(CODE - 1), at(CODE), at(CODE + 3)], [None, Some(Cfa::Sp(8)), Some(Cfa::Sp(8))]);
    assert_eq!([at(CODE + 4), at(CODE + 0x1f), at(CODE + 0x20)], [Some(Cfa::Sp(16)), Some(Cfa::Sp(16)), None]);
    assert_eq!(found.0.stats.entries, 1);
}

#[test]
fn a_broken_entry_costs_its_own_code_alone() {
    let mut frame = EhFrame::default();
    let shared = frame.usual();
    frame.function(shared, CODE, 0x10, &[]);
    frame.function(shared, CODE + 0x10, 0x10, &[sp_after(4, 16).as_slice(), &[0x44, 0x3f]].concat()); // no such instruction
    frame.function(shared, CODE + 0x20, 0x10, &[0x0b]); // pops what was never pushed
    frame.function(shared + 1, CODE + 0x30, 0x10, &[]); // shares what is no entry
    frame.entry(&[9]);
    frame.function(shared, CODE + 0x40, 0x10, &[]);
    let found = frame.compile();
    let at = |pc| cfa_at(&found, CODE + pc);
    assert_eq!([at(0), at(0x10)], [Some(Cfa::Sp(8)); 2]);
    assert_eq!([at(0x14), at(0x17), at(0x18)], [Some(Cfa::Sp(16)), Some(Cfa::Sp(16)), None]);
    assert_eq!([at(0x20), at(0x30), at(0x40)], [None, None, Some(Cfa::Sp(8))]);
    assert_eq!((found.0.stats.entries, found.0.stats.broken), (2, 4));
}

#[test]
fn an_entry_that_begins_inside_another_has_its_code_from_there() {
    let mut frame = EhFrame::default();
    let shared = frame.usual();
    frame.function(shared, CODE + 0x10, 0x10, &[0x0e, 24]);
    frame.function(shared, CODE, 0x40, &[0x0e, 16]);
    frame.function(shared, CODE, 0x40, &[0x0e, 32]);
    let found = frame.compile();
    let at = |pc| cfa_at(&found, CODE + pc);
    assert_eq!([at(0), at(0xf)], [Some(Cfa::Sp(16)); 2]);
    assert_eq!([at(0x10), at(0x1f)], [Some(Cfa::Sp(24)); 2]);
    assert_eq!([at(0x20), at(0x3f)], [None; 2]);
}

#[test]
fn entries_of_what_is_no_code_are_left_out() {
    let mut frame = EhFrame::default();
    let shared = frame.usual();
    for start in [EH_FRAME, EH_FRAME + 0x1000, u64::MAX - 7, CODE] {
        frame.function(shared, start, u32::MAX >> u32::from(start == CODE), &[]);
    }
    let found = frame.compile();
    assert_eq!(found.0.stats.outside, 3);
    assert_eq!(cfa_at(&found, EH_FRAME - 1), Some(Cfa::Sp(8)));
    assert_eq!(cfa_at(&found, EH_FRAME), None);
}

#[test]
fn an_augmentation_or_a_sharing_that_refers_to_itself_ends() {
    let mut frame = EhFrame::default();
    // A function that shares itself, and one that shares the next function.
    frame.function(0, CODE, 0x10, &[]);
    let next = frame.0.len() + 4 + 13 + 4;
    frame.function(next, CODE + 0x10, 0x10, &[]);
    frame.function(next, CODE + 0x20, 0x10, &[]);
    // Augmentation data of which the length is nonsense, and a personality that is to be read where it stands.
    frame.entry(&[0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 0xff, 0xff, 0xff, 0x7f, 0x1b]);
    frame.entry(&[0, 0, 0, 0, 1, b'z', b'P', b'R', 0, 1, 0x78, 16, 6, 0x9b, 0, 0, 0, 0, 0x9b]);
    let (table, _) = frame.compile();
    assert_eq!((table.rows.len(), table.stats.entries), (0, 0));
}

#[test]
fn instructions_that_millions_of_entries_share_are_not_gone_through_millions_of_times() {
    let mut frame = EhFrame::default();
    // 4000 bytes of advancing, that every function begins with.
    let shared = frame.shared(&[0x41; 4000]);
    for index in 0..200_000 {
        frame.function(shared, CODE + index, 1, &[]);
    }
    let began = Instant::now();
    let (table, _) = frame.compile();
    assert!(table.stats.entries < 20_000, "{:?}", table.stats);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_row_for_every_byte_of_code_makes_no_more_rows_than_code() {
    let mut frame = EhFrame::default();
    let shared = frame.usual();
    let size = 1 << 18;
    let instructions: Vec<u8> = (0..size).flat_map(|byte| sp_after(1, 8 * (2 + byte % 9) as u8)).collect();
    frame.function(shared, CODE, size, &instructions);
    let (table, rules) = frame.compile();
    assert_eq!(table.rows.len(), size as usize + 1);
    assert_eq!(rules.all().len(), 1 + 1 + 9);
}

#[test]
fn more_rules_than_the_table_holds_are_said_to_be_unsupported() {
    let mut frame = EhFrame::default();
    let shared = frame.usual();
    let instructions: Vec<u8> = (0..70_000_u32)
        .flat_map(|n| [0x41, 0x0e, (n & 0x7f) as u8 | 0x80, (n >> 7 & 0x7f) as u8 | 0x80, (n >> 14) as u8])
        .collect();
    frame.function(shared, CODE, 70_001, &instructions);
    let (table, rules) = frame.compile();
    assert_eq!(table.stats.unsupported, 1, "all in one row");
    let last = table.rule_at((CODE + 70_000) as u32).map(|index| rules.all()[usize::from(index)]);
    assert_eq!(last, Some(Rule::unsupported(leak_ebpf::frame::Unsupported::TableFull)));
}

#[test]
fn broken_files_neither_panic_nor_take_long() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let loader = fs::read("/lib64/ld-linux-x86-64.so.2").expect("the loader");
    let mut frame = EhFrame::default();
    let shared = frame.usual();
    for index in 0..20 {
        frame.function(shared, CODE + index * 16, 16, &[0x41, 0x0e, 16, 0x86, 2, 0x0a, 0x0c, 6, 16, 0x44, 0x0b]);
    }
    let began = Instant::now();
    for whole in [loader, object(&frame.0)] {
        let mut data = whole.clone();
        for round in 0..1500 {
            let reach = [64, 0x300.min(whole.len()), whole.len()][round % 3];
            let flips: Vec<usize> = (0..=random(12)).map(|_| random(reach)).collect();
            for at in &flips {
                data[*at] = [0, 0xff, 0x7f, random(256) as u8][random(4)];
            }
            let end = if round % 5 == 0 { random(whole.len()) } else { whole.len() };
            if let Ok(compiled) = unwind::compile(&data[..end]) {
                assert!(compiled.rows.is_sorted());
                let table = compiled.publish(&mut Rules::new());
                let _ = table.rule_at(random(1 << 20) as u32);
            }
            for at in flips {
                data[at] = whole[at];
            }
        }
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn what_is_no_program_for_this_machine_is_refused_in_words() {
    for data in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0; 4096]] {
        let error = unwind::compile(data).expect_err("it is none").to_string();
        assert_eq!(error, "not a 64-bit x86-64 ELF file");
    }
}
