use serde_json::Value;

use super::*;
use crate::session::sample;

fn written(view: &View) -> String {
    let mut out = Vec::new();
    write(view, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_reader_gets_back_what_the_view_has() {
    let view = sample::redis();
    let read: Value = serde_json::from_str(&written(&view)).unwrap();
    let stack = &read["stacks"][0];
    let bytes: i64 = stack["b"].as_array().unwrap().iter().map(|step| step.as_i64().unwrap()).sum();
    assert_eq!(bytes as u64, view.stacks[0].last().held_bytes());
    let frame = &read["frames"][stack["f"][1].as_u64().unwrap() as usize];
    let name = |at: usize| read["names"][frame[at].as_u64().unwrap() as usize].as_str().unwrap();
    assert_eq!((name(0), name(1), name(3)), ("zmalloc_usable", "/build/redis-7.2/src/zmalloc.c", "redis-server"));
    assert_eq!((&frame[2], &frame[4]), (&134.into(), &1.into()));
    assert_eq!(read["snapshots"][10]["label"], "warm");
    assert_eq!(read["limit"], 512 << 20);
}

#[test]
fn nothing_in_it_can_end_the_element_it_stands_in() {
    let text = written(&sample::hostile());
    assert!(!text.contains(['<', '>', '&']) && !text.contains(crate::text::is_hostile));
    let read: Value = serde_json::from_str(&text).unwrap();
    assert!(read["snapshots"][0]["label"].as_str().unwrap().starts_with("<script>alert(1)</script>\"'&</style>\\x1b]"));
}

#[test]
fn a_figure_that_is_no_number_is_written_as_one() {
    let mut view = sample::redis();
    view.stacks[0].judgement.bytes_per_s = f64::NAN;
    view.stacks[0].oldest_s = f64::INFINITY;
    let read: Value = serde_json::from_str(&written(&view)).unwrap();
    assert_eq!((&read["stacks"][0]["rate"], &read["stacks"][0]["oldest"]), (&0.0.into(), &0.0.into()));
}

#[test]
fn of_too_many_stacks_the_lightest_are_left_out_and_counted() {
    let mut view = sample::redis();
    let light = view.stacks[4].clone();
    view.stacks.splice(0..0, std::iter::repeat_n(light, MOST_STACKS));
    let read: Value = serde_json::from_str(&written(&view)).unwrap();
    assert_eq!(read["stacks"].as_array().unwrap().len(), MOST_STACKS);
    // The churn, which holds nothing now, and four of the light ones.
    assert_eq!(read["left_out"], serde_json::json!([5, 4 * 96]));
}

#[test]
fn cgroups_that_may_lie_in_each_other_are_not_summed() {
    let mut view = sample::redis();
    let mut other = view.snapshots[60].memory[0].clone();
    other.cgroup.as_mut().unwrap().path.push_str("/worker");
    view.snapshots[60].memory.push(other);
    let read: Value = serde_json::from_str(&written(&view)).unwrap();
    assert!(read["memory"]["cgroup"][60].is_null() && read["memory"]["cgroup"][59].is_u64());
    assert!(read["limit"].is_null());
}
