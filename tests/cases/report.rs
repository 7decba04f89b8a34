//! What is printed: the JSON contract, the table for people, folded stacks, and when reports come.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Machine, Outcome, Target, figure, leaktrace_path, number, stacks};

/// A program that leaks through several sites as long as it is left alone.
fn demo(machine: &Machine) -> Target {
    let mut demo = machine.target("demo", "120");
    assert!(demo.hear().starts_with("demo: "));
    demo
}

/// Traces the demo until leaktrace ends by itself.
fn trace_demo(arguments: &str) -> Outcome {
    let machine = Machine::shared();
    let demo = demo(&machine);
    machine.leaktrace(&format!("-s exact -p {} {arguments}", demo.pid())).wait().well()
}

/// Fails unless the object has exactly these members, each of its type.
fn check_members(object: &Value, members: &[(&str, &str)]) {
    let names: Vec<&String> = object.as_object().expect("an object").keys().collect();
    assert_eq!(names.len(), members.len(), "{names:?}");
    for (name, expected) in members {
        let value = object.get(*name).unwrap_or_else(|| panic!("{name} is missing in {object}"));
        let is_right = expected.split('|').any(|kind| match kind {
            "string" => value.is_string(),
            "bool" => value.is_boolean(),
            "null" => value.is_null(),
            "count" => value.is_u64(),
            "number" => value.as_f64().is_some_and(|number| number >= 0.0),
            "signed" => value.is_number(),
            "share" => value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)),
            "array" => value.is_array(),
            "object" => value.is_object(),
            literal => value == literal,
        });
        assert!(is_right, "{name} is {value}, and not {expected}");
    }
}

fn check_document(report: &Value) {
    check_members(
        report,
        &[
            ("schema", "leaktrace.report/1"),
            ("time", "string"),
            ("elapsed_s", "number"),
            ("final", "bool"),
            ("label", "string|null"),
            ("processes", "array"),
            ("mode", "object"),
            ("totals", "object"),
            ("loss", "object"),
            ("cost", "object"),
            ("walks", "object"),
            ("outlook", "object"),
            ("stacks", "array"),
        ],
    );
    check_time(report["time"].as_str().expect("a time"));
    for process in report["processes"].as_array().expect("processes") {
        let members = [
            ("pid", "count"),
            ("start_time", "string"),
            ("comm", "string"),
            ("exe", "string"),
            ("cgroup", "string|null"),
            ("rss_bytes", "count"),
            ("rss_at_attach_bytes", "count"),
            ("alive", "bool"),
            ("sample_bytes", "count"),
            ("watched_s", "number"),
            ("watching", "all|frees|nothing|ended"),
            ("totals", "object"),
            ("bytes_per_s", "number"),
        ];
        check_members(process, &members);
        check_time(process["start_time"].as_str().expect("a time"));
        assert!(number(process, "rss_bytes") > 0);
    }
    let mode = [
        ("sample_bytes", "count"),
        ("unwind", "dwarf|fp"),
        ("links", "session|multi|perf"),
        ("budget_pct", "number|null"),
        ("changes", "array"),
        ("sorted_by", "size|count|growth|age"),
    ];
    check_members(&report["mode"], &mode);
    let totals = ["outstanding", "unknown", "allocated", "freed"];
    let totals = totals.map(|what| ["bytes", "count"].map(|unit| format!("{what}_{unit}"))).concat();
    check_members(&report["totals"], &totals.iter().map(|name| (name.as_str(), "count")).collect::<Vec<_>>());
    let loss = ["allocations", "allocated_bytes", "frees", "stacks_truncated", "probes_missed"];
    check_members(&report["loss"], &[&loss.map(|name| (name, "count"))[..], &[("complete", "bool")]].concat());
    let cost = [
        ("events_per_s", "number"),
        ("target_slowdown_pct", "number|null"),
        ("target_core_pct", "number|null"),
        ("tracer_cpu_pct", "number"),
        ("tracer_rss_bytes", "count"),
    ];
    check_members(&report["cost"], &cost);
    let walks = ["whole", "too_deep", "no_rule", "unsupported", "not_a_frame", "unreadable"];
    check_members(&report["walks"], &walks.map(|name| (name, "count")));
    let stacks_of =
        ["judged", "young", "leaking", "growing", "python_leaking", "python_growing"].map(|name| (name, "count"));
    let outlook = [
        ("severity", "good|warning|critical"),
        ("bytes_per_s", "number"),
        ("python_bytes_per_s", "number"),
        ("limit", "object|null"),
    ];
    check_members(&report["outlook"], &[&stacks_of[..], &outlook].concat());
    if let Some(limit) = report["outlook"].get("limit").filter(|limit| !limit.is_null()) {
        check_members(limit, &[("of", "cgroup|system"), ("bytes", "count"), ("seconds_left", "number")]);
    }
    stacks(report).iter().for_each(check_stack);
}

