//! A made-up part of a session that the tests of every form share.

use super::{Cgroup, Memory, Point, SizeClass, Snapshot, StackView, View};
use crate::{
    growth::{Judgement, Verdict},
    ledger::{AGE_PARTS, Ages},
    report::{Frame, Report, sample},
};

/// Snapshots in it.
const SNAPSHOTS: u32 = 61;

/// A redis server over half an hour: one stack that leaks, one that grows, a cache that is full, churn and a newcomer.
pub fn redis() -> View {
    let report = sample::redis();
    let stack = |frames: Vec<Frame>, verdict, rate: f64, held: &dyn Fn(u64) -> u64, freed: u64| {
        let points = (0..u64::from(SNAPSHOTS)).map(|step| point(held(step), freed * step)).collect::<Vec<_>>();
        let mut ages = Ages::default();
        let total = points.last().map_or(0, Point::held_bytes);
        for part in &mut ages.0[3..9] {
            *part = total / 6;
        }
        let mut lifetimes = Ages::default();
        lifetimes.0[1] = freed * u64::from(SNAPSHOTS - 1);
        let why = match verdict {
            Verdict::Leak => "grew in 60 of 60 intervals; nothing older than 30 s was ever freed",
            Verdict::Plateau => "has not grown for 25 min",
            _ => "comes and goes",
        };
        StackView {
            id: format!("{:016x}", total ^ freed << 40 | 0x9f3c_0000_0000_0000),
            pid: 4242,
            complete: true,
            frames,
            points,
            ages,
            lifetimes,
            oldest_s: 1795.0,
            judgement: Judgement { verdict, confidence: 0.97, bytes_per_s: rate, why: why.to_owned() },
        }
    };
    let deep = report.stacks[0].frames.clone();
    let named = |names: &[&str]| names.iter().map(|name| sample::frame(name, "src/db.c", 42)).collect::<Vec<_>>();
    let mut unnamed = Frame { function: None, file: None, line: None, ..sample::frame("", "", 0) };
    unnamed.offset = 0x4_2000;
    let stacks = vec![
        stack(deep, Verdict::Leak, 101_376.0, &|step| step * 30 * 101_376, 0),
        stack(named(&["cacheAdd", "lookup", "main"]), Verdict::Plateau, 0.0, &|step| step.min(8) << 22, 1000),
        stack(named(&["remember", "lookup", "main"]), Verdict::Growing, 1843.0, &|step| step * 30 * 1843, 100_000),
        stack(vec![unnamed], Verdict::Churn, 0.0, &|step| step % 3 * 4096, 1 << 20),
        stack(Vec::new(), Verdict::New, 0.0, &|step| if step == 60 { 96 } else { 0 }, 0),
    ];
    View {
        snapshots: (0..SNAPSHOTS).map(|step| snapshot(&report, step)).collect(),
        snapshots_recorded: SNAPSHOTS as usize,
        stacks,
        sizes: (4..12)
            .map(|power| SizeClass {
                from_bytes: 1 << power,
                allocated_count: 1 << (20 - power),
                allocated_bytes: 3 << 19,
                held_count: 1 << (16 - power),
                held_bytes: 3 << 15,
            })
            .collect(),
    }
}

fn point(held: u64, freed: u64) -> Point {
    Point {
        outstanding_bytes: held,
        outstanding_count: held / 640,
        freed_bytes: freed,
        freed_count: freed / 100,
        ..Point::default()
    }
}

fn snapshot(report: &Report, step: u32) -> Snapshot {
    let mut report = report.clone();
    report.stacks = Vec::new();
    report.elapsed_s = f64::from(step) * 30.0;
    report.time = format!("2025-11-21T03:{:02}:{:02}Z", 12 + step / 2, step % 2 * 30);
    report.label = match step {
        10 => Some("warm".to_owned()),
        40 => Some("after the <b>deploy</b>".to_owned()),
        _ => None,
    };
    report.processes[0].rss_bytes = 47_395_635 + u64::from(step) * 3_300_000;
    report.totals.outstanding_bytes = u64::from(step) * 3_100_000;
    Snapshot {
        number: step + 1,
        memory: vec![Memory {
            pid: 4242,
            rss_bytes: report.processes[0].rss_bytes,
            pss_bytes: Some(report.processes[0].rss_bytes - 1_000_000),
            swap_bytes: Some(0),
            cgroup: Some(Cgroup {
                path: "/system.slice/redis.service".to_owned(),
                bytes: report.processes[0].rss_bytes + 5_000_000,
                limit_bytes: Some(512 << 20),
            }),
            system_available_bytes: Some(4 << 30),
        }],
        report,
    }
}

/// The same, with every name that the target chose made to take over a terminal or a page.
pub fn hostile() -> View {
    let mut view = redis();
    let evil = "<script>alert(1)</script>\"'&</style>\x1b]0;x\x07\r\n\u{9b}2J\u{202e}\u{2028}`${x}";
    for stack in &mut view.stacks {
        for frame in &mut stack.frames {
            frame.function = frame.function.as_ref().map(|name| format!("{evil}{name}"));
            frame.file = Some(evil.to_owned());
            frame.module = Some(evil.into());
        }
    }
    view.stacks[1].frames[0].function = Some("x".repeat(1 << 20));
    for snapshot in &mut view.snapshots {
        snapshot.report.label = Some(evil.to_owned());
        snapshot.report.processes[0].comm = evil.to_owned();
        snapshot.report.processes[0].exe = evil.to_owned();
        if let Some(cgroup) = &mut snapshot.memory[0].cgroup {
            cgroup.path = evil.to_owned();
        }
    }
    view
}

#[test]
fn it_is_whole() {
    let view = redis();
    assert_eq!(view.snapshots.len(), SNAPSHOTS as usize);
    assert!(view.stacks.iter().all(|stack| stack.points.len() == view.snapshots.len()));
    assert_eq!(view.stacks[0].ages.0.len(), AGE_PARTS);
    assert!(view.seconds() > 1799.0 && view.stacks[0].growth_bytes() > 0);
    assert!(hostile().stacks[0].frames[0].function.as_ref().is_some_and(|name| name.contains("<script>")));
}
