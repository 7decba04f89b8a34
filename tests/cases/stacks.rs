//! Stacks are those that a debugger tells, call by call and to the byte, in programs without frame pointers.
//!
//! `stacks.c`, `stacks.cc` and `stacks.rs` allocate from a thousand stacks each, random paths through whatever a walker
//! has to know about: frames of a size found out at run time, realigned ones, tail calls, functions that never return,
//! calls back from libraries, signals on any stack, coroutines, exceptions, threads. They record each stack by the
//! compiler's own runtime; gdb is asked too. leaktrace must come to the same.
//!
//! A failure names the seed: `LEAKTRACE_SEED=17 cargo xtask test stacks` tries that one alone.

mod walks;

use std::{collections::BTreeSet, env};

use serde_json::Value;

use crate::harness::{Machine, is_full, number};
use walks::{MAX_FRAMES, Walk, Walks, by_gdb, by_leaktrace, by_the_program, held_by, held_by_leaktrace};

/// Allocations of a run, each from a path of its own.
const CALLS: usize = 1100;

/// Allocations that gdb is asked about, which takes its time.
const CALLS_BY_GDB: usize = 200;

/// In a thousand walks, how many may differ.
const TOLERATED: usize = 5;

/// Runs a program under leaktrace; gives the report.
fn report_on(machine: &Machine, program: &str, arguments: &str, way: &str) -> Value {
    let mut target = machine.target(program, arguments);
    assert!(target.hear().starts_with("ready "));
    let leaktrace =
        machine.attach(target.pid(), &format!("--format json -a -T 100000 --ring-size 64M --unwind {way} 60"));
    target.say("go");
    assert_eq!(target.hear(), "end");
    leaktrace.end().last_report()
}

/// How leaktrace's walks differ from the true ones, a text each.
fn differences(truth: &Walks, told: &Walks) -> Vec<String> {
    let difference = |bytes: &u64, truth: &Walk| match told.get(bytes) {
        None => Some(format!("{bytes}: in no stack of the report")),
        Some(told) if told.is_as(truth) => None,
        Some(told) => Some(format!("{bytes}: {}", told.difference_from(truth))),
    };
    truth.iter().filter_map(|(bytes, truth)| difference(bytes, truth)).collect()
}

fn check(program: &str, arguments: &str, truth: &Walks, told: &Walks) {
    let differences = differences(truth, told);
    let (different, all) = (differences.len(), truth.len());
    let first = differences.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n  ");
    assert!(
        different * 1000 <= all * TOLERATED,
        "{program} {arguments}: {different} of {all} walks differ:\n  {first}"
    );
}

fn seeds() -> Vec<u64> {
    let chosen = env::var("LEAKTRACE_SEED").ok().map(|seed| vec![seed.parse().expect("LEAKTRACE_SEED is a number")]);
    chosen.unwrap_or_else(|| (1..=if is_full() { 20 } else { 1 }).collect())
}

/// Holds leaktrace's walks of a program against those of the compiler's runtime.
fn check_against_runtime(program: &str) {
    let machine = Machine::shared();
    for seed in seeds() {
        let arguments = format!("{seed} {CALLS}");
        let truth = by_the_program(&machine, program, &arguments);
        let distinct: BTreeSet<&[String]> = truth.values().map(|walk| walk.calls.as_slice()).collect();
        assert!(distinct.len() >= 1000, "{program} {arguments} has {} stacks", distinct.len());
        let report = report_on(&machine, program, &arguments, "auto");
        check(program, &arguments, &truth, &by_leaktrace(&report));
        assert_eq!(report["mode"]["unwind"], "dwarf");
        assert_eq!(number(&report["loss"], "allocations"), 0, "{}", report["loss"]);
    }
}

