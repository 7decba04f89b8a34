//! `leaktrace doctor`: what can be traced from here, what is missing, and who gives it.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Machine, Outcome, leaktrace_path};

/// Capabilities that are named one by one.
const RIGHTS: [&str; 4] = ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"];

/// A doctor under a command such as `unshare -U`, as a document.
fn doctor(machine: &Machine, under: &str, more: &str) -> (Value, Outcome) {
    let words: Vec<&str> = under.split_whitespace().collect();
    let mut command = words.first().map_or_else(|| Command::new(leaktrace_path()), Command::new);
    if !words.is_empty() {
        command.args(&words[1..]).arg(leaktrace_path());
    }
    command.args(["doctor", "--format", "json"]).args(more.split_whitespace());
    let outcome = machine.leaktrace_by(command).wait();
    let document = serde_json::from_str(&outcome.output).unwrap_or_else(|error| panic!("{error}: {}", outcome.errors));
    (document, outcome)
}

/// As nobody, with these capabilities and no way to more.
fn as_nobody(machine: &Machine, capabilities: &str) -> (Value, Outcome) {
    let sets = ["--bounding-set", "--inh-caps", "--ambient-caps"].map(|set| format!("{set}=-all{capabilities}"));
    let under = format!("setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs {}", sets.join(" "));
    doctor(machine, &under, "")
}

/// The check of this thing.
fn check<'d>(document: &'d Value, part: &str, what: &str) -> &'d Value {
    let checks = document[part].as_array().expect("checks");
    checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("no {what} in {document}"))
}

/// Those of the named capabilities that are not good.
fn missing(document: &Value) -> Vec<&'static str> {
    RIGHTS.into_iter().filter(|right| check(document, "checks", right)["state"] != "good").collect()
}

fn advice<'d>(document: &'d Value, what: &str) -> &'d str {
    check(document, "checks", what)["advice"].as_str().expect("advice")
}

#[test]
fn root_can_trace_and_every_line_says_so() {
    let machine = Machine::shared();
    let (document, outcome) = doctor(&machine, "", "");
    assert_eq!((outcome.code, &document["can_trace"]), (Some(0), &Value::Bool(true)), "{document}");
    assert_eq!(document["schema"], "leaktrace.doctor/1");
    assert!(missing(&document).is_empty(), "{document}");
    for check in document["checks"].as_array().expect("checks") {
        assert_ne!(check["state"], "bad", "{check}");
        assert_eq!(check["state"] == "good", check["advice"].is_null(), "{check}");
    }
    let table = machine.leaktrace("doctor").wait().well().output;
    for what in ["ok    CAP_BPF", "ring buffer", "task storage", "PID namespace", "seccomp", "own memory", "programs"] {
        assert!(table.contains(what), "{what} is not in\n{table}");
    }
}

#[test]
fn nobody_is_told_exactly_what_is_missing_and_who_gives_it() {
    let machine = Machine::shared();
    let (document, outcome) = as_nobody(&machine, "");
    assert_eq!((outcome.code, missing(&document).as_slice()), (Some(2), &RIGHTS[..]));
    assert!(outcome.errors.contains("BAD"), "{}", outcome.errors);
    assert!(advice(&document, "CAP_BPF").contains("docker run --cap-add BPF"), "{document}");
    assert!(advice(&document, "CAP_SYS_PTRACE").contains("CapabilityBoundingSet=CAP_SYS_PTRACE"), "{document}");
    for (given, without) in [("+bpf,+perfmon", &RIGHTS[2..]), ("+bpf,+sys_ptrace,+dac_read_search", &RIGHTS[1..2])] {
        let (document, outcome) = as_nobody(&machine, &format!(",{given}"));
        assert_eq!(missing(&document), without);
        assert_eq!(outcome.code, Some(if without.contains(&"CAP_PERFMON") { 2 } else { 0 }), "{document}");
    }
}

#[test]
fn a_pid_namespace_is_said_with_what_can_be_seen_from_it() {
    let machine = Machine::shared();
    let (document, outcome) = doctor(&machine, "unshare --pid --fork --mount-proc", "");
    assert_eq!(outcome.code, Some(0), "{document}");
    let seen = check(&document, "checks", "PID namespace");
    assert_eq!(seen["state"], "poor");
    assert!(advice(&document, "PID namespace").contains("--pid=host"), "{document}");
    assert!(check(&document, "checks", "container")["found"].as_str().unwrap().contains("PID"), "{document}");
    let (document, outcome) = doctor(&machine, "unshare --pid --fork", "");
    assert_eq!((outcome.code, &check(&document, "checks", "PID namespace")["state"]), (Some(2), &"bad".into()));
}

#[test]
fn a_user_namespace_is_said_to_make_capabilities_count_for_nothing() {
    let machine = Machine::shared();
    let (document, outcome) = doctor(&machine, "unshare -Ur", "");
    assert_eq!(outcome.code, Some(2));
    assert_eq!(check(&document, "checks", "user namespace")["state"], "bad");
    assert_eq!(missing(&document), RIGHTS);
    assert!(
        check(&document, "checks", "CAP_BPF")["found"].as_str().unwrap().contains("user namespace alone"),
        "{document}"
    );
}

#[test]
fn a_process_that_can_be_traced_is_said_with_its_allocator() {
    let machine = Machine::shared();
    let mut pair = machine.target("pair", "3 1 0");
    pair.run_pairs(1);
    let (document, outcome) = doctor(&machine, "", &format!("-p {}", pair.pid()));
    assert_eq!(outcome.code, Some(0), "{document}");
    assert!(check(&document, "process", "process")["found"].as_str().unwrap().contains("pair"), "{document}");
    let allocator = check(&document, "process", "allocator")["found"].as_str().unwrap();
    assert!(allocator.contains("libc.so.6") && allocator.contains("malloc"), "{allocator}");
    assert_eq!(check(&document, "process", "its seccomp")["state"], "good");
    let table = machine.leaktrace(&format!("doctor -p {}", pair.pid())).wait().well().output;
    assert!(table.contains(&format!("process {}:", pair.pid())), "{table}");
}

#[test]
fn a_process_that_cannot_be_traced_is_said_with_the_reason() {
    let machine = Machine::shared();
    let (document, outcome) = doctor(&machine, "", "-p 2");
    assert_eq!(outcome.code, Some(2));
    let found = check(&document, "process", "process")["found"].as_str().unwrap();
    assert!(found.contains("kernel thread"), "{found}");
    assert!(outcome.errors.contains("process 2 cannot be traced"), "{}", outcome.errors);
    let (document, _) = doctor(&machine, "", "-p 4000000000");
    assert!(check(&document, "process", "process")["found"].as_str().unwrap().contains("there is no process"));
    let (document, outcome) = doctor(&machine, "setpriv --reuid 65534 --regid 65534 --clear-groups", "-p 1");
    assert_eq!((outcome.code, &check(&document, "process", "its program")["state"]), (Some(2), &"bad".into()));
}
