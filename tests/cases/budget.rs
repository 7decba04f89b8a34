//! COST: what tracing takes of the target's time stays below `--budget`, and what that costs in knowledge is said.

use serde_json::Value;

use crate::harness::{Machine, figure, functions, number, stacks};

#[test]
fn a_program_that_does_nothing_but_allocate_runs_on_at_nearly_full_speed() {
    let machine = Machine::alone();
    let (mut free, mut traced) = (machine.target("pair", "5 1 0"), machine.target("pair", "5 1 0"));
    let leaktrace = machine.attach_as_is(traced.pid(), "--format json 60");
    // The first moments are traced whole, to know what that costs.
    traced.run_pairs(3000);
    let (mut alone, mut beside) = (0, 0);
    for _ in 0..8 {
        alone += free.run_pairs(1000).0;
        beside += traced.run_pairs(1000).0;
    }
    let report = leaktrace.end().last_report();
    let share = beside as f64 / alone as f64;
    assert!(share > 0.85, "{share} of the speed is left: {report}");
    assert!(figure(&report["processes"][0], "watched_s") > 0.1);
    assert!(figure(&report["processes"][0], "watched_s") < 0.5 * figure(&report, "elapsed_s"));
    let changes = report["mode"]["changes"].as_array().expect("changes");
    assert!(changes[0]["what"].as_str().expect("a reason").contains("bursts"), "{changes:?}");
    assert_eq!(report["loss"]["complete"], true, "pauses lose nothing: {}", report["loss"]);
    // All pairs are over but for one that a pause caught, and of that nobody knows.
    assert_eq!(number(&report["totals"], "outstanding_bytes"), 0);
    assert!(number(&report["totals"], "unknown_count") < 1000, "{}", report["totals"]);
}

#[test]
fn a_program_that_allocates_little_is_traced_whole_within_the_budget() {
    let machine = Machine::shared();
    let demo = machine.target("demo", "");
    let report = machine.leaktrace(&format!("-p {} --budget 60 --format json -d 3", demo.pid())).wait().last_report();
    assert_eq!(number(&report["mode"], "sample_bytes"), 1, "{}", report["mode"]);
    assert_eq!(report["mode"]["changes"].as_array().map(Vec::len), Some(0));
    assert!((figure(&report["mode"], "budget_pct") - 60.0).abs() < 1e-9);
}

#[test]
fn who_asks_for_every_allocation_gets_them_and_a_warning() {
    let machine = Machine::shared();
    let mut pair = machine.target("pair", "5 1 0");
    let mut leaktrace = machine.attach_as_is(pair.pid(), "-s exact --format json 60");
    let (pairs, _) = pair.run_pairs(2000);
    leaktrace.wait_until_said("more than the budget of 5 %; leave out -s exact to keep to it");
    let report = leaktrace.end().last_report();
    assert_eq!(number(&report["mode"], "sample_bytes"), 1);
    let told: u64 = stacks(&report).iter().map(|stack| number(stack, "allocated_count")).sum();
    assert!(number(&report["totals"], "allocated_count") >= pairs, "{told} of {pairs}");
}

#[test]
fn a_leak_shows_through_the_gaps_and_comes_first() {
    // A burst is saved up for, and takes the longer the slower the machine is; a rate takes some of them.
    const LOOKS: usize = 30;
    let machine = Machine::alone();
    let mut pair = machine.target("pair", "5 1 0");
    let mut leaktrace = machine.attach_as_is(pair.pid(), "--format json 2");
    pair.say("leak 4000 100");
    let leaks_as_told = |report: &Value| {
        let Some(first) = stacks(report).first() else { return false };
        // 400 KB are leaked a second.
        functions(first).contains(&"leak_slowly") && (150e3..650e3).contains(&figure(first, "bytes_per_s"))
    };
    let mut report = Value::Null;
    let is_seen = (0..LOOKS).any(|_| {
        pair.run_pairs(2000);
        report = leaktrace.next_report();
        leaks_as_told(&report)
    });
    assert!(is_seen, "{report}");
    assert_eq!(report["mode"]["sorted_by"], "growth");
    leaktrace.end().well();
}