fn check_stack(stack: &Value) {
    let members = [
        ("id", "string"),
        ("pid", "count"),
        ("outstanding_bytes", "count"),
        ("outstanding_count", "count"),
        ("unknown_bytes", "count"),
        ("unknown_count", "count"),
        ("allocated_bytes", "count"),
        ("allocated_count", "count"),
        ("bytes_per_s", "signed"),
        ("oldest_s", "number"),
        ("verdict", "leak|growing|plateau|churn|new"),
        ("confidence", "share"),
        ("why", "string"),
        ("complete", "bool"),
        ("frames", "array"),
    ];
    check_members(stack, &members);
    for frame in stack["frames"].as_array().expect("frames") {
        let members = [
            ("function", "string|null"),
            ("module", "string|null"),
            ("build_id", "string|null"),
            ("offset", "count"),
            ("file", "string|null"),
            ("line", "count|null"),
            ("inlined", "bool"),
            ("kind", "native|python|jit|kernel|unknown"),
        ];
        check_members(frame, &members);
    }
}

/// RFC 3339 in UTC: `2025-11-21T03:12:44Z`, with or without a fraction.
fn check_time(time: &str) {
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let seconds = shape.strip_suffix('Z').and_then(|shape| shape.split('.').next());
    assert_eq!(seconds, Some("0000-00-00T00:00:00"), "{time}");
}

#[test]
fn every_document_has_every_member_of_the_contract() {
    let reports = trace_demo("--format json 1 3").reports();
    reports.iter().for_each(check_document);
    let last = reports.last().expect("a report");
    assert_eq!(last["mode"]["sample_bytes"], 1);
    let process = &last["processes"][0];
    assert_eq!((&process["comm"], &process["alive"]), (&"demo".into(), &true.into()));
    assert!(process["exe"].as_str().is_some_and(|exe| exe.ends_with("/demo")), "{process}");
}

#[test]
fn a_frame_says_where_it_is_in_the_source() {
    let report = trace_demo("--format json 2 1").last_report();
    let frames = stacks(&report).iter().flat_map(|stack| stack["frames"].as_array().expect("frames"));
    let frame = { frames }.find(|frame| frame["function"] == "remember_session").expect("the demo's leak");
    assert_eq!(frame["module"], "demo");
    assert!(frame["file"].as_str().is_some_and(|file| file.ends_with("demo.c")), "{frame}");
    assert!(number(frame, "line") > 0 && frame["kind"] == "native", "{frame}");
}

#[test]
fn a_count_gives_exactly_so_many_reports_and_only_the_last_is_final() {
    let reports = trace_demo("--format json 1 3").reports();
    let last: Vec<&Value> = reports.iter().map(|report| &report["final"]).collect();
    assert_eq!(last, [false, false, true]);
    let elapsed: Vec<f64> = reports.iter().map(|report| figure(report, "elapsed_s")).collect();
    assert!(elapsed[0] >= 1.0 && elapsed.is_sorted(), "{elapsed:?}");
    let allocated: Vec<u64> = reports.iter().map(|report| number(&report["totals"], "allocated_count")).collect();
    assert!(allocated[0] > 0 && allocated.is_sorted(), "{allocated:?}");
}

#[test]
fn a_duration_ends_the_trace_with_a_final_report() {
    let reports = trace_demo("--format json --duration 1500ms").reports();
    assert_eq!(reports.len(), 1, "the first interval is longer");
    assert_eq!(reports[0]["final"], true);
    assert!(figure(&reports[0], "elapsed_s") >= 1.5);
}

#[test]
fn interrupt_terminate_and_hangup_all_give_a_final_report() {
    use rustix::process::{Pid, Signal, kill_process};
    let machine = Machine::shared();
    let demo = demo(&machine);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut leaktrace = machine.attach(demo.pid(), "--format json 200ms");
        leaktrace.next_report();
        let pid = Pid::from_raw(leaktrace.pid() as i32).expect("a PID");
        kill_process(pid, signal).expect("leaktrace runs");
        leaktrace.wait().last_report();
    }
}

