//! What a comparison says.

use super::*;
use crate::{
    offline::tests::{QUICK, Random, golden, made_up, plain},
    report::{Style, sample::frame},
    session::{
        Point,
        sample::{hostile, redis},
    },
    text::{columns, is_hostile},
};

/// The sample as another process of another build.
fn next() -> View {
    let mut view = redis();
    for snapshot in &mut view.snapshots {
        snapshot.report.processes[0].start_time = "2025-11-22T00:00:00Z".to_owned();
        snapshot.report.time = snapshot.report.time.replace("11-21", "11-22");
    }
    for stack in &mut view.stacks {
        for frame in &mut stack.frames {
            frame.build_id = frame.build_id.as_ref().map(|_| "77aa".into());
            frame.offset += 0x100;
            frame.line = frame.line.map(|line| line + 3);
        }
    }
    view
}

/// The next one after somebody has worked on it: one leak less, one more, a larger cache.
fn worked_on() -> View {
    let mut view = next();
    view.stacks[0].points.iter_mut().for_each(|point| *point = Point { freed_bytes: 1 << 20, ..Point::default() });
    view.stacks[0].judgement.verdict = Verdict::Churn;
    view.stacks[0].judgement.bytes_per_s = 0.0;
    view.stacks[1].points.iter_mut().for_each(|point| point.outstanding_bytes *= 2);
    view.stacks[4].frames = vec![frame("subscribe", "src/pubsub.c", 9), frame("main", "src/server.c", 1)];
    for frame in &mut view.stacks[4].frames {
        frame.build_id = Some("77aa".into());
    }
    view.stacks[4].points.iter_mut().enumerate().for_each(|(n, point)| point.outstanding_bytes = n as u64 * 90_000);
    view.stacks[4].judgement.verdict = Verdict::Leak;
    view.stacks[4].judgement.bytes_per_s = 3000.0;
    view
}

/// As if tracing had ended after so many snapshots.
fn until(mut view: View, snapshots: usize) -> View {
    view.snapshots.truncate(snapshots);
    view.stacks.iter_mut().for_each(|stack| stack.points.truncate(snapshots));
    view
}

fn written(diff: &Diff, width: u16, colour: bool) -> String {
    let mut out = Vec::new();
    diff.write(Style { width, colour }, 20, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn of<'diff>(diff: &'diff Diff, function: &str) -> &'diff StackDiff {
    let named = |frame: &Frame| frame.function.as_deref() == Some(function);
    diff.stacks.iter().find(|stack| stack.frames.iter().any(named)).unwrap()
}

#[test]
fn another_build_of_the_same_is_the_same() {
    let diff = diff(&redis(), &next()).unwrap();
    assert!(diff.stacks.iter().all(|stack| stack.change == Change::Same), "{diff:?}");
    assert_eq!(diff.summary, "Nothing got worse, is new or was fixed in 5 stacks.");
    assert!(!diff.one_trace && diff.carried_on.is_none());
}

#[test]
fn what_is_new_worse_and_fixed_is_said_in_one_sentence() {
    let diff = diff(&redis(), &worked_on()).unwrap();
    assert_eq!(of(&diff, "_sdsnewlen").change, Change::Better);
    assert_eq!(of(&diff, "cacheAdd").change, Change::Worse);
    assert_eq!(of(&diff, "subscribe").change, Change::New);
    assert_eq!(of(&diff, "remember").change, Change::Same);
    assert_eq!(
        diff.summary,
        "1 stack got worse (+32.0 MiB, cacheAdd), 1 stack is new (+5.1 MiB, subscribe), 1 stack was fixed \
         (-174.0 MiB, _sdsnewlen) and 1 stack is smaller or gone (-96 B)."
    );
}

#[test]
fn a_stack_that_is_not_there_any_more_is_gone() {
    let mut after = next();
    after.stacks.remove(0);
    let diff = diff(&redis(), &after).unwrap();
    assert_eq!(of(&diff, "_sdsnewlen").change, Change::Gone);
    assert!(diff.summary.starts_with("1 stack was fixed (-174.0 MiB, _sdsnewlen)"), "{}", diff.summary);
}

#[test]
fn a_leak_that_goes_on_as_before_is_the_same_however_long_each_was_watched() {
    for (before, after, shorter) in [(21, 61, Shorter::Before), (61, 21, Shorter::After)] {
        let diff = diff(&until(redis(), before), &until(next(), after)).unwrap();
        assert_eq!(diff.carried_on, Some(shorter));
        for function in ["_sdsnewlen", "cacheAdd", "remember"] {
            assert_eq!(of(&diff, function).change, Change::Same, "{function}");
        }
        assert!(written(&diff, 200, false).contains("is carried on at its rate to 30 m 00 s"));
    }
}

#[test]
fn two_moments_of_one_trace_are_compared_as_they_are() {
    let diff = diff(&until(redis(), 31), &redis()).unwrap();
    assert!(diff.one_trace && diff.carried_on.is_none());
    assert_eq!(of(&diff, "_sdsnewlen").change, Change::Worse);
    assert_eq!(of(&diff, "_sdsnewlen").difference_bytes, 30 * 30 * 101_376);
    assert_eq!(of(&diff, "cacheAdd").change, Change::Same);
}