/// Holds them against gdb's.
fn check_against_gdb(program: &str) {
    let machine = Machine::shared();
    for seed in seeds() {
        let arguments = format!("{seed} {}", if is_full() { CALLS } else { CALLS_BY_GDB });
        let (mut gdbs, own) = by_gdb(program, &arguments);
        for (bytes, walk) in &mut gdbs {
            // Where there is no table, gdb guesses on, and may be right; nobody knows.
            walk.is_whole = own[bytes].is_whole;
            let known = own[bytes].calls.len();
            walk.calls.truncate(if walk.is_whole == Some(false) { known } else { MAX_FRAMES });
        }
        check(program, &arguments, &gdbs, &by_leaktrace(&report_on(&machine, program, &arguments, "auto")));
    }
}

#[test]
fn stacks_of_optimized_c_are_those_of_the_compilers_runtime() {
    check_against_runtime("stacks-c-optimized");
}

#[test]
fn stacks_that_no_table_brings_to_their_bottom_end_there_and_are_not_called_whole() {
    let arguments = format!("1 {CALLS}");
    let machine = Machine::shared();
    let truth = by_the_program(&machine, "stacks-c-optimized", &arguments);
    let told = by_leaktrace(&report_on(&machine, "stacks-c-optimized", &arguments, "dwarf"));
    let of_coroutines = truth.iter().filter(|(_, walk)| walk.is_whole == Some(false));
    let wrong: Vec<_> = of_coroutines.clone().filter(|(bytes, walk)| told.get(bytes) != Some(*walk)).collect();
    assert!(of_coroutines.count() > 0 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn stacks_of_unoptimized_c_are_those_of_the_compilers_runtime() {
    check_against_runtime("stacks-c-unoptimized");
}

#[test]
fn stacks_of_small_c_at_a_fixed_address_are_those_of_the_compilers_runtime() {
    check_against_runtime("stacks-c-small");
}

#[test]
fn stacks_of_optimized_cpp_are_those_of_the_compilers_runtime() {
    check_against_runtime("stacks-cc-optimized");
}

#[test]
fn stacks_of_unoptimized_cpp_are_those_of_the_compilers_runtime() {
    check_against_runtime("stacks-cc-unoptimized");
}

#[test]
fn stacks_of_optimized_rust_are_those_of_the_compilers_runtime() {
    check_against_runtime("stacks-rs-optimized");
}

#[test]
fn stacks_of_unoptimized_rust_are_those_of_the_compilers_runtime() {
    check_against_runtime("stacks-rs-unoptimized");
}

/// A walk that is taken for one before it is not among the few that may be wrong: none is.
fn check_again(program: &str) {
    let machine = Machine::shared();
    for seed in seeds() {
        let arguments = format!("{seed} {CALLS}");
        let truth = held_by(&by_the_program(&machine, program, &arguments));
        let told = held_by_leaktrace(&report_on(&machine, program, &arguments, "auto"));
        let wrong: Vec<_> = truth.iter().filter(|(calls, held)| told.get(*calls) != Some(*held)).collect();
        assert!(truth.len() > 50, "{program} {arguments} has {} stacks", truth.len());
        assert!(wrong.is_empty(), "{program} {arguments}: {wrong:#?}");
    }
}

#[test]
fn stacks_that_come_again_are_told_from_those_that_differ_in_one_thing() {
    check_again("again-optimized");
}

#[test]
fn unoptimized_stacks_that_come_again_are_told_from_those_that_differ_in_one_thing() {
    check_again("again-unoptimized");
}

#[test]
fn stacks_of_c_are_those_of_a_debugger() {
    check_against_gdb("stacks-c-optimized");
}

#[test]
fn stacks_of_c_at_a_fixed_address_are_those_of_a_debugger() {
    check_against_gdb("stacks-c-small");
}

#[test]
fn stacks_of_cpp_are_those_of_a_debugger() {
    check_against_gdb("stacks-cc-optimized");
}

#[test]
fn stacks_of_rust_are_those_of_a_debugger() {
    check_against_gdb("stacks-rs-optimized");
}
