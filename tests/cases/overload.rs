//! LOSS: nothing is lost in silence, and a free that a probe saw never leaves a block outstanding, even when more
//! happens than the buffer between kernel and leaktrace can hold.

use serde_json::Value;

use crate::harness::{Machine, is_full, number, stacks};

/// Milliseconds of a run at full speed.
fn stretch() -> u32 {
    if is_full() { 10_000 } else { 1000 }
}

/// Traces two threads of `pair` at full speed through a buffer of this size; gives the report and the pairs done.
fn flood(ring_size: &str, runs: u32) -> (Value, u64) {
    let machine = Machine::shared();
    let mut pair = machine.target("pair", "3 2 0");
    pair.run_pairs(1);
    let leaktrace = machine.attach(pair.pid(), &format!("--ring-size {ring_size} --format json -T 1000 60"));
    let pairs = (0..runs).map(|_| pair.run_pairs(stretch() / runs).0).sum();
    (leaktrace.end().last_report(), pairs)
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
    let (report, pairs) = flood("4K", 1);
    check(&report, pairs);
    assert!(number(&report["loss"], "allocations") > 0, "a page is too small for {pairs} pairs");
}

#[test]
fn a_buffer_that_is_full_now_and_then_makes_no_false_leak_either() {
    for ring_size in ["16K", "64K", "256K"] {
        let (report, pairs) = flood(ring_size, 4);
        check(&report, pairs);
    }
}

#[test]
fn at_full_speed_the_books_balance_whether_or_not_something_was_lost() {
    let (report, pairs) = flood("8M", 1);
    check(&report, pairs);
}
