//! Sessions: kept while tracing, marked from outside, read at any moment, looked at in every form; and conditions that make
//! leaktrace end with 1.

use std::{
    fs,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{Leaktrace, Machine, Outcome, Scratch, Target, leaktrace_path};

/// A program that leaks through several sites as long as it is left alone.
fn demo(machine: &Machine) -> Target {
    let mut demo = machine.target("demo", "120");
    assert!(demo.hear().starts_with("demo: "));
    demo
}

/// Runs leaktrace to its end. Arguments may hold spaces.
fn leaktrace(machine: &Machine, arguments: &[&str]) -> Outcome {
    machine.leaktrace_with(arguments).wait()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Records the demo for so many seconds, with a snapshot every half second.
fn record(machine: &Machine, demo: &Target, file: &Path, seconds: u32, more: &str) -> Leaktrace {
    record_every(machine, demo, file, "500ms", &format!("-d {seconds} {more}"))
}

fn record_every(machine: &Machine, demo: &Target, file: &Path, interval: &str, more: &str) -> Leaktrace {
    let file = text(file);
    machine.attach(demo.pid(), &format!("-w {file} --snapshot-interval {interval} --format json {more} 60"))
}

/// The session as one document.
fn exported(machine: &Machine, arguments: &[&str]) -> Value {
    let arguments = [&["export", "--format", "json"], arguments].concat();
    let outcome = leaktrace(machine, &arguments).well();
    serde_json::from_str(&outcome.output).expect("a document")
}

fn labels(session: &Value) -> Vec<&str> {
    let snapshots = session["snapshots"].as_array().expect("snapshots");
    snapshots.iter().filter_map(|snapshot| snapshot["label"].as_str()).collect()
}

fn wait_for_snapshot(machine: &Machine, file: &Path) {
    let began = Instant::now();
    while leaktrace(machine, &["table", text(file)]).code != Some(0) {
        assert!(began.elapsed() < Duration::from_secs(20), "there is no snapshot");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_session_is_marked_from_outside_and_read_while_it_is_recorded_and_in_every_form_after() {
    let machine = Machine::shared();
    let (demo, scratch) = (demo(&machine), Scratch::new());
    let file = scratch.path("demo.leak");
    let recorder = record(&machine, &demo, &file, 15, "--events");
    wait_for_snapshot(&machine, &file);
    sleep(Duration::from_secs(2));
    let pid = demo.pid().to_string();
    let pair = machine.target("pair", "3 1 0");
    machine.attach(pair.pid(), "60").paused(Duration::ZERO, || {
        // That another trace is stopped is nothing to this one.
        leaktrace(&machine, &["mark", "after the deploy", "-p", &pid]).well();
    });
    let reports = recorder.wait().reports();
    assert_eq!(reports.iter().filter(|report| report["label"] == "after the deploy").count(), 1);

    let whole = exported(&machine, &[text(&file)]);
    assert_eq!(labels(&whole), ["after the deploy"]);
    let last = reports.last().expect("a report");
    assert_eq!(whole["totals"]["allocated_count"].as_u64().map(|count| count > 0), Some(true));
    assert_eq!(whole["processes"][0]["pid"], last["processes"][0]["pid"]);
    let part = exported(&machine, &[text(&file), "--to", "after the deploy"]);
    assert!(part["elapsed_s"].as_f64() < whole["elapsed_s"].as_f64());
    let leaks = "remember_session";
    let says = |arguments: &[&str], part: &str| {
        let outcome = leaktrace(&machine, &[arguments, &[text(&file)]].concat()).well();
        assert!(outcome.output.contains(part), "{arguments:?} lacks {part}:\n{}", outcome.output);
        assert_eq!(outcome.errors, "", "{arguments:?}");
    };
    for command in ["table", "summary", "tree", "flamegraph", "html"] {
        says(&[command], leaks);
    }
    says(&["stats"], "allocat");
    says(&["flamegraph", "--weight", "growth"], "<svg");
    says(&["html"], "after the deploy");
    for format in ["folded", "speedscope", "csv"] {
        says(&["export", "--format", format], leaks);
    }
    says(&["table", "--only-path", "demo.c"], leaks);
    says(&["table", "--strict"], leaks);
    says(&["diff"], leaks);
    let without = leaktrace(&machine, &["table", text(&file), "--exclude", leaks]).well();
    assert!(!without.output.contains(leaks), "{}", without.output);

    let events = leaktrace(&machine, &["parse", text(&file)]).well().output;
    let count = |what: &str| events.lines().filter(|line| line.split(' ').nth(3) == Some(what)).count() as u64;
    assert_eq!(Some(count("alloc")), last["totals"]["allocated_count"].as_u64());
    // A realloc takes a block away and gives another.
    assert!(count("free") + count("take") >= last["totals"]["freed_count"].as_u64().expect("a count"));
    assert!(events.lines().any(|line| line.starts_with("stack ") && line.contains(leaks)));

    for (format, file_name) in [("pprof", "demo.pb.gz"), ("parquet", "demo.parquet")] {
        let output = scratch.path(file_name);
        let arguments = ["export", "--format", format, "-o", text(&output), text(&file)];
        leaktrace(&machine, &arguments).well();
        assert!(fs::metadata(&output).is_ok_and(|file| file.len() > 200));
        let again = leaktrace(&machine, &arguments).refusal();
        assert!(again.contains("is there already"), "{again}");
    }
    let plots = scratch.path("plots");
    leaktrace(&machine, &["plot", text(&file), "-o", text(&plots), "-T", "3"]).well();
    assert!(fs::read_to_string(plots.join("report.txt")).is_ok_and(|report| report.contains(leaks)));
}

#[test]
fn what_a_hostile_program_calls_itself_is_inert_in_every_form() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let (program, names) = (scratch.path("<img src=x>\x1b[2J"), scratch.path("names"));
    let long = vec![b'A'; 1 << 20];
    let hostile = [
        (&b"cache_thumbnail"[..], &b"<script>alert(1)</script>"[..]),
        (b"remember_session", b"\x1b[2J\x1b]0;x\x07\xe2\x80\xae;\r"),
        (b"append_audit_line", b"\xff\xfe\x80name"),
        (b"cache_page", &long),
    ];
    let lines: Vec<Vec<u8>> = hostile.iter().map(|(old, new)| [old, &b" "[..], new, b"\n"].concat()).collect();
    fs::write(&names, lines.concat()).expect("a list of names");
    let mut objcopy = Command::new("objcopy");
    objcopy.arg("--strip-debug").arg(format!("--redefine-syms={}", text(&names)));
    assert!(objcopy.arg(crate::harness::target_path("demo")).arg(&program).status().expect("objcopy").success());
    let mut demo = Target::start(&machine, Command::new(&program));
    demo.hear();
    let file = scratch.path("hostile.leak");
    let session = text(&file);
    let arguments = format!("-w {session} --snapshot-interval 500ms -d 6 --events 60");
    let live = machine.attach(demo.pid(), &arguments).wait().well();
    let mut forms: Vec<Vec<&str>> = ["summary", "table", "tree", "stats", "flamegraph", "html", "parse", "diff"]
        .map(|command| vec![command, session])
        .into();
    forms.extend(["json", "folded", "speedscope", "csv"].map(|format| vec!["export", "--format", format, session]));
    let plots = scratch.path("plots");
    leaktrace(&machine, &["plot", session, "-o", text(&plots)]).well();
    let words = fs::read_to_string(plots.join("report.txt")).expect("a report");
    let printed = forms.iter().map(|form| (form[..].join(" "), leaktrace(&machine, form).well().output));
    for (form, output) in printed.chain([("live".to_owned(), live.output), ("plot".to_owned(), words)]) {
        // A line of CSV ends as its standard says.
        let output = output.replace("\r\n", "\n");
        let acts = |c: char| c.is_control() && !"\n\t".contains(c) || "\u{202e}\u{2028}".contains(c);
        assert!(!output.contains(acts), "{form}: {:?}", output.split(acts).next());
        let is_markup = form.starts_with("html") || form.starts_with("flamegraph");
        assert!(!is_markup || !output.contains("<script>alert") && !output.contains("<img src=x"), "{form}");
        let longest = output.split(|c| c != 'A').map(str::len).max().unwrap_or(0);
        assert!(longest < 5000, "{form}: a name of {longest} letters");
        assert!(
            form != "live" || longest > 8 && output.contains("\\x1b[2J") && output.contains("alert(1)"),
            "{output}"
        );
    }
}

#[test]
fn a_recorder_that_is_killed_leaves_a_session_that_is_whole() {
    let machine = Machine::shared();
    let (demo, scratch) = (demo(&machine), Scratch::new());
    for attempt in 0..5 {
        let file = scratch.path(&format!("{attempt}.leak"));
        let recorder = record_every(&machine, &demo, &file, "100ms", "--events");
        wait_for_snapshot(&machine, &file);
        sleep(Duration::from_millis(300 + 37 * attempt));
        recorder.kill();
        let session = exported(&machine, &[text(&file)]);
        assert!(session["snapshots"].as_array().is_some_and(|snapshots| !snapshots.is_empty()));
        leaktrace(&machine, &["table", text(&file)]).well();
    }
}

#[test]
fn a_full_disk_is_said_and_tracing_goes_on() {
    let machine = Machine::shared();
    let (demo, scratch) = (demo(&machine), Scratch::new());
    let small = scratch.path("small");
    fs::create_dir(&small).expect("our folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=192k", "none", text(&small)]).status();
    assert!(mounted.is_ok_and(|status| status.success()), "a small file system");
    let file = small.join("demo.leak");
    let outcome = record(&machine, &demo, &file, 8, "--events").wait();
    let read = leaktrace(&machine, &["table", text(&file)]);
    let unmounted = Command::new("umount").arg(&small).status();
    assert!(unmounted.is_ok_and(|status| status.success()), "the end of it");
    assert!(outcome.errors.contains("cannot be written for now, and tracing goes on"), "{}", outcome.errors);
    let last = outcome.last_report();
    assert!(last["elapsed_s"].as_f64() >= Some(7.5));
    // What was written before is there.
    assert_eq!(read.code, Some(0), "{}", read.errors);
}

#[test]
fn what_cannot_be_recorded_or_read_is_refused() {
    let machine = Machine::shared();
    let (demo, scratch) = (demo(&machine), Scratch::new());
    let pid = demo.pid().to_string();
    let file = scratch.path("demo.leak");
    let refuses = |arguments: &[&str], said: &str| {
        let line = leaktrace(&machine, arguments).refusal();
        assert!(line.contains(said), "{arguments:?}\nsays:    {line}\nwithout: {said}");
    };
    let recorder = record(&machine, &demo, &file, 60, "");
    wait_for_snapshot(&machine, &file);
    refuses(&["-p", &pid, "-w", text(&file)], "is there already; give another name, or --force");
    refuses(&["-p", &pid, "-w", text(&file), "--force"], "is being recorded by another leaktrace");
    recorder.end().well();
    refuses(&["-p", &pid, "-w", "/proc/no/such"], "give -w a place that can");
    refuses(&["-p", &pid, "--force"], "--write");
    refuses(&["-p", &pid, "--snapshot-interval", "1ms"], "too short");
    refuses(&["table", text(&scratch.path("none"))], "cannot be read");
    refuses(&["table", "/tmp"], "is a directory");
    refuses(&["html", text(&leaktrace_path())], "is not a session");
    refuses(&["table", text(&file), "--from", "cold"], "\"cold\" is no snapshot of");
    refuses(&["table", text(&file), "--from", "2", "--to", "1"], "comes after --to");
    refuses(&["parse", text(&file)], "has no events");
    refuses(&["export", text(&file), "--format", "pdf"], "is not a format");
    refuses(&["mark", ""], "is no label");
    refuses(&["mark", "x", "-p", "1"], "start one with");
    refuses(&["flamegraph", text(&file), "-o", "/no/such/place"], "give -o a place that can");
}

#[test]
fn a_leak_fails_a_run_in_ci_and_what_is_well_does_not() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let target = |name: &str| crate::harness::target_path(name).display().to_string();
    let run = |condition: &str, command: &[&str]| {
        leaktrace(
            &machine,
            &[&["run", "--fail-on", condition, "-w", text(&scratch.path(condition)), "--"], command].concat(),
        )
    };
    let demo = target("demo");
    let failed = run("leak", &[&demo, "12"]);
    assert_eq!(failed.code, Some(1), "{}{}", failed.output, failed.errors);
    assert!(failed.errors.contains("--fail-on leak: "), "{}", failed.errors);
    assert_eq!(run("bytes=1G", &[&demo, "3"]).code, Some(0));
    assert_eq!(run("bytes=10K", &[&demo, "3"]).code, Some(1));
    let offline =
        |condition: &str| leaktrace(&machine, &["table", text(&scratch.path("leak")), "--fail-on", condition]).code;
    assert_eq!((offline("bytes=1K"), offline("bytes=1T")), (Some(1), Some(0)));
}

#[test]
fn two_sessions_of_a_program_are_compared() {
    let machine = Machine::shared();
    let (demo, scratch) = (demo(&machine), Scratch::new());
    let (short, long) = (scratch.path("short.leak"), scratch.path("long.leak"));
    record(&machine, &demo, &short, 2, "").wait().well();
    record(&machine, &demo, &long, 5, "").wait().well();
    let diff = leaktrace(&machine, &["diff", text(&short), text(&long)]).well();
    assert!(diff.output.contains("cache_page"), "{}", diff.output);
    let document = leaktrace(&machine, &["diff", "--format", "json", text(&short), text(&long)]).well();
    let document: Value = serde_json::from_str(&document.output).expect("a document");
    let all = document["stacks"].to_string();
    assert!(
        ["remember_session", "cache_thumbnail", "append_audit_line"].iter().all(|leak| all.contains(leak)),
        "{all}"
    );
    let mut pair = machine.target("pair", "3 1 0");
    pair.run_pairs(10);
    let other = scratch.path("other.leak");
    let trace = machine.attach(pair.pid(), &format!("-w {} --format json 60", text(&other)));
    pair.run_pairs(100);
    trace.end().well();
    let nothing = leaktrace(&machine, &["diff", text(&short), text(&other)]).refusal();
    assert!(nothing.contains("no stack in common"), "{nothing}");
}
