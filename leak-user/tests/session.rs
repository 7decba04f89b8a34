//! What is recorded is read back; and what is no session is refused in a sentence.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use leak_user::{
    ledger::Ages,
    report::{Cost, Frame, Loss, Mode, Process, Report, Totals, Walks, Watching},
    session::{Filter, Head, Memory, Pattern, Point, Recorder, Session, StackMoment},
};

/// A folder of a test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("leaktrace-session-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("a.leak")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn head(elapsed_s: f64, label: Option<&str>) -> Head {
    let process = Process {
        pid: 42,
        start_time: "2025-11-20T22:00:01Z".into(),
        comm: "server".into(),
        exe: "/usr/bin/server".into(),
        cgroup: None,
        rss_bytes: 1 << 20,
        rss_at_attach_bytes: 1 << 19,
        alive: true,
        sample_bytes: 1,
        watched_s: elapsed_s,
        watching: Watching::All,
        totals: Totals::default(),
        bytes_per_s: None,
    };
    let mode = Mode {
        sample_bytes: 1,
        unwind: "dwarf".into(),
        links: "session".into(),
        budget_pct: None,
        changes: Vec::new(),
        sorted_by: "size".into(),
    };
    let mut report = Report::without_stacks(
        Duration::from_secs_f64(elapsed_s),
        vec![process],
        Totals { outstanding_bytes: 7, ..Totals::default() },
        Loss { complete: true, ..Loss::default() },
        Cost::default(),
        Walks::default(),
        mode,
    );
    report.label = label.map(str::to_owned);
    let memory = Memory { pid: 42, rss_bytes: 1 << 20, pss_bytes: Some(1 << 19), ..Memory::default() };
    Head { report, memory: vec![memory], sizes: Vec::new() }
}

fn stack(id: u64, held: u64, freed: u64) -> StackMoment {
    let mut ages = Ages::default();
    ages.0[3] = held;
    let mut lifetimes = Ages::default();
    lifetimes.0[1] = freed / 10;
    StackMoment {
        id,
        pid: 42,
        complete: true,
        point: Point {
            outstanding_bytes: held,
            outstanding_count: held / 10,
            freed_bytes: freed,
            freed_count: freed / 10,
            ..Point::default()
        },
        ages,
        lifetimes,
        oldest_at_s: 1.0,
    }
}

fn frames(id: u64) -> Vec<Frame> {
    let frame = |function: String, line| Frame {
        function: Some(function),
        module: Some("server".into()),
        build_id: Some("00ff".into()),
        offset: u64::MAX - id,
        file: Some("src/server.c".into()),
        line: Some(line),
        ..Frame::default()
    };
    vec![frame(format!("site_{id}"), 10), frame("main".into(), 20)]
}

/// A session of so many snapshots, half a minute apart, of a stack that leaks and one that does not; the fourth is labelled.
fn record(folder: &Folder, snapshots: u64) -> Recorder {
    let mut recorder = Recorder::create(&folder.file(), false).unwrap();
    for number in 0..snapshots {
        let stacks = [stack(1, number * 1000, 0), stack(2, 500, number * 100)];
        let label = (number == 3).then_some("warm");
        recorder.snapshot(&head(number as f64 * 30.0, label), &stacks, |place| Some(frames(place as u64 + 1))).unwrap();
    }
    recorder
}

