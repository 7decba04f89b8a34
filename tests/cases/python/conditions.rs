//! The line that leaks is named whatever the interpreter was started with and whoever else looks at it; where something
//! keeps leaktrace from that, it says what, and tells the rest.

use std::{fs, process::Command, thread::scope};

use serde_json::Value;

use super::{
    findings::Kind,
    interpreters::Interpreter,
    judge::{Leak, Traced},
    programs::{marked, sources},
};
use crate::harness::{Machine, Scratch, Target, stacks};

/// How long a program is traced, in seconds: five readings and more.
const TRACED_S: u64 = 24;

/// A program of `tests/targets/python` at work.
fn start(machine: &Machine, python: &Interpreter, flags: &[&str], name: &str) -> Target {
    let mut command = Command::new(&python.program);
    command.args(flags).arg(sources().join(name)).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut target = Target::start(machine, command);
    assert_eq!(target.hear(), "ready", "{name}");
    target
}

/// What leaktrace reports of it.
fn traced(machine: &Machine, target: &Target) -> Vec<Value> {
    machine.leaktrace(&format!("-p {} --format json -d {TRACED_S} 4", target.pid())).wait().reports()
}

/// Fails unless the line that a program marks is named.
fn is_named(machine: &Machine, python: &Interpreter, flags: &[&str], name: &str, holder: &'static str) {
    let target = start(machine, python, flags, name);
    let reports = traced(machine, &target);
    let file = sources().join(name);
    let leak = Leak { kind: Kind::Holder, name: holder, lines: marked(&file), file, surely: false };
    let named = Traced { pid: target.pid(), version: &python.version, reports: &reports }.names(&leak);
    let named = named.unwrap_or_else(|why| panic!("{name} {flags:?} on {python}: {why}"));
    println!("{name} {flags:?} on {python}: after {:.0} s {}", named.after_s, named.what);
    assert!(target.end().success(), "{name} goes on as if nothing had been");
}

#[test]
fn flags_many_threads_and_other_interpreters_in_the_process_hide_nothing() {
    let machine = Machine::shared();
    // A few at a time, for readings are to be many enough.
    for pythons in Interpreter::few().chunks(2) {
        scope(|scope| {
            for python in pythons {
                scope.spawn(|| {
                    is_named(&machine, python, &["-OO", "-X", "faulthandler", "-B"], "sessions.py", "SESSIONS");
                });
                scope.spawn(|| is_named(&machine, python, &[], "many_threads.py", "DONE"));
                scope.spawn(|| is_named(&machine, python, &[], "subinterpreters.py", "SEEN"));
            }
        });
    }
}

#[test]
fn where_a_debugger_has_the_registers_it_is_said_and_who_makes_what_stays_is_told() {
    let machine = Machine::shared();
    let python = Interpreter::any();
    let target = start(&machine, python, &[], "sessions.py");
    let mut debugger = machine.target("registers", &target.pid().to_string());
    assert_eq!(debugger.hear(), "ready");
    let reports = traced(&machine, &target);
    let python = &reports.last().expect("a report")["python"];
    let why = python["interpreters"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains("debug registers are in use"), "{python:#}");
    let holder = &python["holders"][0];
    assert!(holder["path"].as_str().is_some_and(|path| path.ends_with("SESSIONS")), "{python:#}");
    assert_eq!(holder["added"].as_array().map(Vec::len), Some(0));
    let made = &holder["made"][0];
    assert!(made["share"].as_f64().is_some_and(|share| share > 0.9), "{holder:#}");
    let line = made["frames"][0]["line"].as_u64().expect("a line") as usize;
    let source = fs::read_to_string(sources().join("sessions.py")).expect("the program");
    let made = source.lines().nth(line - 1).expect("a line of it");
    assert!(made.contains("session = Session("), "{made}");
}

#[test]
fn a_program_that_only_says_it_is_python_is_traced_as_any_other() {
    let machine = Machine::shared();
    let mut target = machine.target("fake_python", "random 7");
    target.hear();
    let report = machine.leaktrace(&format!("-p {} --format json -d 5", target.pid())).wait().last_report();
    assert_eq!(report["loss"]["complete"], true, "{report:#}");
    for held in ["holders", "cycles"] {
        assert!(report["python"][held].as_array().is_none_or(Vec::is_empty), "{}", report["python"]);
    }
}

#[test]
fn an_interpreter_that_ends_while_it_is_traced_leaves_what_was_known_of_it() {
    let machine = Machine::shared();
    let mut target = start(&machine, Interpreter::any(), &[], "sessions.py");
    let mut leaktrace = machine.leaktrace(&format!("-p {} --format json 3", target.pid()));
    let reports: Vec<Value> = (0..4).map(|_| leaktrace.next_report()).collect();
    target.kill();
    let last = leaktrace.wait().last_report();
    assert_eq!(last["final"], true);
    let held = |report: &Value| report["python"]["holders"][0]["path"].clone();
    assert_eq!(held(&last), held(reports.last().expect("a report")), "{last:#}");
    assert!(held(&last).is_string(), "{last:#}");
}

#[test]
fn a_program_that_is_launched_has_pythons_functions_in_its_stacks() {
    // What it holds at its end is in the report, for nothing is given back.
    const PROGRAM: &str = "import os, time
kept = []
def keep_one():
    kept.append(bytearray(20000))
for _ in range(300):
    keep_one()
    time.sleep(0.01)
os._exit(0)
";
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let program = scratch.file("program.py", PROGRAM);
    let program = program.to_str().expect("a path");
    for python in Interpreter::few() {
        let python = python.program.to_str().expect("a path");
        // By way of a shell, which becomes the interpreter.
        let by_way = format!("exec {python} {program}");
        for command in [&[python, program][..], &["sh", "-c", &by_way]] {
            let arguments = ["run", "--format", "json", "-T", "10000", "--"].iter().chain(command);
            let report = machine.leaktrace_with(arguments).wait().last_report();
            let is_it = |frame: &Value| {
                frame["kind"] == "python"
                    && frame["function"] == "keep_one"
                    && frame["line"] == 4
                    && frame["file"] == program
            };
            let found = stacks(&report).iter().any(|stack| {
                stack["frames"].as_array().is_some_and(|frames| frames.iter().any(is_it))
                    && stack["outstanding_count"].as_u64().is_some_and(|count| count > 150)
            });
            assert!(found, "{command:?}: {report:#}");
        }
    }
}
