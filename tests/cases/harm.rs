//! HARM and SCOPE: the target is never stopped, signalled, written to or injected into; killing leaktrace leaves it
//! at full speed with no probe in it; and a process that was not chosen has no breakpoint in its memory.

use std::{collections::BTreeSet, fs};

use crate::{
    fork::{order, ready},
    harness::{Books, CodeText, Machine, PATIENCE, is_full, wait_until},
};

/// Milliseconds of a measurement.
const STRETCH: u32 = 300;

/// `int3`, which is what a probe is.
const BREAKPOINT: u8 = 0xCC;

#[test]
fn a_killed_leaktrace_leaves_the_target_at_full_speed_with_no_probe_in_it() {
    let machine = Machine::alone();
    let mut pair = machine.target("pair", "4 1 0");
    pair.run_pairs(STRETCH);
    let code = CodeText::of_libc(pair.pid());
    let tries = if is_full() { 10 } else { 5 };
    // Noise only slows, so the fastest of each is nearest to the truth.
    let (mut before, mut during, mut after) = (f64::MAX, f64::MAX, f64::MAX);
    for _ in 0..tries {
        assert_eq!(code.differences(), [] as [u8; 0]);
        before = before.min(pair.run_pairs(STRETCH).1);
        let leaktrace = machine.attach(pair.pid(), "60");
        assert!(!code.differences().is_empty(), "probes can be seen in the code");
        during = during.min(pair.run_pairs(STRETCH).1);
        leaktrace.kill();
        // The kernel takes them out once the last file of the dead process is closed, behind its back.
        wait_until("the code as it is in the file", || code.differences().is_empty());
        after = after.min(pair.run_pairs(STRETCH).1);
    }
    assert!(during > 3.0 * before, "tracing was on: {before} ns a pair before, {during} ns during");
    assert!(after < 1.5 * before, "{before} ns a pair before, {after} ns after");
}

#[test]
fn a_leaktrace_that_ends_leaves_no_probe_either() {
    let machine = Machine::shared();
    let mut pair = machine.target("pair", "4 1 0");
    pair.run_pairs(1);
    let code = CodeText::of_libc(pair.pid());
    machine.attach(pair.pid(), "1 1").wait().well();
    assert_eq!(code.differences(), [] as [u8; 0]);
    pair.run_pairs(1);
}

#[test]
fn a_process_that_was_not_chosen_has_no_breakpoint_in_its_memory() {
    let machine = Machine::shared();
    let mut pairs = [(); 2].map(|()| machine.target("pair", "4 1 0"));
    for pair in &mut pairs {
        pair.run_pairs(1);
    }
    let [chosen, other] = pairs.each_ref().map(|pair| CodeText::of_libc(pair.pid()));
    let leaktrace = machine.attach(pairs[0].pid(), "60");
    // Born while the trace is on, from the same files.
    let mut newcomer = machine.target("pair", "4 1 0");
    newcomer.run_pairs(1);
    for pair in &mut pairs {
        pair.run_pairs(100);
    }
    assert!(chosen.differences().contains(&BREAKPOINT));
    assert_eq!(other.differences(), [] as [u8; 0]);
    assert_eq!(CodeText::of_libc(newcomer.pid()).differences(), [] as [u8; 0]);
    leaktrace.kill();
}

/// A fork copies the breakpoints with the memory.
#[test]
fn a_child_that_is_not_traced_runs_at_full_speed_while_its_parent_is() {
    let machine = Machine::alone();
    let mut target = ready(&machine);
    let pid = target.pid();
    let mut in_child = || order(&mut target, "pairs-in-child 2000");
    let before = in_child();
    let leaktrace = machine.attach(pid, "60");
    let during = [in_child(), in_child()];
    leaktrace.end().well();
    for during in during {
        assert!(during < 3 * before, "a thousand pairs took {before} ns before, {during} ns during");
    }
}

#[test]
fn while_traced_the_target_is_not_debugged_stopped_or_given_anything_to_run() {
    let machine = Machine::shared();
    let mut target = machine.target("leak-c", "200");
    target.hear();
    let mapped_files = |pid| -> BTreeSet<String> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("a running process");
        maps.lines().filter_map(|line| line.split_whitespace().nth(5)).map(str::to_owned).collect()
    };
    let before = mapped_files(target.pid());
    let leaktrace = machine.attach(target.pid(), "60");
    Books::of(&mut target);
    let status = fs::read_to_string(format!("/proc/{}/status", target.pid())).expect("a running process");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of status");
        line.trim_start_matches(':').trim().to_owned()
    };
    assert_eq!(field("TracerPid"), "0");
    assert!(["R", "S", "D"].contains(&&field("State")[..1]), "{}", field("State"));
    for pending in ["SigPnd", "ShdPnd"] {
        assert_eq!(field(pending).trim_start_matches('0'), "", "no signal waits");
    }
    let after = mapped_files(target.pid());
    let new: Vec<&String> = after.difference(&before).collect();
    // The kernel's own page, where it steps over the instructions that probes stand on.
    assert!(new.iter().all(|name| *name == "[uprobes]" || *name == "[heap]"), "{new:?}");
    leaktrace.end().well();
    target.say("quit");
    assert!(target.wait().success(), "the target ends as it would have");
}

#[test]
fn the_targets_exit_gives_a_final_report() {
    let machine = Machine::shared();
    let mut target = machine.target("leak-c", "200");
    target.hear();
    let leaktrace = machine.attach(target.pid(), &format!("--format json -T 10000 {}", 2 * PATIENCE.as_secs()));
    let books = Books::of(&mut target);
    target.say("quit");
    let reports = leaktrace.wait().reports();
    assert_eq!(reports.len(), 1, "only the final one");
    assert_eq!(reports[0]["final"], true);
    assert_eq!(reports[0]["processes"][0]["alive"], false);
    books.check(&reports[0], target.pid());
}

#[test]
fn a_killed_target_gives_a_final_report_too() {
    let machine = Machine::shared();
    let mut target = machine.target("leak-c", "200");
    target.hear();
    let leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
    let books = Books::of(&mut target);
    target.kill();
    let report = leaktrace.wait().last_report();
    assert_eq!(report["processes"][0]["alive"], false);
    books.check(&report, target.pid());
}
