//! Which process is which: a process is its pid and its start, so that one that takes the pid of another that has ended
//! is not taken for it.
//!
//! Pids come again only after all others; so a helper, which is not traced, makes the newcomer with the very pid.

use std::{thread::sleep, time::Duration};

use serde_json::Value;

use crate::{
    children::{branch, leave},
    fork::{KEPT, of_process, order, ready},
    harness::{Machine, Outcome, Target, stacks},
    rulings::held_below,
};

/// Long enough for leaktrace to look for processes that have ended, which it does many times a second.
const A_WHILE: Duration = Duration::from_millis(500);

/// What leaktrace says at `-v` when it has been told of an exec.
const EXEC: &str = "has replaced its program";

/// Has a helper start a program with this pid, and gives it time to run.
fn start_as(helper: &mut Target, pid: u32) {
    order(helper, &format!("start-as {pid} /bin/sleep 60"));
    sleep(A_WHILE);
}

/// Traces two processes, of which one keeps something and ends. `pause` later another program gets its pid. Gives what
/// came of the trace, and the two pids.
fn replace_after(pause: Duration) -> (Outcome, [u32; 2]) {
    let machine = Machine::shared();
    let (mut ending, mut staying, mut helper) = (ready(&machine), ready(&machine), ready(&machine));
    let pids = [ending.pid(), staying.pid()];
    let mut leaktrace = machine.attach(pids[0], &format!("-p {} --format json -T 10000 60", pids[1]));
    leaktrace.wait_until_said(&format!("probes in process {}", pids[1]));
    order(&mut ending, "keep");
    ending.kill();
    ending.wait();
    sleep(pause);
    start_as(&mut helper, pids[0]);
    order(&mut staying, "keep");
    (leaktrace.end(), pids)
}

/// Fails unless both processes are told as what they were, and nothing is told of the newcomer.
fn check_told(report: &Value, [ended, staying]: [u32; 2]) {
    let told: Vec<[&Value; 3]> = report["processes"]
        .as_array()
        .expect("processes")
        .iter()
        .map(|process| ["pid", "alive", "comm"].map(|key| &process[key]))
        .collect();
    let lifecycle = |pid: u32, alive: bool| [Value::from(pid), Value::from(alive), Value::from("lifecycle")];
    let expected = [lifecycle(ended, false), lifecycle(staying, true)];
    assert_eq!(told, expected.each_ref().map(<[Value; 3]>::each_ref));
    for pid in [ended, staying] {
        let report = of_process(report.clone(), pid);
        assert_eq!(held_below(&report, &["keep"]), KEPT);
        assert_eq!(held_below(&report, &[]), KEPT, "nothing else");
    }
    assert_eq!(report["loss"]["complete"], true, "{}", report["loss"]);
}

#[test]
fn a_process_with_the_pid_of_one_that_ended_is_not_taken_for_it() {
    let (outcome, pids) = replace_after(A_WHILE);
    assert!(!outcome.errors.contains(EXEC), "{}", outcome.errors);
    check_told(&outcome.last_report(), pids);
}

#[test]
fn a_process_that_takes_the_pid_at_once_is_not_taken_for_the_one_before_either() {
    let (outcome, pids) = replace_after(Duration::ZERO);
    check_told(&outcome.last_report(), pids);
}

#[test]
fn a_process_with_the_pid_of_a_child_that_ended_is_not_taken_for_it() {
    let machine = Machine::shared();
    let (mut parent, mut helper) = (ready(&machine), ready(&machine));
    let mut leaktrace = machine.attach(parent.pid(), "--follow-fork --format json -T 10000 60");
    let child = branch(&mut parent, &mut leaktrace);
    order(&mut parent, "child-allocates");
    leave(&mut parent, child);
    sleep(A_WHILE);
    start_as(&mut helper, child);
    let outcome = leaktrace.end();
    assert!(!outcome.errors.contains(EXEC), "{}", outcome.errors);
    let report = outcome.last_report();
    assert_eq!(report["processes"].as_array().map(Vec::len), Some(1), "{}", report["processes"]);
    assert_eq!(stacks(&report), [] as [Value; 0]);
}

#[test]
fn a_child_with_the_pid_of_one_before_is_traced_as_another() {
    let machine = Machine::shared();
    let mut parent = ready(&machine);
    let mut leaktrace = machine.attach(parent.pid(), "--follow-fork --format json -T 10000 60");
    let child = branch(&mut parent, &mut leaktrace);
    order(&mut parent, "child-allocates");
    leave(&mut parent, child);
    order(&mut parent, &format!("start-as {child} /bin/sleep 60"));
    leaktrace.wait_until_said(&format!("process {child} is traced as a child"));
    sleep(A_WHILE);
    let report = leaktrace.end().last_report();
    let told = &report["processes"][1];
    assert_eq!((&told["pid"], &told["comm"]), (&Value::from(child), &Value::from("sleep")));
    assert_eq!(held_below(&report, &["child_allocates"]), (0, 0));
    assert_eq!(report["loss"]["probes_missed"], 2, "{}", report["loss"]);
}

#[test]
fn a_trace_of_several_processes_goes_on_until_the_last_has_ended() {
    let machine = Machine::shared();
    let mut targets = [(); 3].map(|()| ready(&machine));
    let pids = targets.each_ref().map(Target::pid);
    let others = format!("-p {} -p {} --format json -T 10000 60", pids[1], pids[2]);
    let mut leaktrace = machine.attach(pids[0], &others);
    leaktrace.wait_until_said(&format!("probes in process {}", pids[2]));
    for target in &mut targets {
        order(target, "keep");
        target.kill();
        target.wait();
    }
    let reports = leaktrace.wait().reports();
    let [report] = &reports[..] else { panic!("only the final one: {reports:?}") };
    for (pid, process) in pids.into_iter().zip(report["processes"].as_array().expect("processes")) {
        assert_eq!((&process["pid"], &process["alive"]), (&Value::from(pid), &Value::Bool(false)));
        assert_eq!(held_below(&of_process(report.clone(), pid), &["keep"]), KEPT);
    }
    assert_eq!(report["loss"]["complete"], true, "{}", report["loss"]);
}
