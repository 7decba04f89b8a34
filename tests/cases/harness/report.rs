//! Reading a JSON report.

use serde_json::Value;

/// The stacks of a report.
pub fn stacks(report: &Value) -> &[Value] {
    report["stacks"].as_array().expect("stacks")
}

/// A whole number.
pub fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} is no whole number in {value}"))
}

/// A number.
pub fn figure(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} is no number in {value}"))
}

/// The functions of a stack, innermost first, by their bare names; nothing for frames without.
pub fn functions(stack: &Value) -> Vec<&str> {
    let frames = stack["frames"].as_array().expect("frames");
    frames.iter().filter_map(|frame| frame["function"].as_str()).map(bare).collect()
}

/// The functions that have frames of their own, without those that were inlined into them.
pub fn called_functions(stack: &Value) -> Vec<&str> {
    let frames = stack["frames"].as_array().expect("frames").iter();
    let called = frames.filter(|frame| frame["inlined"] == false);
    called.map(|frame| frame["function"].as_str().map_or("", bare)).collect()
}

/// The share of walks that came to the bottom of their stack, 0 to 1.
pub fn whole_share(report: &Value) -> f64 {
    let ends = report["walks"].as_object().expect("how walks ended");
    let all: u64 = ends.keys().map(|end| number(&report["walks"], end)).sum();
    assert!(all > 0, "stacks were walked");
    number(&report["walks"], "whole") as f64 / all as f64
}

/// The function that called the allocator.
pub fn first_function(stack: &Value) -> &str {
    stack["frames"][0]["function"].as_str().map_or("", bare)
}

/// A name without path, arguments and hash: `leak::work::h0123456789abcdef` and `work(unsigned int)` are `work`.
fn bare(function: &str) -> &str {
    let name = function.split(['(', '<']).next().unwrap_or(function);
    let name = match name.rsplit_once("::") {
        Some((head, hash)) if hash.len() == 17 && hash.starts_with('h') => head,
        _ => name,
    };
    name.rsplit("::").next().unwrap_or(name)
}