#[test]
fn equal_stacks_count_as_one() {
    let mut after = next();
    let mut twin = after.stacks[0].clone();
    twin.frames[0].line = Some(7);
    after.stacks.push(twin);
    let diff = diff(&redis(), &after).unwrap();
    let stack = of(&diff, "_sdsnewlen");
    let after = stack.after.as_ref().unwrap();
    assert_eq!((after.stacks, after.held_bytes), (2, 2 * stack.before.as_ref().unwrap().held_bytes));
    assert_eq!(stack.change, Change::Worse);
}

#[test]
fn a_nameless_frame_counts_by_its_place_in_one_build_only() {
    let moved = |mut view: View| {
        view.stacks[3].frames[0].offset += 64;
        view.stacks.push(redis().stacks[3].clone());
        view
    };
    let nameless = |diff: &Diff| {
        diff.stacks.iter().filter(|stack| stack.frames.first().is_some_and(|frame| frame.function.is_none())).count()
    };
    assert_eq!(nameless(&diff(&redis(), &moved(redis())).unwrap()), 2);
    assert_eq!(nameless(&diff(&redis(), &next()).unwrap()), 1);
}

#[test]
fn a_program_may_be_renamed() {
    let mut after = next();
    for snapshot in &mut after.snapshots {
        snapshot.report.processes[0].exe = "/opt/redis-new".to_owned();
    }
    for frame in after.stacks.iter_mut().flat_map(|stack| &mut stack.frames) {
        if frame.module.as_deref() == Some("redis-server") {
            frame.module = Some("redis-new".into());
        }
    }
    assert!(diff(&redis(), &after).unwrap().stacks.iter().all(|stack| stack.change == Change::Same));
}

#[test]
fn what_has_nothing_in_common_is_not_compared() {
    let mut after = next();
    after.stacks.pop();
    for frame in after.stacks.iter_mut().flat_map(|stack| &mut stack.frames) {
        frame.function = Some("other".to_owned());
    }
    after.snapshots[60].report.processes[0].exe = "/bin/other\x1b".to_owned();
    let error = diff(&redis(), &after).unwrap_err().to_string();
    assert_eq!(
        error,
        "/usr/local/bin/redis-server and /bin/other\\x1b have no stack in common: compare two traces of one program"
    );
}

#[test]
fn a_program_that_held_nothing_is_compared() {
    let mut nothing = next();
    nothing.stacks.clear();
    let is_left =
        |diff: Diff, change| diff.stacks.iter().all(|stack| stack.change == change || stack.change == Change::Same);
    assert!(diff(&redis(), &nothing).is_ok_and(|diff| is_left(diff, Change::Gone)));
    assert!(diff(&nothing, &redis()).is_ok_and(|diff| is_left(diff, Change::New)));
    let mut first = until(redis(), 1);
    first.stacks.clear();
    assert!(diff(&first, &redis()).is_ok_and(|diff| is_left(diff, Change::New)));
}

#[test]
fn differences_add_up() {
    for seed in 0..30 {
        let (mut before, mut after) = (made_up(seed, 40), made_up(seed + 1, 30));
        let mut random = Random(seed);
        before = until(before, 1 + random.below(120) as usize);
        after.stacks.extend(before.stacks[..10].iter().cloned());
        let Ok(diff) = diff(&before, &after) else { continue };
        let sum: i64 = diff.stacks.iter().map(|stack| stack.difference_bytes).sum();
        assert_eq!(sum, diff.after.compared_bytes as i64 - diff.before.compared_bytes as i64);
        let held = |view: &View| view.stacks.iter().map(|stack| stack.last().held_bytes()).sum::<u64>();
        assert_eq!((diff.before.held_bytes, diff.after.held_bytes), (held(&before), held(&after)));
    }
}

#[test]
fn the_page_looks_as_it_did() {
    let diff = diff(&redis(), &worked_on()).unwrap();
    for width in [80, 160] {
        golden("diff/golden", &width.to_string(), &written(&diff, width, false));
    }
    assert_eq!(plain(&written(&diff, 100, true)), written(&diff, 100, false));
}

#[test]
fn every_line_fits_and_no_name_does_harm() {
    let mut after = hostile();
    after.stacks[0].points[60].outstanding_bytes = 0;
    after.stacks[1].points[60].outstanding_bytes *= 9;
    for diff in [diff(&redis(), &worked_on()).unwrap(), diff(&until(hostile(), 30), &after).unwrap()] {
        for width in (60..=160).step_by(4) {
            for line in written(&diff, width, false).lines() {
                assert!(columns(line) <= width.into() && !line.contains(is_hostile), "{width}: {line}");
            }
        }
    }
}

#[test]
fn as_json_it_says_all() {
    let json = serde_json::to_value(diff(&redis(), &worked_on()).unwrap()).unwrap();
    assert_eq!((&json["schema"], &json["stacks"][0]["change"]), (&"leaktrace.diff/1".into(), &"better".into()));
    assert_eq!(json["stacks"][0]["after"]["verdict"], "churn");
}

#[test]
fn many_stacks_are_quickly_compared() {
    let (before, after) = (made_up(1, 5_000), made_up(2, 5_000));
    let start = std::time::Instant::now();
    written(&diff(&before, &after).unwrap(), 80, false);
    assert!(start.elapsed() < QUICK, "{:?}", start.elapsed());
}
