//! The bundled demo, as its user sees it: three leaks, found and told from a healthy cache.

use serde_json::Value;

use crate::harness::{Machine, called_functions, figure, first_function, stacks, whole_share};

const LEAKS: [&str; 3] = ["append_audit_line", "cache_thumbnail", "remember_session"];

#[test]
fn the_demos_three_leaks_are_found_and_its_healthy_cache_is_not_called_one() {
    let machine = Machine::shared();
    let mut demo = machine.target("demo", "120");
    demo.hear();
    let arguments = format!("-s exact -p {} --format json --sort growth -T 1000 --duration 10s", demo.pid());
    let report = machine.leaktrace(&arguments).wait().last_report();
    let stacks = stacks(&report);
    let mut fastest: Vec<&str> = stacks.iter().take(3).map(first_function).collect();
    fastest.sort_unstable();
    assert_eq!(fastest, LEAKS, "{stacks:#?}");
    for stack in &stacks[..3] {
        let verdict = stack["verdict"].as_str().expect("a verdict");
        assert!(["leak", "growing"].contains(&verdict) && figure(stack, "bytes_per_s") > 0.0, "{stack:#}");
    }
    let cache = stacks.iter().find(|stack| first_function(stack) == "cache_page").expect("pages are held");
    assert_ne!(cache["verdict"], "leak", "{cache:#}");
    assert_eq!(report["loss"]["complete"], true);
}

/// Traces the demo as distributions compile, without frame pointers, for a moment. Gives the report.
fn report_on_compact_demo(machine: &Machine, arguments: &str) -> Value {
    let mut demo = machine.target("demo-nofp", "120");
    demo.hear();
    let arguments = format!("-s exact -p {} --format json -T 1000 --duration 2s {arguments}", demo.pid());
    machine.leaktrace(&arguments).wait().last_report()
}

#[test]
fn the_demos_leaks_are_told_call_by_call_without_frame_pointers() {
    let of_page = ["render_page", "handle_page", "answer_request"];
    let of_login = ["open_session", "handle_login", "answer_request"];
    let from_thread = ["handle_request", "serve_connections", "worker_main"];
    let paths = [
        [&["cache_thumbnail", "load_image"], &of_page[..], &from_thread].concat(),
        [&["remember_session"], &of_login[..], &from_thread].concat(),
        [&["append_audit_line", "write_audit", "answer_request"][..], &from_thread].concat(),
    ];
    let report = report_on_compact_demo(&Machine::shared(), "");
    assert_eq!(report["mode"]["unwind"], "dwarf");
    for path in paths {
        let leaks: Vec<&Value> = stacks(&report).iter().filter(|stack| first_function(stack) == path[0]).collect();
        assert!(!leaks.is_empty(), "{} leaks", path[0]);
        for stack in leaks {
            let functions = called_functions(stack);
            // Below are the C library's two, which begin a thread. It need not name them.
            assert_eq!((&functions[..functions.len() - 2], &stack["complete"]), (&path[..], &true.into()), "{stack:#}");
        }
    }
}

#[test]
fn stacks_by_frame_pointers_are_short_where_there_are_none_and_the_report_says_so() {
    let machine = Machine::shared();
    let by_pointers = report_on_compact_demo(&machine, "--unwind fp");
    assert_eq!(by_pointers["mode"]["unwind"], "fp");
    let by_tables = report_on_compact_demo(&machine, "--unwind auto");
    assert_eq!(by_tables["mode"]["unwind"], "dwarf");
    let (few, all) = (whole_share(&by_pointers), whole_share(&by_tables));
    assert!(few < 0.5 && all > 0.99, "whole are {few} by frame pointers and {all} otherwise");
    let longest = |report: &Value| stacks(report).iter().map(|stack| called_functions(stack).len()).max();
    assert!(longest(&by_pointers) < longest(&by_tables), "{by_pointers:#}");
    assert!(stacks(&by_pointers).iter().any(|stack| stack["complete"] == false));
}
