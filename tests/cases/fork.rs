//! A process's children, and what it becomes: its books stay its own. Children that are traced too are in `children`.

use std::sync::OnceLock;

use serde_json::Value;

use crate::{
    harness::{Machine, Target, functions, is_full, number, stacks, target_path},
    rulings::held_below,
};

/// What `keep` of `lifecycle` holds.
pub const KEPT: (u64, u64) = (1000, 10);

/// Children a second of the storm.
const CHILDREN: u64 = 200;

/// Memory that leaktrace may gain while 200 children a second come and go: it keeps nothing of any of them.
pub const GAIN: u64 = 3 << 20;

/// Says a command to `lifecycle`; gives the figure that it answers.
pub fn order(target: &mut Target, command: &str) -> u64 {
    target.say(command);
    let answer = target.hear();
    let (word, figure) = answer.split_once(' ').expect("a word and a figure");
    assert!(command.starts_with(word), "{command}: {answer}");
    figure.parse().expect("a figure")
}

/// The path of one of the targets.
pub fn path(name: &str) -> String {
    target_path(name).to_str().expect("a plain path").to_owned()
}

/// `lifecycle`, ready.
pub fn ready(machine: &Machine) -> Target {
    let mut target = machine.target("lifecycle", "");
    assert!(target.hear().starts_with("ready "));
    target
}

/// The report without the stacks of other processes.
pub fn of_process(mut report: Value, pid: u32) -> Value {
    report["stacks"].as_array_mut().expect("stacks").retain(|stack| stack["pid"] == pid);
    report
}

/// The final report on a process that has had children in every way.
fn after_children() -> &'static Value {
    static REPORT: OnceLock<Value> = OnceLock::new();
    REPORT.get_or_init(|| {
        let machine = Machine::shared();
        let mut target = ready(&machine);
        let leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
        for command in ["keep", "fork", "vfork", "spawn", "keep"] {
            order(&mut target, command);
        }
        of_process(leaktrace.end().last_report(), target.pid())
    })
}

#[test]
fn a_childs_frees_are_not_its_parents() {
    let report = after_children();
    assert_eq!(held_below(report, &["keep"]), (2 * KEPT.0, 2 * KEPT.1));
    assert_eq!(report["loss"]["complete"], true, "{}", report["loss"]);
}

#[test]
fn a_childs_allocations_are_not_its_parents() {
    assert_eq!(held_below(after_children(), &["child_allocates"]), (0, 0));
}

#[test]
fn programs_started_by_vfork_and_spawn_leave_nothing_in_the_parents_books() {
    for stack in stacks(after_children()) {
        let functions = functions(stack);
        assert!(functions.contains(&"keep"), "the stack that a child is started on is given back: {functions:?}");
    }
}

/// The kernel may leave the child's calls out, for it is another process; what it holds is never taken for the parent's.
#[test]
fn a_vfork_child_that_allocates_in_its_parents_memory_leaves_what_the_parent_holds_right() {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
    for command in ["keep", "vfork-allocate", "keep"] {
        order(&mut target, command);
    }
    let report = of_process(leaktrace.end().last_report(), target.pid());
    assert_eq!(held_below(&report, &["keep"]), (2 * KEPT.0, 2 * KEPT.1));
    let of_child = held_below(&report, &["child_allocates"]);
    assert!([(0, 0), KEPT].contains(&of_child), "all of it or nothing: {of_child:?}");
    assert_eq!(report["loss"]["complete"], true, "{}", report["loss"]);
}

/// Fails unless the books of a process begin anew when it becomes another program by this command.
fn begins_anew_by(command: &str) {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
    order(&mut target, "keep");
    order(&mut target, "keep");
    target.say(&format!("{command} {}", path("lifecycle")));
    assert!(target.hear().starts_with("ready "));
    order(&mut target, "keep");
    let report = of_process(leaktrace.end().last_report(), target.pid());
    assert_eq!(held_below(&report, &["keep"]), KEPT, "only what the new program allocated");
    assert_eq!(held_below(&report, &["become_in_thread"]), (0, 0));
    let processes = report["processes"].as_array().expect("processes");
    assert_eq!((processes.len(), &processes[0]["alive"]), (1, &Value::Bool(true)));
    assert_eq!(report["loss"]["complete"], true, "{}", report["loss"]);
}

#[test]
fn a_process_that_becomes_another_program_begins_its_books_anew() {
    begins_anew_by("exec");
}

/// The kernel takes the probes out with the process's first thread, and puts none into the new program. What that does
/// until it has its own is not seen, and cannot be without stopping it: so the gap is said.
#[test]
fn a_process_that_becomes_another_program_in_a_thread_begins_its_books_anew_with_a_gap_that_is_said() {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let mut leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
    order(&mut target, "keep");
    target.say(&format!("exec-in-thread {}", path("lifecycle")));
    assert!(target.hear().starts_with("ready "));
    leaktrace.wait_until_said("probes in process");
    order(&mut target, "keep");
    let report = of_process(leaktrace.end().last_report(), target.pid());
    assert_eq!(held_below(&report, &["keep"]), KEPT, "only what the new program allocated");
    assert_eq!(held_below(&report, &["become_in_thread"]), (0, 0));
    assert_eq!(report["loss"]["probes_missed"], 1, "{}", report["loss"]);
    assert_eq!(report["loss"]["complete"], false, "{}", report["loss"]);
}

#[test]
fn a_program_that_a_process_became_and_that_ended_at_once_is_told_as_itself() {
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
    order(&mut target, "keep");
    target.say(&format!("exec {}", path("first")));
    let report = of_process(leaktrace.wait().last_report(), target.pid());
    // What `first` holds in the end, beside what the C library holds for it.
    let all = &report["totals"];
    assert!(number(all, "outstanding_bytes") >= 13_000, "{all}");
    for stack in stacks(&report) {
        let functions = functions(stack);
        let is_of_first = ["before_main", "inside_main"].iter().any(|function| functions.contains(function));
        // Both programs have a function of this name.
        assert!(is_of_first || !functions.contains(&"keep"), "{functions:?}");
    }
    let named = (held_below(&report, &["before_main"]), held_below(&report, &["inside_main"]));
    // Its names can be had only while it runs; without them it is told without, and never by those of another.
    assert!([((3000, 3), (10_000, 5)), ((0, 0), (0, 0))].contains(&named), "{named:?}");
}

#[test]
fn children_that_come_and_go_cost_leaktrace_nothing_that_stays() {
    let seconds = if is_full() { 30 } else { 8 };
    let machine = Machine::shared();
    let mut target = ready(&machine);
    let mut leaktrace = machine.attach(target.pid(), "--format json -T 10000 1");
    target.say(&format!("storm {seconds} {CHILDREN}"));
    leaktrace.next_report();
    let early = leaktrace.next_report();
    assert_eq!(target.hear(), format!("storm {}", seconds * CHILDREN));
    let report = of_process(leaktrace.end().last_report(), target.pid());
    let rss = |report: &Value| number(&report["cost"], "tracer_rss_bytes");
    let (early, late) = (rss(&early), rss(&report));
    assert!(late <= early + GAIN, "leaktrace had {early} bytes after 2 s and has {late} in the end");
    let leaked = seconds * CHILDREN;
    assert_eq!(held_below(&report, &["leak_between_forks"]), (48 * leaked, leaked));
    assert_eq!(held_below(&report, &["child_allocates"]), (0, 0));
    assert_eq!(held_below(&report, &[]), (48 * leaked, leaked), "nothing else");
    assert_eq!(report["loss"]["complete"], true, "{}", report["loss"]);
}
