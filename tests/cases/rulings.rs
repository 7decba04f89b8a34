//! What counts, and what does not, at the edges of the books: each rule is a test, called as the rule.
//!
//! `rulings` does once what programs do to libc's allocator, and `escape` does to an allocator of its own what would
//! break libc's. The tests of each share one trace.
//!
//! Which process is which, when ids come again, is in `identity`.

use std::{collections::BTreeSet, sync::OnceLock};

use serde_json::Value;

use crate::harness::{Machine, first_function, functions, number, stacks};

/// Bytes of a page.
const PAGE: u64 = 4096;

/// Nothing.
const NOTHING: (u64, u64) = (0, 0);

/// The final report on a program that has done everything, and what it said then.
struct Told {
    report: Value,
    figures: Vec<u64>,
}

impl Told {
    fn by(name: &str, options: &str) -> Self {
        let machine = Machine::shared();
        let mut target = machine.target(name, "");
        assert!(target.hear().starts_with("ready "));
        let leaktrace = machine.attach(target.pid(), &format!("--format json -T 10000 {options} 60"));
        target.say("go");
        let answer = target.hear();
        let figures = answer.split(' ').skip(1).map(|word| word.parse().expect("a figure")).collect();
        Self { report: leaktrace.end().last_report(), figures }
    }
}

/// What libc's allocator is put through.
fn told() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(|| Told::by("rulings", ""))
}

/// What no real allocator bears.
fn escaped() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(|| Told::by("escape", "--symbols-prefix esc_"))
}

/// Stacks of a report that hold something, below all of these functions.
fn stacks_below<'r>(report: &'r Value, inside: &[&str]) -> Vec<&'r Value> {
    let is_below = |stack: &&Value| {
        let functions = functions(stack);
        inside.iter().all(|function| functions.contains(function))
    };
    stacks(report).iter().filter(is_below).collect()
}

/// Bytes and blocks that a report finds held below all of these functions.
pub fn held_below(report: &Value, inside: &[&str]) -> (u64, u64) {
    stacks_below(report, inside).iter().fold(NOTHING, |(bytes, count), stack| {
        (bytes + number(stack, "outstanding_bytes"), count + number(stack, "outstanding_count"))
    })
}

/// What a case of `rulings` holds, and the functions that called the allocator for it.
fn ruling(case: &str) -> ((u64, u64), Vec<&str>) {
    let report = &told().report;
    let callers: BTreeSet<&str> = stacks_below(report, &[case]).iter().map(|stack| first_function(stack)).collect();
    (held_below(report, &[case]), callers.into_iter().collect())
}

/// Fails unless this is what a case of `escape` holds both as the first that its thread does and later in its life.
fn escape_holds(case: &str, expected: (u64, u64)) {
    for thread in ["fresh_thread", "used_thread"] {
        assert_eq!(held_below(&escaped().report, &[case, thread]), expected, "{case} in a {thread}");
    }
}

#[test]
fn realloc_counts_as_the_new_size_at_its_own_stack() {
    assert_eq!(ruling("realloc_grows"), ((5000, 1), vec!["realloc_grows"]));
    assert_eq!(ruling("realloc_shrinks"), ((40, 1), vec!["realloc_shrinks"]));
}

#[test]
fn realloc_to_nothing_frees() {
    assert_eq!(ruling("realloc_to_nothing"), (NOTHING, vec![]));
}

#[test]
fn realloc_of_null_allocates() {
    assert_eq!(ruling("realloc_of_null"), ((300, 1), vec!["realloc_of_null"]));
}

#[test]
fn realloc_that_fails_restores_the_block_at_its_old_stack() {
    assert_eq!(ruling("realloc_fails"), ((700, 1), vec!["old_block"]));
    assert_eq!(ruling("realloc_fails_before_free"), (NOTHING, vec![]));
    assert_eq!(ruling("reallocarray_overflows"), ((800, 1), vec!["old_block"]));
}

#[test]
fn posix_memalign_that_fails_allocates_nothing_whatever_its_pointer_holds() {
    assert_eq!(ruling("posix_memalign_fails"), ((900, 1), vec!["old_block"]));
}

#[test]
fn a_failed_allocation_counts_for_nothing() {
    assert_eq!(ruling("malloc_fails"), (NOTHING, vec![]));
    assert_eq!(ruling("calloc_overflows"), (NOTHING, vec![]));
}

