//! EXACT, against chance: `oracle.c` does at random all that a program can do with an allocator and with mappings, and
//! keeps books. It is built against each C library and allocator that leaktrace knows, and leaktrace must come to the
//! same figures, site by site and to the byte.
//!
//! A failure names its seeds. `LEAKTRACE_SEED=17 cargo xtask test oracle` tries that one alone.

use std::{collections::BTreeMap, env};

use serde_json::Value;

use crate::harness::{Machine, Target, first_function, is_full, number, stacks};

/// Operations of a run.
const OPERATIONS: u32 = 50_000;
const OPERATIONS_IN_FULL: u32 = 200_000;

/// Bytes and blocks.
type Figures = (u64, u64);

/// What a program says of itself.
pub struct Books {
    /// What each site holds.
    outstanding: BTreeMap<String, Figures>,
    /// What all of them ever allocated.
    allocated: Figures,
}

impl Books {
    /// Sends "go" and hears the books.
    pub fn of(oracle: &mut Target) -> Self {
        oracle.say("go");
        let mut books = Self { outstanding: BTreeMap::new(), allocated: (0, 0) };
        loop {
            let line = oracle.hear();
            if line == "end" {
                return books;
            }
            let mut words = line.strip_prefix("site ").expect("a site").split(' ');
            let name = words.next().expect("a name").to_owned();
            let figures: Vec<u64> = words.map(|word| word.parse().expect("a figure")).collect();
            let [bytes, count, all_bytes, all_count] = figures[..] else { panic!("no book: {line}") };
            books.outstanding.insert(name, (bytes, count));
            books.allocated = sum(books.allocated, (all_bytes, all_count));
        }
    }

    /// Bytes that are outstanding, and bytes ever allocated.
    pub fn bytes(&self) -> (u64, u64) {
        (self.outstanding.values().map(|(bytes, _)| bytes).sum(), self.allocated.0)
    }

    /// What the report says of each site, and a line for each stack of no site.
    fn told<'r>(&'r self, report: &'r Value) -> (BTreeMap<&'r str, Figures>, Vec<String>) {
        let mut told: BTreeMap<&str, Figures> = self.outstanding.keys().map(|site| (site.as_str(), (0, 0))).collect();
        let mut strays = Vec::new();
        for stack in stacks(report) {
            let held = (number(stack, "outstanding_bytes"), number(stack, "outstanding_count"));
            match told.get_mut(first_function(stack)) {
                Some(figures) => *figures = sum(*figures, held),
                None => strays.push(format!("{held:?} of no site: {stack}")),
            }
        }
        (told, strays)
    }

    /// What the report holds for a leak and the program does not, a line each.
    pub fn false_leaks(&self, report: &Value) -> Vec<String> {
        let (told, mut leaks) = self.told(report);
        for (site, (bytes, count)) in &self.outstanding {
            let (told_bytes, told_count) = told[site.as_str()];
            if told_bytes > *bytes || told_count > *count {
                leaks.push(format!("{site}: {bytes} bytes in {count} blocks, told as {told_bytes} in {told_count}"));
            }
        }
        leaks
    }

    /// What the report has otherwise, a line each.
    fn differences(&self, report: &Value) -> Vec<String> {
        let (told, mut differences) = self.told(report);
        let mut compare = |what: &str, books: Figures, told: Figures| {
            if told != books {
                differences.push(format!("{what}: {books:?} in the program's books, {told:?} in the report"));
            }
        };
        for (site, figures) in &self.outstanding {
            compare(site, *figures, told[site.as_str()]);
        }
        let total = |what| {
            let figure = |unit| number(&report["totals"], &format!("{what}_{unit}"));
            (figure("bytes"), figure("count"))
        };
        let outstanding = self.outstanding.values().copied().fold((0, 0), sum);
        compare("all that is outstanding", outstanding, total("outstanding"));
        compare("all that was allocated", self.allocated, total("allocated"));
        if report["loss"]["complete"] != true {
            differences.push(format!("something was lost: {}", report["loss"]));
        }
        differences
    }
}

fn sum(one: Figures, other: Figures) -> Figures {
    (one.0 + other.0, one.1 + other.1)
}

/// Runs an oracle under leaktrace; says what the report has otherwise, if anything.
fn failure(machine: &Machine, program: &str, seed: u64) -> Option<String> {
    let operations = if is_full() { OPERATIONS_IN_FULL } else { OPERATIONS };
    let arguments = format!("{seed} {operations}");
    let mut oracle = machine.target(program, &arguments);
    assert!(oracle.hear().starts_with("ready "));
    let leaktrace = machine.attach(oracle.pid(), "--format json -T 100000 --ring-size 64M 60");
    let books = Books::of(&mut oracle);
    let differences = books.differences(&leaktrace.end().last_report());
    (!differences.is_empty()).then(|| format!("{program} {arguments}:\n  {}\n", differences.join("\n  ")))
}

/// Runs a build of the oracle with so many seeds.
fn check(allocator: &str, seeds: u64) {
    let machine = Machine::shared();
    let chosen = env::var("LEAKTRACE_SEED").ok().map(|seed| vec![seed.parse().expect("LEAKTRACE_SEED is a number")]);
    let seeds: Vec<u64> = chosen.unwrap_or_else(|| (1..=seeds).collect());
    let program = format!("oracle-{allocator}");
    let failures: Vec<String> = seeds.iter().filter_map(|seed| failure(&machine, &program, *seed)).collect();
    let (failed, all) = (failures.len(), seeds.len());
    assert!(failures.is_empty(), "leaktrace differs from {failed} of {all} runs:\n{}", failures.concat());
}

/// Most of what can go wrong does so with every allocator, and shows with the commonest.
fn check_commonest(allocator: &str) {
    check(allocator, if is_full() { 100 } else { 4 });
}

fn check_other(allocator: &str) {
    check(allocator, if is_full() { 20 } else { 1 });
}

#[test]
fn a_random_program_and_the_report_agree_with_glibc() {
    check_commonest("glibc");
}

#[test]
fn a_random_program_and_the_report_agree_with_static_glibc() {
    check_other("glibc-static");
}

#[test]
fn a_random_program_and_the_report_agree_with_musl() {
    check_other("musl");
}

#[test]
fn a_random_program_and_the_report_agree_with_static_musl() {
    check_other("musl-static");
}

#[test]
fn a_random_program_and_the_report_agree_with_jemalloc() {
    check_other("jemalloc");
}

#[test]
fn a_random_program_and_the_report_agree_with_static_jemalloc() {
    check_other("jemalloc-static");
}

#[test]
fn a_random_program_and_the_report_agree_with_jemalloc_under_a_prefix_beside_glibc() {
    check_other("jemalloc-prefixed");
}

#[test]
fn a_random_program_and_the_report_agree_with_tcmalloc() {
    check_other("tcmalloc");
}

#[test]
fn a_random_program_and_the_report_agree_with_minimal_tcmalloc() {
    check_other("tcmalloc-minimal");
}

#[test]
fn a_random_program_and_the_report_agree_with_mimalloc() {
    check_other("mimalloc");
}
