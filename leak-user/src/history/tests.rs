//! What a history says.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use super::*;
use crate::{
    growth::Verdict,
    notice::Notices,
    offline::tests::{QUICK, golden, made_up, plain},
    report::{Outlook, Style, sample::frame},
    session::{
        Head, Point, Recorder, View,
        sample::{hostile, redis},
    },
    text::{columns, is_hostile},
};

/// A session of this view.
fn kept(view: &View) -> Kept {
    let last = view.last();
    let head = Head { report: last.report.clone(), memory: last.memory.clone(), sizes: Vec::new() };
    let day = last.report.time.get(..10).unwrap_or_default().to_owned();
    Kept::of(PathBuf::from(format!("/var/lib/leaktrace/redis-{day}.leak")), 3 << 20, head).unwrap()
}

/// The sample as another process of the same build, so many days later.
fn later(days: u32) -> View {
    let mut view = redis();
    let day = format!("11-{}", 21 + days);
    for snapshot in &mut view.snapshots {
        snapshot.memory[0].pid += days;
        let report = &mut snapshot.report;
        report.time = report.time.replace("11-21", &day);
        report.processes[0].pid += days;
        report.processes[0].start_time = format!("2025-{day}T00:00:00Z");
    }
    for stack in &mut view.stacks {
        stack.pid += days;
    }
    view
}

/// The same of another build.
fn rebuilt(mut view: View) -> View {
    for frame in view.stacks.iter_mut().flat_map(|stack| &mut stack.frames) {
        frame.build_id = frame.build_id.as_ref().map(|_| "77aa00112233".into());
        frame.offset += 0x100;
        frame.line = frame.line.map(|line| line + 3);
    }
    view
}

/// The same with its leak fixed.
fn fixed(mut view: View) -> View {
    let leak = &mut view.stacks[0];
    leak.points.iter_mut().for_each(|point| *point = Point { freed_bytes: 1 << 20, ..Point::default() });
    (leak.judgement.verdict, leak.judgement.bytes_per_s) = (Verdict::Churn, 0.0);
    view
}

/// The same with a leak that was not there.
fn with_new_leak(mut view: View) -> View {
    let stack = &mut view.stacks[4];
    stack.frames = vec![frame("subscribe", "src/pubsub.c", 9), frame("main", "src/server.c", 1)];
    stack.points.iter_mut().enumerate().for_each(|(n, point)| point.outstanding_bytes = n as u64 * 90_000);
    (stack.judgement.verdict, stack.judgement.bytes_per_s) = (Verdict::Leak, 3000.0);
    view
}

fn watched(mut view: View, seconds: f64, sample_bytes: u64) -> View {
    for snapshot in &mut view.snapshots {
        snapshot.report.processes[0].watched_s = seconds;
        snapshot.report.processes[0].sample_bytes = sample_bytes;
    }
    view
}

fn story(views: impl IntoIterator<Item = View>) -> Story {
    Story::of("redis-server", views.into_iter().map(|view| (kept(&view), view)))
}

fn of<'story>(story: &'story Story, function: &str) -> &'story Leak {
    let named = |leak: &&Leak| leak.frames.iter().any(|frame| frame.function.as_deref() == Some(function));
    story.leaks.iter().find(named).unwrap_or_else(|| panic!("{function}: {:?}", story.leaks))
}