#[test]
fn a_block_of_no_bytes_is_a_block() {
    assert_eq!(ruling("zero_sizes"), ((0, 5), vec!["zero_sizes"]));
    assert_eq!(ruling("zero_size_freed"), (NOTHING, vec![]));
}

#[test]
fn free_of_null_is_nothing() {
    assert_eq!(ruling("free_of_null"), (NOTHING, vec![]));
}

#[test]
fn what_was_there_before_attach_is_ignored_when_it_goes() {
    for case in ["free_of_a_block_from_before", "munmap_of_a_mapping_from_before"] {
        assert_eq!(ruling(case), (NOTHING, vec![]));
    }
}

#[test]
fn realloc_of_a_block_from_before_attach_allocates_if_it_succeeds() {
    let case = "realloc_of_a_block_from_before";
    assert_eq!(ruling(case), ((3000, 1), vec![case]));
    assert_eq!(ruling("failing_realloc_of_a_block_from_before"), (NOTHING, vec![]));
}

#[test]
fn a_mapping_that_failed_counts_for_nothing() {
    assert_eq!(ruling("mmap_fails"), (NOTHING, vec![]));
}

#[test]
fn munmap_of_a_part_leaves_the_rest_one_mapping() {
    assert_eq!(ruling("munmap_of_the_middle"), ((4 * PAGE, 1), vec!["old_mapping"]));
    assert_eq!(ruling("munmap_piece_by_piece"), (NOTHING, vec![]));
}

#[test]
fn munmap_across_two_mappings_takes_of_each() {
    assert_eq!(ruling("lower_mapping"), ((3 * PAGE, 1), vec!["old_mapping"]));
    assert_eq!(ruling("upper_mapping"), ((2 * PAGE, 1), vec!["old_mapping"]));
    assert_eq!(ruling("munmap_across_two"), ((5 * PAGE, 2), vec!["old_mapping"]));
}

#[test]
fn munmap_that_fails_restores_the_mapping() {
    assert_eq!(ruling("munmap_fails"), ((2 * PAGE, 1), vec!["old_mapping"]));
}

#[test]
fn a_mapping_over_another_takes_its_place() {
    assert_eq!(ruling("mmap_over_a_mapping"), ((6 * PAGE, 2), vec!["old_mapping"]));
}

#[test]
fn mremap_counts_as_the_new_size_at_its_own_stack_wherever_it_went() {
    assert_eq!(ruling("mremap_grows"), ((5 * PAGE, 1), vec!["mremap_grows"]));
    assert_eq!(ruling("mremap_shrinks"), ((PAGE, 1), vec!["mremap_shrinks"]));
    assert_eq!(ruling("mremap_moves"), ((3 * PAGE, 1), vec!["mremap_moves"]));
    assert_eq!(ruling("mremap_of_a_part"), ((6 * PAGE, 2), vec!["mremap_of_a_part", "old_mapping"]));
}

#[test]
fn mremap_that_fails_restores_the_mapping_at_its_old_stack() {
    assert_eq!(ruling("mremap_fails"), ((2 * PAGE, 1), vec!["old_mapping"]));
}

#[test]
fn mremap_that_leaves_the_old_pages_is_a_mapping_more() {
    let case = "mremap_leaves_what_was_there";
    assert_eq!(ruling(case), ((4 * PAGE, 2), vec![case, "old_mapping"]));
    let case = "mremap_maps_shared_pages_twice";
    assert_eq!(ruling(case), ((6 * PAGE, 2), vec![case, "shared_mapping"]));
}

#[test]
fn file_mappings_are_not_counted() {
    assert_eq!(ruling("file_mapping"), (NOTHING, vec![]));
}

#[test]
fn a_file_mapping_over_an_anonymous_one_takes_its_place() {
    assert_eq!(ruling("file_mapping_over_anonymous"), ((3 * PAGE, 1), vec!["old_mapping"]));
}

#[test]
fn what_a_signal_handler_allocates_counts() {
    assert_eq!(ruling("handler_on_the_stack"), ((640, 1), vec!["handler_on_the_stack"]));
}

#[test]
fn what_a_signal_handler_on_another_stack_allocates_counts() {
    assert_eq!(ruling("handler_on_another_stack"), ((650, 1), vec!["handler_on_another_stack"]));
}

