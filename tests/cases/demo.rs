//! The bundled demo, as its user sees it: three leaks, found and told from a healthy cache.

use crate::harness::{Machine, figure, first_function, stacks};

const LEAKS: [&str; 3] = ["append_audit_line", "cache_thumbnail", "remember_session"];

#[test]
fn the_demos_three_leaks_are_found_and_its_healthy_cache_is_not_called_one() {
    let machine = Machine::shared();
    let mut demo = machine.target("demo", "120");
    demo.hear();
    let arguments = format!("-p {} --format json --sort growth -T 1000 --duration 10s", demo.pid());
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
