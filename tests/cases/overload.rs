//! LOSS: nothing is lost in silence, and a free that a probe saw never leaves a block outstanding, even when more
//! happens than the buffer between kernel and leaktrace can hold.

use std::time::Duration;

use serde_json::Value;

use crate::{
    harness::{Leaktrace, Machine, Target, is_full, number, stacks},
    oracle::Books,
};

/// How long leaktrace does not come to read.
const PAUSE: Duration = Duration::from_secs(5);

/// Milliseconds of a run at full speed.
fn stretch() -> u32 {
    if is_full() { 10_000 } else { 1000 }
}

/// Traces so many threads of `pair` at full speed through a buffer of this size; gives the report and the pairs done.
fn flood(threads: u32, ring_size: &str, run: impl FnOnce(&mut Target, &mut Leaktrace) -> u64) -> (Value, u64) {
    let machine = Machine::shared();
    let mut pair = machine.target("pair", &format!("3 {threads} 0"));
    pair.run_pairs(1);
    let mut leaktrace = machine.attach(pair.pid(), &format!("--ring-size {ring_size} --format json -T 1000 60"));
    let pairs = run(&mut pair, &mut leaktrace);
    (leaktrace.end().last_report(), pairs)
}

/// Runs for a while, with so many breaks.
fn in_runs(runs: u32) -> impl FnOnce(&mut Target, &mut Leaktrace) -> u64 {
    move |pair, _| (0..runs).map(|_| pair.run_pairs(stretch() / runs).0).sum()
}

/// What must hold however much was lost.
fn check(report: &Value, pairs: u64) {
    let (all, loss) = (&report["totals"], &report["loss"]);
    assert_eq!(stacks(report), [] as [Value; 0], "pair holds nothing, whatever was lost: {loss}");
    assert_eq!((number(all, "outstanding_bytes"), number(all, "outstanding_count")), (0, 0), "{loss}");
    let (counted, refused) = (number(all, "allocated_count"), number(loss, "allocations"));
    assert_eq!(counted + refused, pairs, "{counted} allocations were counted and {refused} were lost");
    assert_eq!(number(loss, "allocated_bytes"), 64 * refused);
    assert_eq!(number(loss, "frees"), 0, "a free is set aside, not lost");
    assert_eq!(loss["complete"], refused == 0);
}

#[test]
fn a_full_buffer_makes_no_false_leak_and_its_losses_are_counted() {
    let (report, pairs) = flood(2, "4K", in_runs(1));
    check(&report, pairs);
    assert!(number(&report["loss"], "allocations") > 0, "a page is too small for {pairs} pairs");
}

#[test]
fn a_buffer_that_is_full_now_and_then_makes_no_false_leak_either() {
    for ring_size in ["16K", "64K", "256K"] {
        let (report, pairs) = flood(2, ring_size, in_runs(4));
        check(&report, pairs);
    }
}

#[test]
fn at_full_speed_the_books_balance_whether_or_not_something_was_lost() {
    let (report, pairs) = flood(2, "8M", in_runs(1));
    check(&report, pairs);
}

#[test]
fn a_reader_that_is_away_makes_no_false_leak_and_its_losses_are_counted() {
    let (report, pairs) = flood(4, "64K", |pair, leaktrace| {
        let before = pair.run_pairs(100).0;
        let meanwhile = leaktrace.paused(PAUSE, || pair.run_pairs(PAUSE.as_millis() as u32).0);
        before + meanwhile + pair.run_pairs(100).0
    });
    check(&report, pairs);
    assert!(number(&report["loss"], "allocations") > 0, "{pairs} pairs are too many for 64 KiB");
}

#[test]
fn a_reader_that_is_away_takes_nothing_for_a_leak_that_a_random_program_has_given_back() {
    let machine = Machine::shared();
    let operations = if is_full() { 2_000_000 } else { 400_000 };
    let mut oracle = machine.target("oracle-glibc", &format!("7 {operations}"));
    assert!(oracle.hear().starts_with("ready "));
    let mut leaktrace = machine.attach(oracle.pid(), "--format json -T 100000 --ring-size 64K 60");
    let books = leaktrace.paused(PAUSE, || Books::of(&mut oracle));
    let report = leaktrace.end().last_report();
    assert_eq!(books.false_leaks(&report), [] as [String; 0], "{}", report["loss"]);
    assert_eq!(report["loss"]["complete"], false, "64 KiB are too few: {}", report["loss"]);
}