#[test]
fn an_address_that_goes_to_and_fro_between_threads_is_a_new_block_each_time() {
    assert_eq!(ruling("a_block_goes_to_and_fro"), (NOTHING, vec![]));
    assert_eq!(ruling("answer_with_a_block"), ((706, 1), vec!["answer_with_a_block"]));
}

#[test]
fn a_stack_too_deep_to_be_told_is_cut_at_its_far_end_and_that_is_said() {
    assert_eq!(ruling("deep_recursion"), ((480, 1), vec!["deep_recursion"]));
    let stack = stacks_below(&told().report, &["deep_recursion"])[0];
    let depth = stack["frames"].as_array().expect("frames").len();
    assert!((100..200).contains(&depth), "{depth} frames");
    assert_eq!(number(&told().report["loss"], "stacks_truncated"), 1);
}

#[test]
fn none_of_this_is_a_loss_and_it_all_adds_up() {
    let Told { report, figures } = told();
    let loss = &report["loss"];
    assert_eq!((number(loss, "allocations"), number(loss, "frees"), &loss["complete"]), (0, 0, &Value::Bool(true)));
    let all = &report["totals"];
    let [bytes, count] = figures[..] else { panic!("what it allocated: {figures:?}") };
    assert_eq!((number(all, "allocated_bytes"), number(all, "allocated_count")), (bytes, count));
    let held = (number(all, "outstanding_bytes"), number(all, "outstanding_count"));
    assert_eq!(held_below(report, &[]), held, "the stacks add up to the totals");
    assert_eq!(held, (number(all, "allocated_bytes") - number(all, "freed_bytes"), count - number(all, "freed_count")));
}

#[test]
fn after_a_call_left_by_longjmp_the_next_one_counts() {
    escape_holds("escape_by_longjmp", (100, 1));
}

#[test]
fn after_a_call_left_by_longjmp_one_in_its_place_counts_as_itself() {
    escape_holds("allocation_in_the_place_of_an_escape", (220, 1));
}

#[test]
fn after_a_call_left_by_longjmp_one_made_deeper_counts() {
    escape_holds("allocation_deeper_after_an_escape", (200, 1));
}

#[test]
fn after_a_call_left_by_longjmp_one_made_below_what_it_left_on_the_stack_counts() {
    escape_holds("allocation_below_the_remains_of_an_escape", (10 * 300, 10));
}

#[test]
fn calls_left_from_a_signal_handler_hide_none_that_follow() {
    escape_holds("escapes_from_a_signal_handler", (100 * 16, 100));
}

#[test]
fn calls_left_from_a_handler_on_another_stack_hide_none_that_follow() {
    escape_holds("escapes_from_a_handler_on_another_stack", (10 * 24, 10));
}

#[test]
fn a_thread_that_ends_inside_the_allocator_keeps_what_it_had() {
    escape_holds("end_of_the_thread_inside", (400, 1));
}

#[test]
fn calls_that_never_return_are_said_to_be_lost() {
    let Told { report, figures } = escaped();
    let (lost, escapes) = (number(&report["loss"], "allocations"), figures[0]);
    // The ends of two threads are among them: nothing can come of a call whose thread is no more.
    assert!((escapes - 2..=escapes).contains(&lost), "{lost} are lost, and {escapes} calls never returned");
    assert_eq!(number(&report["loss"], "allocated_bytes"), 9000 * lost);
    assert_eq!(report["loss"]["complete"], false);
}

#[test]
fn calls_inside_calls_count_once_as_the_outermost() {
    escape_holds("nested_calls", (1010, 2));
    for stack in stacks_below(&escaped().report, &["nested_calls"]) {
        assert_eq!(first_function(stack), "nested_calls");
    }
    escape_holds("heap_call_that_maps", (8192, 1));
}

#[test]
fn a_call_that_is_a_jump_to_another_counts_once() {
    escape_holds("tail_call", (520, 1));
}

#[test]
fn an_allocator_deeper_in_itself_than_the_kernel_follows_counts_once() {
    escape_holds("recursive_allocator", (530 + 540, 2));
}

#[test]
fn an_address_given_out_again_without_a_free_is_the_newer_blocks_alone_and_that_is_said() {
    escape_holds("address_reused", (610, 1));
    for thread in ["fresh_thread", "used_thread"] {
        assert_eq!(held_below(&escaped().report, &["second_owner", thread]), (610, 1));
    }
    assert_eq!(number(&escaped().report["loss"], "frees"), 2, "once in each thread");
}
