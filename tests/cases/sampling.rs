//! UNBIASED: with `-s BYTES` every figure is an estimate that is right on average, with the error that it states.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    harness::{Machine, Target, figure, first_function, functions, is_full, number, stacks},
    oracle::Books,
};

/// What each stack of `sampled` allocated and holds in the end, by the report's names.
type Truth = BTreeMap<String, f64>;

/// Each of the stacks that a report has of `sampled`, and the truth about every one of them.
fn sampled(machine: &Machine, levels: u32, arguments: &str) -> (Value, Truth) {
    let mut target = machine.target("sampled", &levels.to_string());
    assert_eq!(target.hear(), "ready");
    let leaktrace = machine.attach_as_is(target.pid(), &format!("--budget off --format json -T 100000 60 {arguments}"));
    let truth = tell(&mut target);
    (leaktrace.end().last_report(), truth)
}

fn tell(target: &mut Target) -> Truth {
    target.say("go");
    let line = target.hear();
    let words: Vec<&str> = line.split(' ').collect();
    words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].parse().expect("a figure"))).collect()
}

fn work(report: &Value) -> impl Iterator<Item = &Value> {
    stacks(report).iter().filter(|stack| functions(stack).contains(&"work"))
}

/// Estimates of one figure: how far their mean is from the truth, as a share of it, and which share of the intervals of
/// 95 % contains it.
fn judged(estimates: &[(f64, f64)], truth: f64) -> (f64, f64) {
    let tries = estimates.len() as f64;
    let mean = estimates.iter().map(|(value, _)| value).sum::<f64>() / tries;
    let hits = estimates.iter().filter(|(value, error)| (value - truth).abs() <= 1.96 * error).count();
    (mean / truth - 1.0, hits as f64 / tries)
}

fn estimate(of: &Value, key: &str) -> (f64, f64) {
    (figure(of, key), figure(of, &format!("{key}_stderr")))
}

#[test]
fn estimates_are_right_on_average_and_as_far_off_as_they_say() {
    let machine = Machine::shared();
    let (report, truth) = sampled(&machine, 10, "-s 4K");
    assert_eq!(report["loss"]["complete"], true, "{}", report["loss"]);
    assert_eq!(work(&report).count(), 1024);
    for key in ["outstanding_bytes", "allocated_bytes"] {
        let estimates: Vec<_> = work(&report).map(|stack| estimate(stack, key)).collect();
        let (bias, coverage) = judged(&estimates, truth[key]);
        // The mean is known to a tenth of a per cent, the share to 0.7 %.
        assert!(bias.abs() < 0.01, "{key}: off by {bias}");
        assert!((0.92..=0.975).contains(&coverage), "{key}: {coverage} of the intervals hold the truth");
    }
    for key in ["outstanding_count", "allocated_count"] {
        // The weights of blocks of 8 bytes and of 100 KiB are too far apart for intervals from 200 samples.
        let estimates: Vec<_> = work(&report).map(|stack| estimate(stack, key)).collect();
        let (bias, _) = judged(&estimates, truth[key]);
        assert!(bias.abs() < 0.03, "{key}: off by {bias}");
    }
}

/// The same, of whole runs of a program that is attached to.
#[test]
fn estimates_of_many_runs_are_right_on_average_and_as_far_off_as_they_say() {
    let machine = Machine::shared();
    let runs = if is_full() { 200 } else { 5 };
    let mut estimates = Vec::new();
    let mut truth = 0.0;
    for _ in 0..runs {
        let (report, of_one) = sampled(&machine, 3, "-s 16K");
        estimates.push(estimate(&report["totals"], "outstanding_bytes"));
        truth = 8.0 * of_one["outstanding_bytes"];
    }
    let (bias, coverage) = judged(&estimates, truth);
    println!("{runs} runs: off by {bias:.4}, {coverage:.3} of the intervals hold the truth");
    if is_full() {
        assert!(bias.abs() < 0.01 && (0.93..=0.97).contains(&coverage), "off by {bias}, {coverage} hold");
    } else {
        assert!(bias.abs() < 0.1, "off by {bias}");
    }
}

#[test]
fn a_random_program_is_estimated_within_the_stated_errors_whichever_its_allocator() {
    let machine = Machine::shared();
    for program in ["oracle-glibc", "oracle-musl", "oracle-jemalloc", "oracle-tcmalloc", "oracle-mimalloc"] {
        let mut oracle = machine.target(program, "7 100000");
        assert!(oracle.hear().starts_with("ready "));
        let leaktrace =
            machine.attach_as_is(oracle.pid(), "-s 2K --budget off --format json -T 100000 --ring-size 64M 60");
        let books = Books::of(&mut oracle);
        let report = leaktrace.end().last_report();
        assert_eq!(report["loss"]["complete"], true, "{program}: {}", report["loss"]);
        let (outstanding, allocated) = books.bytes();
        for (key, truth) in [("outstanding_bytes", outstanding), ("allocated_bytes", allocated)] {
            let (value, error) = estimate(&report["totals"], key);
            let off = (value - truth as f64) / error;
            assert!(off.abs() < 5.0, "{program}: {key} are {truth}, told as {value}: {off} standard errors off");
        }
    }
}

#[test]
fn what_is_freed_is_gone_and_what_is_large_is_exact() {
    let machine = Machine::shared();
    let (report, truth) = sampled(&machine, 2, "-s 256");
    for stack in work(&report) {
        // Of 1 KiB up, a third of the bytes: most are taken, and those of 2 KiB for sure.
        let (value, error) = estimate(stack, "outstanding_bytes");
        assert!(error < 0.02 * truth["outstanding_bytes"], "{error}");
        assert!((value - truth["outstanding_bytes"]).abs() < 5.0 * error);
        assert!(figure(stack, "allocated_bytes") > 1.8 * value, "every other block was freed");
    }
    let totals = &report["totals"];
    let [outstanding, allocated, freed] =
        ["outstanding_bytes", "allocated_bytes", "freed_bytes"].map(|key| figure(totals, key));
    assert!((outstanding + freed - allocated).abs() <= 2.0, "{totals}");
    assert_eq!(number(totals, "unknown_bytes"), 0);
}

#[test]
fn an_exact_trace_states_no_error() {
    let machine = Machine::shared();
    let (report, truth) = sampled(&machine, 1, "-s exact");
    assert!(report["totals"].get("outstanding_bytes_stderr").is_none(), "{}", report["totals"]);
    for stack in work(&report) {
        assert_eq!(number(stack, "outstanding_bytes"), truth["outstanding_bytes"] as u64);
        assert_eq!(first_function(stack), "work");
        assert!(stack.get("outstanding_bytes_stderr").is_none());
    }
}

#[test]
fn older_kinds_of_links_sample_as_well() {
    let machine = Machine::shared();
    for links in ["session", "multi", "perf"] {
        let (report, truth) = sampled(&machine, 6, &format!("-s 4K --links {links}"));
        assert_eq!(report["mode"]["links"], links);
        let (value, error) = estimate(&report["totals"], "outstanding_bytes");
        let truth = 64.0 * truth["outstanding_bytes"];
        assert!((value - truth).abs() < 5.0 * error, "{links}: {value} ± {error} for {truth}");
    }
}