#[test]
fn a_session_can_lie_behind_a_link_to_its_folder() {
    let folder = Folder::new("behind-a-link");
    let (real, link) = (folder.0.join("real"), folder.0.join("link"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let mut recorder = Recorder::create(&link.join("a.leak"), false).unwrap();
    recorder.snapshot(&head(1.0, None), &[], |_| None).unwrap();
    drop(recorder);
    assert_eq!(Session::open(&link.join("a.leak")).unwrap().marks().len(), 1);
}

#[test]
fn what_was_recorded_comes_back_while_it_is_still_recorded() {
    let folder = Folder::new("whole");
    let mut recorder = record(&folder, 20);
    let session = Session::open(&folder.file()).unwrap();
    assert_eq!(session.marks().len(), 20);
    let view = session.view(None, None, &Filter::default()).unwrap();
    assert_eq!((view.snapshots.len(), view.snapshots_recorded, view.stacks.len()), (20, 20, 2));
    assert_eq!(view.last().memory, head(0.0, None).memory);
    assert_eq!(view.last().report.totals.outstanding_bytes, 7);
    let leak = &view.stacks[0];
    assert_eq!(leak.frames, frames(1));
    assert_eq!(
        leak.points.iter().map(Point::held_bytes).collect::<Vec<_>>(),
        (0..20).map(|n| n * 1000).collect::<Vec<_>>()
    );
    assert_eq!((leak.ages.0[3], leak.growth_bytes(), leak.last().held_count()), (19_000, 19_000, 1900));
    assert!((leak.oldest_s - (19.0 * 30.0 - 1.0)).abs() < 0.2);
    assert_eq!((view.stacks[1].last().freed_bytes, view.stacks[1].lifetimes.0[1]), (1900, 190));
    // And it goes on.
    recorder.snapshot(&head(600.0, None), &[stack(1, 77, 5)], |_| None).unwrap();
    let view = Session::open(&folder.file()).unwrap().view(None, None, &Filter::default()).unwrap();
    let find = |name: &str| view.stacks.iter().find(|stack| stack.frames[0].function.as_deref() == Some(name)).unwrap();
    assert_eq!(find("site_1").last().held_bytes(), 77);
    assert_eq!(
        (find("site_2").last().held_bytes(), find("site_2").last().freed_bytes),
        (0, 1900),
        "the trace has forgotten it"
    );
}

#[test]
fn a_stack_that_the_trace_forgot_and_counts_anew_keeps_what_it_had_freed() {
    let folder = Folder::new("anew");
    let mut recorder = Recorder::create(&folder.file(), false).unwrap();
    let mut say = |seconds: f64, stacks: &[StackMoment]| {
        recorder.snapshot(&head(seconds, None), stacks, |_| Some(frames(1))).unwrap();
    };
    say(0.0, &[stack(1, 100, 900)]);
    say(30.0, &[stack(1, 0, 1000)]);
    say(60.0, &[]);
    say(90.0, &[stack(1, 50, 0)]);
    say(120.0, &[stack(1, 50, 20)]);
    let view = Session::open(&folder.file()).unwrap().view(None, None, &Filter::default()).unwrap();
    let freed: Vec<u64> = view.stacks[0].points.iter().map(|point| point.freed_bytes).collect();
    assert_eq!(freed, [900, 1000, 1000, 1000, 1020]);
    assert_eq!(view.stacks[0].lifetimes.0[1], 102);
}

#[test]
fn a_part_is_between_labels_or_numbers_and_is_filtered() {
    let folder = Folder::new("part");
    drop(record(&folder, 20));
    let session = Session::open(&folder.file()).unwrap();
    let part = |from, to| session.view(from, to, &Filter::default());
    let view = part(Some("warm"), Some("10")).unwrap();
    assert_eq!((view.first().number, view.last().number, view.stacks[0].growth_bytes()), (4, 10, 6000));
    let error = |result: anyhow::Result<_>| format!("{:#}", result.err().unwrap());
    assert!(error(part(Some("cold"), None)).contains("which has 1 to 20 and the labels warm"));
    assert!(error(part(Some("9"), Some("warm"))).contains("comes after"), "{}", error(part(Some("9"), Some("warm"))));
    let only = Filter { exclude: vec![Pattern::from("site_2")], ..Filter::default() };
    assert_eq!(session.view(None, None, &only).unwrap().stacks.len(), 1);
}

#[test]
fn after_a_snapshot_that_cannot_be_written_the_next_one_holds_all() {
    let folder = Folder::new("failing");
    let mut recorder = record(&folder, 2);
    let path = folder.file();
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let stacks = [stack(1, 5000, 0), stack(3, 30, 0)];
    let failed = recorder.snapshot(&head(60.0, None), &stacks, |place| Some(frames([1, 3][place])));
    assert!(failed.is_err());
    blocker.execute_batch("COMMIT").unwrap();
    recorder.snapshot(&head(90.0, None), &stacks, |place| Some(frames([1, 3][place]))).unwrap();
    let view = Session::open(&path).unwrap().view(None, None, &Filter::default()).unwrap();
    assert_eq!((view.snapshots.len(), view.stacks.len()), (3, 3));
    assert_eq!(view.stacks[0].last().held_bytes(), 5000);
}

#[test]
fn a_file_is_replaced_only_when_forced_and_never_while_it_is_recorded() {
    let folder = Folder::new("force");
    let path = folder.file();
    let refusal = |force| Recorder::create(&path, force).err().map(|error| format!("{error:#}")).unwrap_or_default();
    let recorder = record(&folder, 1);
    assert!(refusal(false).contains("is there already; give another name, or --force"));
    assert!(refusal(true).contains("is being recorded by another leaktrace"));
    drop(recorder);
    assert!(refusal(false).contains("is there already"));
    assert_eq!(refusal(true), "");
    assert!(!path.exists(), "what replaced it came to nothing");
    fs::create_dir(&path).unwrap();
    assert!(refusal(true).contains("give another name"));
    let nowhere = Recorder::create(&folder.0.join("no/such/folder"), false).err().unwrap();
    assert!(format!("{nowhere:#}").contains("give -w a place that can"));
}

#[test]
fn what_is_no_session_is_refused_in_a_sentence() {
    let folder = Folder::new("refused");
    let path = folder.file();
    let refusal = || Session::open(&path).and_then(|session| session.view(None, None, &Filter::default())).err();
    let said = || refusal().map(|error| format!("{error:#}")).expect("a refusal");
    assert!(said().contains("cannot be read"), "there is none: {}", said());
    for content in [&b""[..], b"x", b"SQLite format 3\0", b"some other file of more than a few bytes\n"] {
        fs::write(&path, content).unwrap();
        assert!(said().contains("give"), "{}", said());
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(said().contains("is a directory"));
    fs::remove_dir(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE snapshots(number)").unwrap();
    drop(other);
    assert!(said().contains("a SQLite database, but not a session"));
    fs::remove_file(&path).unwrap();
    let recorder = Recorder::create(&path, false).unwrap();
    assert!(said().contains("has no snapshot yet"));
    drop(recorder);
    drop(record(&folder, 20));
    let whole = fs::read(&path).unwrap();
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("PRAGMA user_version = 2").unwrap();
    drop(newer);
    assert!(said().contains("was written by a newer leaktrace"), "{}", said());
    for length in (100..whole.len()).step_by(whole.len() / 37) {
        fs::write(&path, &whole[..length]).unwrap();
        if let Some(error) = refusal() {
            assert!(format!("{error:#}").contains("give another session"), "{length}: {error:#}");
        }
    }
}

#[test]
fn bytes_changed_at_will_never_end_the_reader() {
    let folder = Folder::new("hostile");
    drop(record(&folder, 12));
    let whole = fs::read(folder.file()).unwrap();
    let mut state = 7_u64;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let place = (state >> 20) as usize % bytes.len();
            bytes[place] = (state >> 8) as u8;
        }
        fs::write(folder.file(), bytes).unwrap();
        let _ = Session::open(&folder.file()).and_then(|session| session.view(None, None, &Filter::default()));
    }
}

/// 24 hours, a snapshot every 30 s, 5,000 stacks of which a fifth allocate between two snapshots.
#[test]
fn a_day_of_five_thousand_stacks_is_small_and_opens_at_once() {
    const STACKS: u64 = 5000;
    let is_full = std::env::var_os("LEAKTRACE_FULL").is_some();
    let snapshots = if is_full { 2880 } else { 288 };
    let folder = Folder::new("day");
    let mut recorder = Recorder::create(&folder.file(), false).unwrap();
    let mut stacks: Vec<StackMoment> = (0..STACKS).map(|id| stack(id, 0, 0)).collect();
    let mut state = 11_u64;
    let mut spent = Duration::ZERO;
    for number in 0..snapshots {
        for stack in &mut stacks {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (state >> 33).is_multiple_of(5) {
                let blocks = (state >> 40) % 300;
                stack.point.outstanding_bytes = (stack.point.outstanding_bytes + (blocks * 64)) % (1 << 24);
                stack.point.outstanding_count = stack.point.outstanding_bytes / 64;
                stack.point.freed_bytes += blocks * 6400;
                stack.point.freed_count += blocks * 100;
                let part = (state >> 50) as usize % 14;
                stack.ages.0[part] += blocks * 64;
                stack.lifetimes.0[part] += blocks * 100;
            }
        }
        let head = head(number as f64 * 30.0, None);
        let began = Instant::now();
        recorder.snapshot(&head, &stacks, |place| Some(frames(place as u64))).unwrap();
        spent += began.elapsed();
    }
    drop(recorder);
    let bytes = fs::metadata(folder.file()).unwrap().len();
    let began = Instant::now();
    let view = Session::open(&folder.file()).unwrap().view(None, None, &Filter::default()).unwrap();
    let opened = began.elapsed();
    println!("{snapshots} snapshots: {bytes} bytes, {:?} to write each, read in {opened:?}", spent / snapshots as u32);
    assert_eq!(view.stacks.len(), STACKS as usize);
    assert!(bytes < 100_000_000 * snapshots / 2880, "{bytes} bytes");
    // A snapshot is written every 30 s: 1 % of a core is 300 ms.
    assert!(spent / (snapshots as u32) < Duration::from_millis(300));
}
