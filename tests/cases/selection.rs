//! Which stacks and blocks a report shows, and in which order.

use serde_json::Value;

use crate::harness::{Machine, figure, first_function, number, stacks};

/// The final reports of traces of one demo that run side by side, for so long, each with its own options.
fn trace_demo<const N: usize>(duration: &str, options: [&str; N]) -> [Value; N] {
    let machine = Machine::shared();
    let mut demo = machine.target("demo", "120");
    demo.hear();
    let traces = options.map(|options| {
        machine.leaktrace(&format!("-s exact -p {} --format json --duration {duration} {options}", demo.pid()))
    });
    traces.map(|trace| trace.wait().last_report())
}

fn allocations(report: &Value) -> impl Iterator<Item = &Value> {
    stacks(report).iter().flat_map(|stack| stack["allocations"].as_array().expect("listed blocks"))
}

fn is_shown(report: &Value, function: &str) -> bool {
    stacks(report).iter().any(|stack| first_function(stack) == function)
}

#[test]
fn top_limits_the_stacks_to_those_that_come_first() {
    let [all, two] = trace_demo("2s", ["-T 1000", "-T 2"]);
    assert!(stacks(&all).len() > 2);
    assert_eq!(stacks(&two).len(), 2);
    let shown: u64 = stacks(&two).iter().map(|stack| number(stack, "outstanding_bytes")).sum();
    assert!(shown < number(&two["totals"], "outstanding_bytes"), "totals are of all stacks");
}

#[test]
fn each_order_puts_what_it_is_named_after_first() {
    let keys = ["outstanding_bytes", "outstanding_count", "bytes_per_s", "oldest_s"];
    let options = ["--sort size", "--sort count", "--sort growth", "--sort age"];
    let reports = trace_demo("3s", options);
    for (report, key) in reports.iter().zip(keys) {
        let figures: Vec<f64> = stacks(report).iter().map(|stack| figure(stack, key)).collect();
        assert!(figures.len() > 2 && figures.is_sorted_by(|one, next| one >= next), "{key}: {figures:?}");
    }
    let first = |report| first_function(&stacks(report)[0]);
    assert_ne!(first(&reports[0]), first(&reports[1]), "many small blocks are not the most bytes");
}

#[test]
fn sizes_keep_smaller_and_larger_allocations_out() {
    let [small, exact] = trace_demo("2s", ["-a -T 1000 -z 300 -Z 1K", "-T 1000 -z 16384 -Z 16384"]);
    assert!(is_shown(&small, "remember_session"), "sessions have 320 bytes");
    assert!(!is_shown(&small, "cache_thumbnail"), "thumbnails have 16 KiB");
    for block in allocations(&small) {
        assert!((300..=1024).contains(&number(block, "bytes")), "{block}");
    }
    assert!(is_shown(&exact, "cache_thumbnail"), "both ends are included");
    assert!(
        stacks(&exact)
            .iter()
            .all(|stack| { number(stack, "outstanding_bytes") == 16384 * number(stack, "outstanding_count") })
    );
}

#[test]
fn older_shows_only_blocks_of_that_age_and_a_bare_number_is_milliseconds() {
    let [old, bare] = trace_demo("3s", ["-a -T 1000 -o 1s", "-a -T 1000 -o 1000"]);
    for report in [&old, &bare] {
        assert!(is_shown(report, "remember_session"), "sessions stay");
        assert!(allocations(report).all(|block| figure(block, "age_s") >= 1.0));
        let shown: u64 = stacks(report).iter().map(|stack| number(stack, "outstanding_count")).sum();
        assert!(shown < number(&report["totals"], "outstanding_count"), "totals are of all blocks");
    }
}

#[test]
fn older_than_the_trace_shows_nothing() {
    let [report] = trace_demo("1s", ["-o 1h"]);
    assert_eq!(stacks(&report), [] as [Value; 0]);
    assert!(number(&report["totals"], "outstanding_count") > 0);
}

#[test]
fn show_allocs_lists_the_largest_blocks_of_each_stack() {
    let [report] = trace_demo("2s", ["-a -T 1000"]);
    for stack in stacks(&report) {
        let blocks = stack["allocations"].as_array().expect("listed blocks");
        let sizes: Vec<u64> = blocks.iter().map(|block| number(block, "bytes")).collect();
        let count = number(stack, "outstanding_count");
        assert_eq!(sizes.len() as u64, count.min(10), "{stack}");
        assert!(sizes.is_sorted_by(|one, next| one >= next), "{sizes:?}");
        let (sum, held) = (sizes.iter().sum::<u64>(), number(stack, "outstanding_bytes"));
        assert!(if count <= 10 { sum == held } else { sum < held }, "{stack}");
        let oldest = figure(stack, "oldest_s");
        for block in blocks {
            assert!(number(block, "address") > 0 && figure(block, "age_s") <= oldest, "{block}");
        }
    }
    let cached = stacks(&report).iter().find(|stack| first_function(stack) == "cache_page");
    assert!(cached.is_some_and(|stack| number(stack, "outstanding_count") > 10), "a stack with more than are listed");
}
