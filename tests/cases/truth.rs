//! EXACT: with nothing lost, what leaktrace says is outstanding is outstanding, to the byte and for every stack.
//!
//! The programs keep their own books of every allocation function, of growing, failing, mapping, handing over between
//! threads and giving back. leaktrace knows nothing of the books, and must come to the same figures.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::{Books, Machine, Target, functions, is_full, number, stacks};

/// Rounds of each of the program's two threads.
const ROUNDS: u64 = 2000;
const ROUNDS_IN_FULL: u64 = 20_000;

/// What leaktrace said of a program, and the program of itself.
struct Told {
    report: Value,
    books: Books,
    pid: u32,
}

impl Told {
    fn by(name: &str) -> Self {
        let machine = Machine::shared();
        let mut target = machine.target(name, &rounds().to_string());
        assert!(target.hear().starts_with("ready "));
        let leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
        let books = Books::of(&mut target);
        let report = leaktrace.end().last_report();
        Self { report, books, pid: target.pid() }
    }

    fn stacks_by_site(&self) -> BTreeMap<&str, Vec<&Value>> {
        self.books.check(&self.report, self.pid)
    }
}

fn rounds() -> u64 {
    if is_full() { ROUNDS_IN_FULL } else { ROUNDS }
}

/// Everything that holds for every program.
fn check(told: &Told, used_by_both_threads: &[&str]) {
    let loss = &told.report["loss"];
    assert_eq!(loss["complete"], true, "nothing is lost: {loss}");
    for (site, stacks) in told.stacks_by_site() {
        check_calls(site, &stacks, used_by_both_threads.contains(&site));
    }
    check_totals(told);
}

/// Each stack runs from its site out to its thread, and a site that both threads use has stacks of both.
fn check_calls(site: &str, stacks: &[&Value], is_used_by_both: bool) {
    let mut threads = BTreeSet::new();
    for stack in stacks {
        let functions = functions(stack);
        let chain = ["caller", "middle", "outer"].map(|level| format!("{site}_{level}"));
        let Some(at) = functions.iter().position(|function| *function == chain[0]) else {
            // Hidden by a library function; the harness's books say which, and why.
            assert_eq!(functions.len(), 1, "{site}: {functions:?}");
            continue;
        };
        assert_eq!(functions[at..at + 3], chain, "the calls of {site} are in their order");
        let round = functions.iter().find(|function| ["round_one", "round_two"].contains(function));
        threads.insert(*round.unwrap_or_else(|| panic!("{site} leads to a thread: {functions:?}")));
    }
    if is_used_by_both {
        assert_eq!(threads.len(), 2, "{site} has a stack of each thread");
    }
}

/// The report agrees with itself, and its sums with the books.
fn check_totals(told: &Told) {
    let totals = &told.report["totals"];
    let total = |key: &str| number(totals, key);
    for unit in ["bytes", "count"] {
        let [outstanding, allocated, freed] =
            ["outstanding", "allocated", "freed"].map(|what| total(&format!("{what}_{unit}")));
        assert_eq!(outstanding, allocated - freed, "outstanding {unit} are what was allocated and not freed");
        let key = format!("outstanding_{unit}");
        let sum: u64 = stacks(&told.report).iter().map(|stack| number(stack, &key)).sum();
        assert_eq!(sum, outstanding, "the stacks' {unit} add up to the total");
    }
    assert_eq!((total("outstanding_bytes"), total("outstanding_count")), told.books.outstanding());
    assert_eq!((total("allocated_bytes"), total("allocated_count")), told.books.allocated());
}

#[test]
fn a_c_programs_books_and_the_report_agree_to_the_byte() {
    let told = Told::by("leak-c");
    check(&told, &["malloc_site", "failing_site", "ring_site"]);
    let by_site = told.stacks_by_site();
    // One call in a function that two threads use: two stacks, and each thread leaks a block a round.
    let counts: Vec<u64> = by_site["malloc_site"].iter().map(|stack| number(stack, "outstanding_count")).collect();
    assert_eq!(counts, [rounds(), rounds()]);
    let counts: Vec<u64> = by_site["ring_site"].iter().map(|stack| number(stack, "outstanding_count")).collect();
    assert_eq!(counts, [64, 64]);
    for site in ["calloc_site", "posix_memalign_site", "memalign_site", "valloc_site", "zero_site"] {
        assert_eq!(by_site[site].len(), 1, "{site} has one call and one thread");
    }
}

#[test]
fn a_cpp_programs_books_and_the_report_agree_to_the_byte() {
    check(&Told::by("leak-cc"), &["vector_site", "ring_site"]);
}

#[test]
fn a_rust_programs_books_and_the_report_agree_to_the_byte() {
    check(&Told::by("leak-rs"), &["vec_site", "ring_site"]);
}

#[test]
fn what_is_held_before_attach_is_in_no_figure() {
    let machine = Machine::shared();
    let mut target = machine.target("leak-c", "200");
    target.hear();
    Books::of(&mut target);
    let report = machine.attach(target.pid(), "--format json 1 1").wait().last_report();
    assert_eq!(number(&report["totals"], "allocated_count"), 0);
    assert_eq!(stacks(&report), [] as [Value; 0]);
}

#[test]
fn several_processes_at_once_are_kept_apart() {
    let machine = Machine::shared();
    let mut targets = ["leak-c", "leak-rs", "leak-c"].map(|name| machine.target(name, "500"));
    for target in &mut targets {
        assert!(target.hear().starts_with("ready "));
    }
    let pids = targets.each_ref().map(Target::pid);
    // Both ways to name several.
    let [first, second, third] = pids;
    let arguments = format!("-v -s exact -p {first},{second} -p {third} --format json -T 10000 60");
    let mut leaktrace = machine.leaktrace(&arguments);
    leaktrace.wait_until_said(&format!("probes in process {third}"));
    let books = targets.each_mut().map(Books::of);
    let report = leaktrace.end().last_report();
    for (pid, books) in pids.iter().zip(&books) {
        books.check(&report, *pid);
    }
    let told: Vec<u64> =
        report["processes"].as_array().expect("processes").iter().map(|process| number(process, "pid")).collect();
    assert_eq!(told, pids.map(u64::from));
}
