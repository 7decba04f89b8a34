//! Programs that make it hard: what is deep, cyclic, ill named, changing, dying or nonsense ends in time and in "not known".

use std::time::{Duration, Instant};

use leak_user::python::{
    heap::Heap,
    holders::{Contents, Limits, Scan, Walk, growth, name, unreached},
    interpreter::Interpreter,
    snapshot::Snapshot,
    view::View,
};

use crate::program::{MOST_BYTES, Program, pythons};

/// Everything that can be asked of a heap.
fn ask_all(view: &View) {
    let scan = Scan::of(view, 0.0);
    let addresses: Vec<u64> = scan.containers.iter().map(|container| container.address).collect();
    for address in addresses.iter().take(200) {
        let _ = Contents::of(view, *address);
    }
    for path in name(view, &addresses, Limits::default()).into_iter().flatten() {
        assert!(path.expression.chars().count() <= 401, "{path}");
        assert!(path.to_string().chars().count() < 4000);
    }
    let mut walk = Walk::new(view, Limits::default());
    walk.run(&[]);
    let types: Vec<u64> = scan.types.iter().map(|kind| kind.address).collect();
    for found in unreached(view, &walk, &types) {
        assert!(found.unreached <= found.objects);
    }
    assert!(growth(&[scan.clone(), scan]).containers.is_empty());
}

#[test]
fn what_is_deep_or_holds_itself_has_a_name_and_it_is_short() {
    for python in pythons() {
        let program = Program::start(&python, "hostile.py", &[]);
        let said = &program.said;
        let addresses = ["deep", "wide", "name", "strange", "key", "kind"].map(|what| said[what]);
        let paths = program.look(|view| name(view, &addresses, Limits::default()));
        let shown: Vec<String> =
            paths.iter().map(|path| path.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)).collect();
        assert_eq!(shown[0], "__main__.deep");
        assert_eq!(shown[1], "__main__.wide[199999][1]");
        assert!(shown[2].starts_with("__main__.hostile_name") || shown[2].starts_with("__main__.\u{1b}"), "{shown:?}");
        assert_eq!(shown[3], "__main__.strange.held");
        assert!(shown[4].starts_with("__main__.by_hostile_key['\u{1b}[31mkkk"), "{}", shown[4]);
        assert_eq!(shown[5], "__main__.of_hostile_type['entry']");
        assert!(shown.iter().all(|path| path.chars().count() <= 420), "{shown:#?}");
    }
}

#[test]
fn a_walk_keeps_to_its_limits() {
    let python = pythons().pop().expect("a Python");
    let program = Program::start(&python, "hostile.py", &[]);
    program.look(|view| {
        let few = Limits { objects: 1000, ..Limits::default() };
        assert_eq!(name(view, &[program.said["wide"]], few), [None]);
        let short = Limits { time: Duration::ZERO, ..Limits::default() };
        assert_eq!(name(view, &[program.said["wide"]], short), [None]);
    });
}

#[test]
fn a_process_that_changes_all_the_time_is_read_to_the_end() {
    for python in pythons() {
        let program = Program::start(&python, "hostile.py", &["change"]);
        for _ in 0..3 {
            program.look(ask_all);
        }
    }
}

#[test]
fn a_process_that_dies_meanwhile_is_no_more_than_not_known() {
    let python = pythons().pop().expect("a Python");
    let mut program = Program::start(&python, "holders.py", &[]);
    let interpreter = Interpreter::find(program.pid()).expect("readable").expect("an interpreter");
    let snapshot = Snapshot::take(&interpreter, MOST_BYTES).expect("a snapshot");
    let heap = Heap::scan(&interpreter, &snapshot).expect("a heap");
    program.kill();
    ask_all(&View::new(&interpreter, &heap));
    assert!(Snapshot::take(&interpreter, MOST_BYTES).is_err());
}

#[test]
fn memory_full_of_nonsense_is_read_to_the_end() {
    for python in pythons() {
        let program = Program::start(&python, "holders.py", &[]);
        let interpreter = Interpreter::find(program.pid()).expect("readable").expect("an interpreter");
        let sound = Snapshot::take(&interpreter, MOST_BYTES).expect("a snapshot");
        let regions: Vec<(u64, Vec<u8>)> = sound.regions().map(|(start, bytes)| (start, bytes.to_vec())).collect();
        let mut random = Random(42);
        for one_in in [3000, 300, 30, 4] {
            let mut broken = regions.clone();
            for (_, bytes) in &mut broken {
                garble(bytes, one_in, &mut random);
            }
            let snapshot = Snapshot::of_parts(broken.iter().map(|(start, bytes)| (*start, bytes.as_slice())));
            let began = Instant::now();
            if let Ok(heap) = Heap::scan(&interpreter, &snapshot) {
                ask_all(&View::new(&interpreter, &heap));
            }
            assert!(began.elapsed() < Duration::from_mins(5), "one word in {one_in} took {:?}", began.elapsed());
        }
    }
}

/// Writes what is likely to mislead over one word in so many.
fn garble(bytes: &mut [u8], one_in: u64, random: &mut Random) {
    let words = bytes.len() as u64 / 8;
    let mut at = random.next() % one_in;
    while at < words {
        let other = (random.next() % words * 8) as usize;
        let word = match random.next() % 8 {
            0 => 0,
            1 => u64::MAX,
            2 => i64::MAX as u64,
            3 => 1 << (random.next() % 64),
            4 => random.next() % 1000,
            5 => random.next(),
            _ => bytes[other..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
        };
        bytes[(at * 8) as usize..][..8].copy_from_slice(&word.to_le_bytes());
        at += 1 + random.next() % (2 * one_in);
    }
}

/// Numbers that look random, the same at each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 29
    }
}
