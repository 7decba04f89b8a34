//! `leaktrace run -- CMD` and `-c 'CMD'`: the program runs as it would by itself, traced from its first allocation.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::harness::{Machine, Scratch, functions, leaktrace_path, number, stacks, target_path};

/// What a constructor of `first` holds.
const BEFORE_MAIN: (u64, u64) = (3000, 3);

/// Bytes and blocks that the report finds held below this function.
fn held_by(report: &Value, function: &str) -> (u64, u64) {
    let inside = stacks(report).iter().filter(|stack| functions(stack).contains(&function));
    inside.fold((0, 0), |(bytes, count), stack| {
        (bytes + number(stack, "outstanding_bytes"), count + number(stack, "outstanding_count"))
    })
}

fn first() -> String {
    target_path("first").to_str().expect("a plain path").to_owned()
}

#[test]
fn a_launched_program_is_traced_from_its_first_allocation_on() {
    let machine = Machine::shared();
    let report = machine.leaktrace(&format!("run --format json -- {}", first())).wait().last_report();
    assert_eq!(held_by(&report, "before_main"), BEFORE_MAIN);
    assert_eq!(held_by(&report, "inside_main"), (10_000, 5));
    assert_eq!(report["loss"]["complete"], true);
}

#[test]
fn the_end_of_a_launched_program_is_the_end_of_the_trace() {
    let machine = Machine::shared();
    let outcome = machine.leaktrace(&format!("run --format json -- {}", first())).wait();
    let reports = outcome.reports();
    assert_eq!(reports.len(), 1, "it ended before the first interval");
    assert_eq!(reports[0]["final"], true);
    assert_eq!(reports[0]["processes"][0]["alive"], false);
    assert_eq!(reports[0]["processes"][0]["comm"], "first");
}

#[test]
fn a_command_line_is_split_as_a_shell_would() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let program = scratch.path("with a space");
    fs::copy(target_path("first"), &program).expect("a copy");
    let line = format!("'{}' \"3\"", program.display());
    let report = machine.leaktrace_with(["--format", "json", "-c", &line]).wait().last_report();
    assert_eq!(held_by(&report, "before_main"), BEFORE_MAIN);
    assert_eq!(held_by(&report, "inside_main"), (6000, 3));
}

#[test]
fn a_program_is_found_on_the_path() {
    let machine = Machine::shared();
    let mut command = Command::new(leaktrace_path());
    command.args(["--format", "json", "-c", "first 2"]).env("PATH", target_path("first").parent().expect("a folder"));
    let report = machine.leaktrace_by(command).wait().last_report();
    assert_eq!(held_by(&report, "inside_main"), (4000, 2));
}

#[test]
fn arguments_and_environment_arrive_unchanged() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let told = scratch.path("told");
    let script = scratch.program("script", "#!/bin/sh -e\nprintf '[%s]\\n' \"$0\" \"$@\" \"$WORD\" > \"$TOLD\"\n");
    let mut command = Command::new(leaktrace_path());
    command.args(["run", "-T", "1", "--"]).arg(&script);
    command.args(["a b", "", "-p", "--help", "*", "'\"$x", "two\nlines"]).env("TOLD", &told).env("WORD", "a word");
    machine.leaktrace_by(command).wait().well();
    let expected = format!("[{}]\n[a b]\n[]\n[-p]\n[--help]\n[*]\n['\"$x]\n[two\nlines]\n[a word]\n", script.display());
    assert_eq!(fs::read_to_string(&told).expect("what the script was told"), expected);
}

#[test]
fn a_script_is_traced_as_its_interpreter() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let script = scratch.program("script", "#!/bin/sh\nlist=$(printf '%s' word)\nexit 0\n");
    let report = machine.leaktrace(&format!("run --format json -- {}", script.display())).wait().last_report();
    assert!(number(&report["totals"], "allocated_count") > 0, "a shell allocates");
    let exe = report["processes"][0]["exe"].as_str().expect("a path");
    assert_eq!(Path::new(exe), fs::canonicalize("/bin/sh").expect("a shell"));
}

#[test]
fn what_the_program_says_and_how_it_ends_stay_its_own() {
    let machine = Machine::shared();
    let outcome = machine.leaktrace_with(["run", "--", "/bin/sh", "-c", "echo said; echo wrong >&2; exit 7"]).wait();
    assert_eq!(outcome.code, Some(0), "leaktrace did what it was asked to");
    assert!(outcome.output.starts_with("said\n") && outcome.output.contains("final report"), "{}", outcome.output);
    assert!(outcome.errors.contains("wrong\n"), "{}", outcome.errors);
}

#[test]
fn a_program_that_does_not_exist_is_refused() {
    let machine = Machine::shared();
    for arguments in
        ["run -- no-such-program-anywhere", "run -- /no/such/program", "-c /no/such/program", "run -- /tmp"]
    {
        let line = machine.leaktrace(arguments).wait().refusal();
        let name = arguments.rsplit(' ').next().unwrap_or_default();
        assert!(line.contains(name), "{arguments}: {line}");
    }
}

#[test]
fn a_program_that_cannot_be_executed_is_refused() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let text = scratch.file("text", "not a program\n");
    let unmarked = machine.leaktrace(&format!("run -- {}", text.display())).wait().refusal();
    assert!(unmarked.contains("text"), "{unmarked}");
    let marked = scratch.program("marked", "not a program\n");
    let line = machine.leaktrace(&format!("run -- {}", marked.display())).wait().refusal();
    assert!(line.contains("marked"), "{line}");
}

#[test]
fn an_unfinished_command_line_is_refused() {
    let machine = Machine::shared();
    for line in ["'unclosed", "", "  "] {
        machine.leaktrace_with(["-c", line]).wait().refusal();
    }
    machine.leaktrace("run").wait().refusal();
    machine.leaktrace("run --").wait().refusal();
}
