//! What is said of real objects, and of broken ones.

use super::*;
use std::fs;
use std::time::{Duration, Instant};

/// The bytes of a library, if it is installed.
pub(crate) fn library(path: &str) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

pub(crate) const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";

fn libc() -> Vec<u8> {
    library(LIBC).expect("this machine's libc")
}

fn parse(data: &[u8]) -> Result<ElfFile<'_>> {
    ElfFile::parse(data, "the sample")
}

/// The libc with the `.dynsym` entry of `malloc` changed: 24 bytes, `st_value` at 8 and `st_size` at 16.
fn libc_with_malloc(change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut data = libc();
    let file = parse(&data).expect("a libc");
    let vaddr = file.symbols(&["malloc"], |_| false).expect("symbols")[0].vaddr;
    let table = file.dynamic_symbols().expect(".dynsym").symbols;
    let index = table.iter().position(|symbol| symbol.st_value(LE) == vaddr).expect("malloc");
    let table = table.as_ptr() as usize - data.as_ptr() as usize;
    change(&mut data[table + 24 * index..][..24]);
    data
}

fn malloc_error(data: &[u8]) -> String {
    let file = parse(data).expect("a libc");
    let symbols = file.symbols(&["malloc"], |_| false).expect("symbols");
    file.code(&symbols[0]).expect_err("no code").to_string()
}

#[test]
fn a_libc_shows_its_functions_and_their_code() {
    let data = libc();
    let file = parse(&data).unwrap();
    assert_eq!(file.soname(), Some(&b"libc.so.6"[..]));
    assert!(file.build_id().is_some_and(|id| id.len() == 40 && id.bytes().all(|c| c.is_ascii_hexdigit())));
    let symbols = file.symbols(&["free", "malloc", "no such function", "environ"], |_| false).unwrap();
    let names: Vec<&str> = symbols.iter().map(|symbol| symbol.name).collect();
    assert_eq!(names, ["free", "malloc"]);
    let code = file.code(&symbols[1]).unwrap();
    assert_eq!(code.bytes.len() as u64, symbols[1].size);
    assert_eq!(code.bytes, &data[code.offset as usize..][..code.bytes.len()]);
}

#[test]
fn a_function_chosen_at_start_is_marked_indirect() {
    let data = libc();
    assert!(parse(&data).unwrap().symbols(&["strlen"], |_| false).unwrap().iter().all(|symbol| symbol.indirect));
}

#[test]
fn a_stripped_program_without_section_headers_still_shows_its_functions() {
    let mut data = libc();
    let before = parse(&data).unwrap().symbols(&["free"], |_| false).unwrap();
    data[0x28..0x30].fill(0xff); // e_shoff
    assert_eq!(parse(&data).unwrap().symbols(&["free"], |_| false).unwrap(), before);
}

#[test]
fn the_running_test_shows_its_own_functions_from_symtab() {
    let data = fs::read("/proc/self/exe").unwrap();
    let file = parse(&data).unwrap();
    let symbols = file.symbols(&["_start", "malloc"], |_| false).unwrap();
    assert_eq!(symbols.len(), 1, "an imported function is not one's own");
    assert!(!file.code(&symbols[0]).unwrap().bytes.is_empty());
}

#[test]
fn the_default_version_comes_first_and_others_stay_if_they_are_elsewhere() {
    let data = libc();
    let symbols = parse(&data).unwrap().symbols(&["memcpy", "cfree", "__libc_start_main"], |_| false).unwrap();
    let shown: Vec<(&str, bool)> = symbols.iter().map(|symbol| (symbol.name, symbol.default)).collect();
    let expected = [("memcpy", true), ("memcpy", false), ("cfree", false), ("__libc_start_main", true)];
    assert_eq!(shown, expected);
}

#[test]
fn a_symbol_outside_the_code_is_an_error_that_names_it() {
    let expected = "symbol malloc of the sample points outside its code";
    for vaddr in [0x40, u64::MAX, 1 << 40] {
        let data = libc_with_malloc(|symbol| symbol[8..16].copy_from_slice(&vaddr.to_le_bytes()));
        assert_eq!(malloc_error(&data), expected);
    }
    let data = libc_with_malloc(|symbol| symbol[16..24].fill(0xff));
    assert_eq!(malloc_error(&data), expected);
}

#[test]
fn a_function_without_a_size_has_a_little_code() {
    let data = libc_with_malloc(|symbol| symbol[16..24].fill(0));
    let file = parse(&data).unwrap();
    assert_eq!(file.code(&file.symbols(&["malloc"], |_| false).unwrap()[0]).unwrap().bytes.len(), UNSIZED_CODE);
}

#[test]
fn local_and_undefined_functions_do_not_count() {
    for (at, value) in [(4, 0x02), (6, 0x00)] {
        let data = libc_with_malloc(|symbol| symbol[at..8].fill(value));
        assert_eq!(parse(&data).unwrap().symbols(&["malloc"], |_| false).unwrap(), []);
    }
}

#[test]
fn what_is_not_a_program_for_this_machine_is_refused_by_name() {
    let error = |data: &[u8]| parse(data).err().map(|error| error.to_string());
    assert_eq!(error(b"#!/bin/sh").as_deref(), Some("the sample is not an ELF file"));
    for (at, value, expected) in [
        (4, 1, "the sample is not a 64-bit x86-64 object"),
        (5, 2, "the sample is not a 64-bit x86-64 object"),
        (18, 183, "the sample is not a 64-bit x86-64 object"),
        (16, 1, "the sample is neither a program nor a shared library"),
        (54, 1, "the sample has broken program headers"),
    ] {
        let mut data = libc();
        data[at] = value;
        assert_eq!(error(&data).as_deref(), Some(expected));
    }
}

#[test]
fn broken_files_neither_panic_nor_take_long() {
    let whole = libc();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let began = Instant::now();
    let mut data = whole.clone();
    for round in 0..300 {
        // Most of the harm is in the first page, the tables after it and the section headers at the end.
        let reach = [64, 0x1000, 0x26000, whole.len()][round % 4];
        let flips: Vec<usize> = (0..=random(6)).map(|_| random(reach)).collect();
        for at in &flips {
            data[*at] = [0, 0xff, 0x7f, random(256) as u8][random(4)];
        }
        let end = if round % 3 == 0 { random(whole.len()) } else { whole.len() };
        if let Ok(file) = parse(&data[..end]) {
            file.build_id();
            file.soname();
            for symbol in file.symbols(&["malloc", "free", "memcpy"], |_| false).unwrap_or_default() {
                assert!(file.code(&symbol).ok().is_none_or(|code| !code.bytes.is_empty()));
            }
        }
        for at in &flips {
            data[*at] = whole[*at];
        }
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_mapping_begins_with_the_page_in_which_its_segment_does() {
    let segment = Segment { vaddr: 0x1_dde0, offset: 0x1_cde0, size: 0x4_cf60 };
    assert_eq!(segment.vaddr_of_mapping(0x1_c000), Some(0x1_d000));
    assert_eq!(segment.vaddr_of_mapping(0x1_d000), Some(0x1_e000));
    assert_eq!(segment.vaddr_of_mapping(0x1_b000), None);
    assert_eq!(segment.vaddr_of_mapping(0x6_a000), None);
}
