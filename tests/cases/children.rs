//! `--follow-fork`: the children of a traced process have books of their own, which begin as a copy of its own; and what
//! is not seen of a child's beginning is said.

use std::{fs, thread::sleep, time::Duration};

use serde_json::Value;

use crate::{
    fork::{GAIN, KEPT, of_process, order, path, ready},
    harness::{Leaktrace, Machine, Target, is_full, number, wait_until},
    rulings::held_below,
};

/// Nothing.
const NOTHING: (u64, u64) = (0, 0);

/// Traces a process and its children.
fn follow(machine: &Machine, target: &Target) -> Leaktrace {
    machine.attach(target.pid(), "--follow-fork --format json -T 10000 60")
}

/// Has a process make a child, which is to be spoken to from now on; gives its pid once it is traced.
pub fn branch(target: &mut Target, leaktrace: &mut Leaktrace) -> u32 {
    let child = order(target, "branch") as u32;
    leaktrace.wait_until_said(&format!("process {child} is traced as a child"));
    child
}

/// Has the child end, so that its parent is spoken to again.
pub fn leave(target: &mut Target, child: u32) {
    target.say("leave");
    assert_eq!(target.hear(), format!("left {child}"));
}

/// Bytes and blocks that a process holds below this function.
fn held(report: &Value, pid: u32, function: &str) -> (u64, u64) {
    held_below(&of_process(report.clone(), pid), &[function])
}

/// The processes that a report tells of.
fn pids(report: &Value) -> Vec<u64> {
    report["processes"].as_array().expect("processes").iter().map(|process| number(process, "pid")).collect()
}

/// Fails unless a report says that the beginnings of so many children were not seen, and that nothing else was lost.
fn check_gap(report: &Value, children: u64) {
    let loss = &report["loss"];
    assert_eq!(loss["probes_missed"], children, "{loss}");
    assert_eq!(loss["complete"], children == 0, "{loss}");
    assert_eq!((number(loss, "allocations"), number(loss, "frees")), (0, 0), "{loss}");
}

#[test]
fn a_child_holds_what_its_parent_held_and_allocates_for_itself() {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let mut leaktrace = follow(&machine, &target);
    order(&mut target, "keep");
    let child = branch(&mut target, &mut leaktrace);
    order(&mut target, "child-allocates");
    let report = leaktrace.end().last_report();
    assert_eq!(pids(&report), [u64::from(target.pid()), u64::from(child)]);
    assert_eq!(held(&report, target.pid(), "keep"), KEPT);
    assert_eq!(held(&report, child, "keep"), KEPT);
    assert_eq!(held(&report, target.pid(), "child_allocates"), NOTHING);
    assert_eq!(held(&report, child, "child_allocates"), KEPT);
    check_gap(&report, 1);
}

#[test]
fn what_a_child_frees_of_its_parents_its_parent_still_holds() {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let mut leaktrace = follow(&machine, &target);
    order(&mut target, "keep");
    let child = branch(&mut target, &mut leaktrace);
    order(&mut target, "drop");
    let report = leaktrace.end().last_report();
    assert_eq!(held(&report, target.pid(), "keep"), KEPT);
    assert_eq!(held(&report, child, "keep"), NOTHING);
}

#[test]
fn a_childs_child_holds_what_both_held() {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let mut leaktrace = follow(&machine, &target);
    order(&mut target, "keep");
    let child = branch(&mut target, &mut leaktrace);
    order(&mut target, "child-allocates");
    let grandchild = branch(&mut target, &mut leaktrace);
    order(&mut target, "child-allocates");
    let report = leaktrace.end().last_report();
    for pid in [target.pid(), child, grandchild] {
        assert_eq!(held(&report, pid, "keep"), KEPT);
    }
    assert_eq!(held(&report, child, "child_allocates"), KEPT);
    assert_eq!(held(&report, grandchild, "child_allocates"), (2 * KEPT.0, 2 * KEPT.1));
    check_gap(&report, 2);
}