fn written(story: &Story, width: u16, colour: bool) -> String {
    let mut out = Vec::new();
    story.write(Style { width, colour }, 20, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A leak in two builds, which the third has no more; in its place there is another.
fn fixed_in_the_third() -> Story {
    story([later(0), rebuilt(later(1)), rebuilt(with_new_leak(fixed(later(2))))])
}

#[test]
fn what_is_fixed_new_and_the_same_is_told_with_days_and_builds() {
    let story = fixed_in_the_third();
    let leak = of(&story, "_sdsnewlen");
    assert_eq!((leak.state, leak.verdict), (State::Fixed, Verdict::Leak));
    assert_eq!((&leak.first.time[..10], &leak.last.time[..10]), ("2025-11-21", "2025-11-22"));
    let builds = (leak.first.build_id.as_deref(), leak.last.build_id.as_deref());
    assert_eq!(builds, (Some("3b1f"), Some("77aa00112233")));
    assert_eq!((leak.sessions, leak.of_sessions, leak.bytes_per_s), (2, 3, 0.0));
    assert_eq!(of(&story, "subscribe").state, State::New);
    let same = of(&story, "remember");
    assert_eq!((same.state, same.verdict, same.sessions), (State::Same, Verdict::Growing, 3));
    let order: Vec<_> = story.leaks.iter().map(|leak| leak.state).collect();
    assert_eq!(order, [State::New, State::Same, State::Fixed]);
    let changed: Vec<_> = story.sessions.iter().map(|session| session.is_other_build).collect();
    assert_eq!(changed, [false, true, false]);
    assert_eq!(story.sessions[0].since_last, None);
    assert!(story.sessions[1].since_last.as_ref().is_some_and(|since| since.starts_with("Nothing got worse")));
    let said = &story.overall[0].summary;
    assert!(said.contains("1 stack is new (+5.1 MiB, subscribe)") && said.contains("1 stack was fixed"), "{said}");
}

#[test]
fn a_leak_is_held_against_its_first_rate() {
    for (factor, state) in [(2.0, State::Worse), (1.3, State::Same), (0.5, State::Better)] {
        let mut last = later(2);
        last.stacks[0].judgement.bytes_per_s *= factor;
        assert_eq!(of(&story([later(0), later(1), last]), "_sdsnewlen").state, state, "{factor}");
    }
}

#[test]
fn a_single_session_has_leaks_that_are_new_and_nothing_to_compare() {
    let story = story([later(0)]);
    assert!(story.leaks.len() == 2 && story.leaks.iter().all(|leak| leak.state == State::New));
    assert!(story.overall.is_empty());
}

#[test]
fn a_session_that_is_too_short_or_too_coarse_fixes_nothing() {
    let after = |seconds, sample_bytes| {
        let last = watched(fixed(later(1)), seconds, sample_bytes);
        of(&story([watched(later(0), 120.0, 1), last]), "_sdsnewlen").state
    };
    assert_eq!(after(120.0, 1), State::Fixed);
    assert_eq!(after(100.0, 1), State::Fixed, "almost as long");
    assert_eq!(after(30.0, 1), State::New, "too short");
    assert_eq!(after(120.0, 512 << 10), State::Fixed, "23 samples would have come");
    assert_eq!(after(120.0, 8 << 20), State::New, "two samples would have come");
}

#[test]
fn what_is_too_young_to_judge_is_not_fixed() {
    let mut last = later(1);
    last.stacks[0].judgement.verdict = Verdict::New;
    assert_eq!(of(&story([later(0), last]), "_sdsnewlen").state, State::New);
}

#[test]
fn what_grew_and_came_to_rest_is_better_and_fixed_once_it_is_gone() {
    let resting = |days| {
        let mut view = later(days);
        view.stacks[2].judgement.verdict = Verdict::Plateau;
        view
    };
    assert_eq!(of(&story([later(0), resting(1)]), "remember").state, State::Better);
    let mut gone = later(1);
    gone.stacks.remove(2);
    assert_eq!(of(&story([later(0), gone]), "remember").state, State::Fixed);
}

#[test]
fn a_leak_that_comes_back_is_worse() {
    let story = story([later(0), fixed(later(1)), later(2)]);
    let leak = of(&story, "_sdsnewlen");
    assert_eq!((leak.state, leak.sessions, leak.of_sessions), (State::Worse, 2, 3));
    assert!(leak.bytes_per_s > 0.0);
}

#[test]
fn programs_of_one_service_are_told_apart() {
    let of_program = |mut view: View, exe: &str| {
        for snapshot in &mut view.snapshots {
            snapshot.report.processes[0].exe = exe.to_owned();
        }
        view
    };
    let story = story([
        of_program(later(0), "/usr/bin/server"),
        of_program(fixed(later(1)), "/usr/bin/helper"),
        of_program(later(2), "/opt/new/server (deleted)"),
    ]);
    let since: Vec<_> = story.sessions.iter().map(|session| session.since_last.is_some()).collect();
    assert_eq!(since, [false, false, true]);
    let leak = of(&story, "_sdsnewlen");
    assert_eq!((leak.state, leak.program.as_str(), leak.of_sessions), (State::Same, "server", 2));
}

#[test]
fn a_session_is_of_its_unit_and_its_program() {
    let mut session = kept(&redis());
    assert_eq!(session.service(), "redis.service", "by the group that limits it, where no other is recorded");
    session.cgroup = Some("/system.slice/system-redis.slice/redis@1.service/part".to_owned());
    assert_eq!(session.service(), "redis@1.service");
    for name in ["redis@1", "redis@1.service", "redis-server", "/usr/local/bin/redis-server"] {
        assert!(session.is_of(name), "{name}");
    }
    for name in ["redis", "server", "", "redis.service"] {
        assert!(!session.is_of(name), "{name}");
    }
    session.cgroup = Some("/user.slice/session-3.scope".to_owned());
    assert_eq!(session.service(), "redis-server");
}

fn services() -> Services {
    let mut sessions: Vec<Kept> = (0..3).map(|days| kept(&later(days))).collect();
    sessions[1].cgroup = Some("/".to_owned());
    Services::of(&sessions, |session| {
        let leaking = if session.process.pid == sessions[2].process.pid { 2 } else { 0 };
        Outlook { leaking, judged: 5, ..Outlook::default() }
    })
}

#[test]
fn services_are_told_with_the_latest_first() {
    let services = services().services;
    let [unit, program] = services.as_slice() else { panic!("{services:?}") };
    assert_eq!((unit.name.as_str(), unit.sessions, unit.bytes), ("redis.service", 2, 6 << 20));
    assert_eq!((&unit.first_time[..10], &unit.last_time[..10]), ("2025-11-21", "2025-11-23"));
    assert_eq!((unit.outlook.leaking, program.name.as_str()), (2, "redis-server"));
}

#[test]
fn the_pages_look_as_they_did() {
    for width in [80, 160] {
        golden("history/golden", &format!("story_{width}"), &written(&fixed_in_the_third(), width, false));
        let mut out = Vec::new();
        services().write(Style { width, colour: false }, 20, &mut out).unwrap();
        golden("history/golden", &format!("services_{width}"), &String::from_utf8(out).unwrap());
    }
    assert_eq!(plain(&written(&fixed_in_the_third(), 100, true)), written(&fixed_in_the_third(), 100, false));
}

#[test]
fn only_the_latest_are_shown_of_many() {
    let story = story((0..8).map(later));
    let mut out = Vec::new();
    story.write(Style::default(), 2, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("6 sessions before these") && !text.contains("2025-11-26 "), "{text}");
    assert!(text.contains("2025-11-27 ") && text.contains("2025-11-28 "), "{text}");
}

#[test]
fn every_line_fits_and_no_name_does_harm() {
    let mut evil = hostile();
    for frame in evil.stacks.iter_mut().flat_map(|stack| &mut stack.frames) {
        frame.build_id = Some("\u{1b}[2J\u{202e}".into());
        frame.module = Some("style>\u{1b}".into());
    }
    let stories = [
        story([hostile(), evil.clone(), fixed(evil)]),
        fixed_in_the_third(),
        Story::of("\u{1b}]0;x\u{7}", [(kept(&hostile()), hostile())]),
    ];
    for story in &stories {
        for width in (60..=160).step_by(4) {
            for line in written(story, width, false).lines() {
                assert!(columns(line) <= width.into() && !line.contains(is_hostile), "{width}: {line}");
            }
        }
    }
    let services = Services::of(&[kept(&hostile())], |_| Outlook::default());
    let mut out = Vec::new();
    services.write(Style { width: 60, colour: false }, 20, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().all(|line| columns(line) <= 60 && !line.contains(is_hostile)), "{text}");
}

#[test]
fn as_json_it_says_all() {
    let json = serde_json::to_value(fixed_in_the_third()).unwrap();
    assert_eq!((&json["schema"], &json["sessions"][1]["is_other_build"]), (&SCHEMA.into(), &true.into()));
    assert_eq!((&json["leaks"][2]["state"], &json["leaks"][2]["verdict"]), (&"fixed".into(), &"leak".into()));
    let json = serde_json::to_value(services()).unwrap();
    assert_eq!((&json["schema"], &json["services"][0]["sessions"]), (&SCHEMA.into(), &2.into()));
}

#[test]
fn many_sessions_are_quickly_told() {
    let views: Vec<View> = (0..20).map(|seed| made_up(seed, 200)).collect();
    let start = Instant::now();
    let told = story(views);
    assert!(start.elapsed() < QUICK, "{:?}", start.elapsed());
    assert_eq!(told.sessions.len(), 20);
}

/// A folder, gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("leaktrace-history-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Records a session of this view, without its stacks.
    fn record(&self, name: &str, view: &View) -> Recorder {
        let last = view.last();
        let head = Head { report: last.report.clone(), memory: last.memory.clone(), sizes: Vec::new() };
        let mut recorder = Recorder::create(&self.0.join(name), false).unwrap();
        recorder.snapshot(&head, &[], |_| None).unwrap();
        recorder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_no_session_is_left_out_and_one_that_is_recorded_is_not() {
    let folder = Folder::new("read");
    drop(folder.record("b.leak", &later(0)));
    let _recording = folder.record("a.leak", &later(1));
    fs::write(folder.0.join("foreign.leak"), "not a session").unwrap();
    let whole = fs::read(folder.0.join("b.leak")).unwrap();
    fs::write(folder.0.join("cut.leak"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.0.join("b.leak-journal"), "").unwrap();
    fs::create_dir(folder.0.join("lost+found")).unwrap();
    std::os::unix::fs::symlink("b.leak", folder.0.join("link.leak")).unwrap();
    let kept = read(&folder.0, None, SystemTime::now(), Notices::Quiet).unwrap();
    let names: Vec<_> = kept.iter().map(|session| session.path.file_name().unwrap().to_string_lossy()).collect();
    assert_eq!(names, ["b.leak", "a.leak"], "the oldest first");
    assert!(kept[0].view().is_ok());
}

#[test]
fn what_is_older_than_asked_for_is_left_out() {
    let folder = Folder::new("since");
    drop(folder.record("old.leak", &later(0)));
    drop(folder.record("new.leak", &later(2)));
    let now = humantime::parse_rfc3339("2025-11-24T00:00:00Z").unwrap();
    let since = |days: u64| {
        let kept = read(&folder.0, Some(Duration::from_hours(24 * days)), now, Notices::Quiet).unwrap();
        kept.len()
    };
    assert_eq!((since(1), since(2), since(9)), (1, 1, 2));
    assert!(read(&folder.0.join("none"), None, now, Notices::Quiet).is_ok_and(|kept| kept.is_empty()));
}