#[test]
fn an_interrupt_as_soon_as_the_probes_are_placed_gives_a_final_report_too() {
    let machine = Machine::shared();
    let demo = demo(&machine);
    let report = machine.attach(demo.pid(), "--format json").end().last_report();
    check_document(&report);
}

#[test]
fn a_reader_that_goes_away_ends_the_trace_without_an_error() {
    let machine = Machine::shared();
    let demo = demo(&machine);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "(\"$0\" \"$@\"; echo code $? >&2) | head -n 1"]).arg(leaktrace_path());
    command.args(["-p", &demo.pid().to_string(), "--format", "json", "200ms"]);
    let outcome = machine.leaktrace_by(command).wait();
    assert_eq!(outcome.output.lines().count(), 1);
    assert_eq!(outcome.errors.lines().last(), Some("code 0"), "{}", outcome.errors);
}

#[test]
fn the_table_tells_what_a_person_must_know() {
    let text = trace_demo("1 2").output;
    for said in [
        "leaktrace report, ",
        "leaktrace final report, ",
        "demo (pid ",
        "RSS ",
        "every allocation; probes by ",
        "; stacks by ",
        "outstanding; since attach allocated",
        "lost:",
        "nothing",
        "cost:",
        "OUTSTANDING",
        "BLOCKS",
        "RATE",
        "OLDEST",
        "VERDICT",
        "remember_session",
        "demo.c:",
    ] {
        assert!(text.contains(said), "\"{said}\" is missing in:\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colour where no terminal is");
}

#[test]
fn colour_follows_the_terminal_and_no_color() {
    let machine = Machine::shared();
    let demo = demo(&machine);
    let on_terminal = |variable: &str| {
        let mut command = Command::new("script");
        let line = format!("'{}' -p {} 1 1", leaktrace_path().display(), demo.pid());
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        if let Some((name, value)) = variable.split_once('=') {
            command.env(name, value);
        }
        machine.leaktrace_by(command).wait().well().output
    };
    let is_coloured = |text: &str| {
        assert!(text.contains("final report"), "{text}");
        text.contains("\x1b[")
    };
    assert!(is_coloured(&on_terminal("")));
    assert!(is_coloured(&on_terminal("NO_COLOR=")), "an empty NO_COLOR is none");
    assert!(!is_coloured(&on_terminal("NO_COLOR=1")));
}

#[test]
fn folded_lines_are_stacks_from_the_process_inwards_with_their_bytes() {
    let text = trace_demo("--format folded 2 1").output;
    assert!(!text.is_empty());
    for line in text.lines() {
        let (stack, bytes) = line.rsplit_once(' ').expect("a figure behind a space");
        assert!(bytes.parse::<u64>().is_ok_and(|bytes| bytes > 0), "{line}");
        let frames: Vec<&str> = stack.split(';').collect();
        assert!(frames[0] == "demo" && frames.len() > 1 && !frames.contains(&""), "{line}");
    }
    let session = text.lines().find(|line| line.contains(";remember_session ")).expect("the demo's leak");
    assert!(session.contains(";handle_login;open_session;remember_session "), "{session}");
}

#[test]
fn quiet_says_nothing_beside_the_reports() {
    let outcome = trace_demo("-q 1 1");
    assert_eq!(outcome.errors, "");
    assert!(outcome.output.contains("final report"));
}

#[test]
fn verbose_names_the_allocator_and_its_functions() {
    let errors = trace_demo("-v 1 1").errors;
    for said in ["glibc allocator in ", "malloc", "posix_memalign", "mremap", "probes in process "] {
        assert!(errors.contains(said), "\"{said}\" is missing in:\n{errors}");
    }
    assert!(errors.lines().all(|line| line.starts_with("leaktrace: ")), "{errors}");
}

#[test]
fn help_and_version_are_no_errors() {
    let machine = Machine::shared();
    for (arguments, said) in
        [("--help", "Examples:"), ("run --help", "leaktrace run"), ("--version", env!("CARGO_PKG_VERSION"))]
    {
        let outcome = machine.leaktrace(arguments).wait().well();
        assert!(outcome.output.contains(said), "{arguments}: {}", outcome.output);
        assert_eq!(outcome.errors, "");
    }
}
