use super::*;
use crate::session::sample;

fn drawn(view: &View, weight: Weight) -> String {
    let mut out = Vec::new();
    svg(view, weight, "leaktrace: redis-server", &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The lines that the drawing is made of.
fn lines(view: &View, weight: Weight) -> Vec<String> {
    Drawn::of(view, weight).unwrap().lines
}

#[test]
fn a_line_runs_from_the_outermost_function_to_the_allocators_caller() {
    let lines = lines(&sample::redis(), Weight::Outstanding);
    assert!(lines[0].starts_with("_start;__libc_start_main;main;"), "{}", lines[0]);
    // The inlined one has a frame of its own.
    assert!(lines[0].ends_with(";_sdsnewlen;zmalloc_usable;je_malloc 182476800"), "{}", lines[0]);
}

#[test]
fn a_function_without_name_is_its_place() {
    let lines = lines(&sample::redis(), Weight::Allocated);
    assert!(lines.iter().any(|line| line.starts_with("redis-server+0x42000 ")), "{lines:?}");
}

#[test]
fn several_processes_are_the_roots() {
    let mut view = sample::redis();
    let mut other = view.snapshots[60].report.processes[0].clone();
    (other.pid, other.comm) = (4243, "worker".to_owned());
    view.snapshots[60].report.processes.push(other);
    view.stacks[1].pid = 4243;
    let lines = lines(&view, Weight::Outstanding);
    assert!(lines[0].starts_with("redis-server;_start;") && lines[1].starts_with("worker;main;"), "{lines:?}");
}

#[test]
fn each_weight_is_another_picture() {
    let view = sample::redis();
    let [held, grown, allocated] = Weight::ALL.map(|weight| drawn(&view, weight));
    assert!(held.contains("held 30 m 00 s after attach"));
    assert!(grown.contains("held more than at first, from 0 s to 30 m 00 s"));
    assert!(allocated.contains("allocated from 0 s to 30 m 00 s"));
    for picture in [held, grown, allocated] {
        assert!(picture.contains("KiB, ") && picture.contains("<title>cacheAdd ("), "{picture}");
    }
}

#[test]
fn what_shrank_is_left_out_and_said() {
    let mut view = sample::redis();
    view.stacks[1].points.reverse();
    let picture = drawn(&view, Weight::Growth);
    assert!(picture.contains("left out: 1 stack that shrank by 32.0 MiB"));
    assert!(!picture.contains("cacheAdd"));
    assert!(drawn(&view, Weight::Allocated).contains("lookup"));
}

#[test]
fn nothing_to_draw_is_a_picture_that_says_so() {
    let mut view = sample::redis();
    view.stacks.clear();
    for weight in Weight::ALL {
        let mut out = Vec::new();
        svg(&view, weight, "</text><script>alert(1)</script>&\x1b", &mut out).unwrap();
        let picture = String::from_utf8(out).unwrap();
        assert!(picture.contains("Nothing to draw: 0 B in 0 stacks") && picture.ends_with("</svg>"), "{picture}");
        assert!(!picture.contains("<script") && !picture.contains('\x1b'), "{picture}");
    }
}

#[test]
fn a_hostile_name_is_text_and_no_longer_than_others() {
    for weight in Weight::ALL {
        let picture = drawn(&sample::hostile(), weight);
        assert_eq!(picture.matches("<script").count(), 1, "only the one that zooms");
        assert!(!picture.contains(|c: char| c != '\n' && c != '\t' && crate::text::is_hostile(c)));
        assert!(!picture.contains(&"x".repeat(600)) && picture.contains("&lt;script&gt;alert(1)"));
    }
}

#[test]
fn a_name_adds_no_frame_and_no_figure() {
    let mut view = sample::redis();
    view.stacks.truncate(1);
    view.stacks[0].frames.truncate(2);
    view.stacks[0].frames[0].function = Some("f; g 12".to_owned());
    view.stacks[0].frames[1].function = Some("]]></script>\n\"'".to_owned());
    let picture = drawn(&view, Weight::Outstanding);
    assert!(picture.contains("<title>f: g_12 (178,200 KiB, 100.00%)</title>"), "{picture}");
    assert_eq!(picture.matches("</script>").count(), 1);
}

#[test]
fn functions_of_a_module_share_a_colour_and_differ_from_others() {
    let named = |name: &str, module: &str, bytes| (name.to_owned(), Some(module.to_owned()), bytes);
    let colours = colours::by_module(&[named("a", "app", 5), named("b", "lib", 9), named("c", "app", 1)]);
    assert_eq!(colours.get("a"), colours.get("c"));
    assert_ne!(colours.get("a"), colours.get("b"));
}

#[test]
fn sums_beyond_all_measure_are_drawn() {
    let mut view = sample::redis();
    for stack in &mut view.stacks {
        for point in &mut stack.points {
            point.outstanding_bytes = u64::MAX / 4;
        }
    }
    assert!(drawn(&view, Weight::Outstanding).contains("MiB"));
}
