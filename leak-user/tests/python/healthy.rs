//! What healthy programs do is no leak, at no moment.

use leak_user::python::{
    holders::{Limits, Scan, growth, name},
    view::View,
};

use crate::program::{Program, READING_S, pythons};

/// The leaks, by name and by type.
fn leaks(view: &View, scans: &[Scan]) -> Vec<String> {
    let growing = growth(scans);
    let addresses: Vec<u64> = growing.containers.iter().map(|container| container.address).collect();
    let paths = name(view, &addresses, Limits::default());
    let containers = growing.containers.iter().zip(paths).filter_map(|(container, path)| {
        container.leak_at(path.as_ref())?;
        Some(format!("{path:?}: {container:?}"))
    });
    let types = growing.types.iter().filter(|kind| kind.leak().is_some()).map(|kind| format!("{kind:?}"));
    containers.chain(types).collect()
}

#[test]
fn nothing_healthy_is_a_leak_at_any_moment() {
    for python in pythons() {
        let mut program = Program::start(&python, "healthy.py", &[]);
        // Until then it warms up: what fills evenly looks like a leak until it is full.
        for _ in 0..2 {
            program.tell("");
        }
        let mut scans: Vec<Scan> = Vec::new();
        for reading in 0..12 {
            program.tell("");
            let found = program.look(|view| {
                scans.push(Scan::of(view, f64::from(reading) * READING_S));
                leaks(view, &scans)
            });
            assert!(found.is_empty(), "{} after {} scans:\n{}", python.display(), scans.len(), found.join("\n"));
        }
    }
}

#[test]
fn what_warmed_up_and_rests_is_none_and_what_then_leaks_is_one() {
    let python = pythons().pop().expect("a Python");
    let mut program = Program::start(&python, "holders.py", &[]);
    let mut scans = Vec::new();
    for reading in 0..9 {
        if reading < 3 {
            program.tell("100");
        }
        scans.push(program.scan(f64::from(reading) * READING_S));
    }
    let leaks = |scans: &[Scan]| growth(scans).containers.iter().filter(|container| container.leak().is_some()).count();
    assert_eq!(leaks(&scans), 0);
    let rest = scans.len();
    for reading in 9..13 {
        program.tell("100");
        scans.push(program.scan(f64::from(reading) * READING_S));
    }
    assert!(leaks(&scans[rest - 1..]) >= 20);
}