#[test]
fn what_a_child_held_goes_with_it() {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let mut leaktrace = follow(&machine, &target);
    order(&mut target, "keep");
    let child = branch(&mut target, &mut leaktrace);
    order(&mut target, "child-allocates");
    leave(&mut target, child);
    order(&mut target, "keep");
    // The reader looks for those that have ended many times a second.
    sleep(Duration::from_millis(500));
    let report = leaktrace.end().last_report();
    assert_eq!(pids(&report), [u64::from(target.pid())]);
    assert_eq!(held_below(&report, &[]), (2 * KEPT.0, 2 * KEPT.1), "nothing but the parent's");
}

#[test]
fn a_child_that_becomes_another_program_begins_its_books_anew() {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let mut leaktrace = follow(&machine, &target);
    order(&mut target, "keep");
    let child = branch(&mut target, &mut leaktrace);
    order(&mut target, "child-allocates");
    target.say(&format!("exec {}", path("lifecycle")));
    assert_eq!(target.hear(), format!("ready {child}"));
    order(&mut target, "keep");
    let report = leaktrace.end().last_report();
    assert_eq!(held(&report, target.pid(), "keep"), KEPT);
    assert_eq!(held(&report, child, "keep"), KEPT, "only what the new program allocated");
    assert_eq!(held(&report, child, "child_allocates"), NOTHING);
    check_gap(&report, 1);
}

#[test]
fn a_program_that_a_process_starts_by_vfork_is_traced_with_books_of_its_own() {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let mut leaktrace = follow(&machine, &target);
    order(&mut target, "keep");
    target.say(&format!("branch-to {}", path("lifecycle")));
    let answer = target.hear();
    let child: u32 = answer.strip_prefix("ready ").and_then(|pid| pid.parse().ok()).expect("a pid");
    leaktrace.wait_until_said(&format!("probes in process {child}"));
    order(&mut target, "keep");
    order(&mut target, "keep");
    let report = leaktrace.end().last_report();
    assert_eq!(held(&report, target.pid(), "keep"), KEPT);
    assert_eq!(held(&report, child, "keep"), (2 * KEPT.0, 2 * KEPT.1));
    check_gap(&report, 1);
}

/// Files that a process has open, and its threads.
fn files_and_threads(pid: u32) -> (usize, usize) {
    let count = |what| fs::read_dir(format!("/proc/{pid}/{what}")).expect("a running process").count();
    (count("fd"), count("task"))
}

/// Fails unless leaktrace keeps nothing of the children that a process makes by this command, of which there are so
/// many.
fn leave_nothing(command: &str, children: u64) {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let mut leaktrace = machine.attach(target.pid(), "--follow-fork --format json -T 10000 1");
    let rss = |report: &Value| number(&report["cost"], "tracer_rss_bytes");
    // With the first stack come the files in which its functions are named, and stay open.
    order(&mut target, "keep");
    leaktrace.next_report();
    let early = rss(&leaktrace.next_report());
    let before = files_and_threads(leaktrace.pid());
    order(&mut target, command);
    // Probes are taken out one after the other, behind the children's backs.
    wait_until("as many files and threads as before", || {
        let (files, threads) = files_and_threads(leaktrace.pid());
        files <= before.0 && threads <= before.1
    });
    let report = leaktrace.end().last_report();
    let late = rss(&report);
    assert!(late <= early + GAIN, "leaktrace had {early} bytes before and has {late} in the end");
    assert_eq!(pids(&report), [u64::from(target.pid())]);
    assert_eq!(held(&report, target.pid(), "child_allocates"), NOTHING);
    check_gap(&report, children);
}

#[test]
fn children_that_were_traced_leave_nothing_behind() {
    let children = if is_full() { 24 } else { 8 };
    leave_nothing(&format!("bring-up {children} 200"), children);
}

#[test]
fn children_too_short_lived_to_be_traced_leave_nothing_behind_and_are_said_to_be_missed() {
    // More than can be traced at once come and go in the long version.
    let seconds = if is_full() { 30 } else { 5 };
    leave_nothing(&format!("storm {seconds} 200"), seconds * 200);
}
