//! `leaktrace python-types`: the objects of a running Python by type, held against what the program says of itself.

use std::{collections::BTreeMap, fs, process::Command};

use serde_json::Value;

use super::interpreters::Interpreter;
use crate::harness::{Machine, Target, figure, number};

/// The program that makes objects of known numbers.
const HEAP: &str = include_str!("heap.py");

/// How far a count may be from the truth, as its part: 0.5 %.
const TOLERANCE: u64 = 200;

/// What is found in a process.
fn types(machine: &Machine, pid: u32, more: &str) -> Value {
    let mut reports = machine.leaktrace(&format!("python-types {pid} --format json {more}")).wait().reports();
    let report = reports.remove(0);
    assert_eq!(report["schema"], "leaktrace.python-types/1");
    report
}

/// The number of objects of each type.
fn counts(report: &Value) -> BTreeMap<&str, u64> {
    let types = report["types"].as_array().expect("types");
    types.iter().map(|told| (told["type"].as_str().expect("a name"), number(told, "count"))).collect()
}

fn is_near(count: u64, truth: u64) -> bool {
    count.abs_diff(truth) <= truth / TOLERANCE
}

/// A program in this Python that says a line of JSON, and what it says.
fn started(machine: &Machine, python: &Interpreter, program: &str) -> (Target, Value) {
    let mut target = Target::start(machine, python.command(program));
    let line = target.hear();
    let said = serde_json::from_str(&line).unwrap_or_else(|error| panic!("no JSON document ({error}): {line}"));
    (target, said)
}

#[test]
fn objects_of_known_numbers_are_found_in_every_python() {
    let machine = Machine::shared();
    for python in Interpreter::few() {
        let (target, truth) = started(&machine, python, HEAP);
        let report = types(&machine, target.pid(), "--top 100000");
        let (version, path) = (report["version"].as_str().expect("a version"), python.program.display());
        assert!(truth["version"].as_str().expect("a version").starts_with(version), "{path}: {version}");
        let counts = counts(&report);
        let count_of = |name: &str| counts.get(name).copied().unwrap_or(0);
        for (name, made) in truth["exactly"].as_object().expect("numbers") {
            let (count, made) = (count_of(name), made.as_u64().expect("a number"));
            assert!(is_near(count, made), "{path}: {count} {name}, of which there are {made}");
        }
        for (name, made) in truth["at_least"].as_object().expect("numbers") {
            let (count, made) = (count_of(name), made.as_u64().expect("a number"));
            assert!(count >= made - made / TOLERANCE, "{path}: {count} {name}, of which {made} and more were made");
        }
        let (blocks, known) = (number(&report, "live_blocks"), number(&truth, "blocks"));
        assert!(is_near(blocks, known), "{path}: {blocks} live blocks, of which Python counts {known}");
    }
}

#[test]
fn three_million_objects_are_counted() {
    const PROGRAM: &str = "
import sys
floats, tuples = [float(n) for n in range(1500000)], [(n, n) for n in range(1500000)]
print(sys.getallocatedblocks(), flush=True)
sys.stdin.read()";
    let machine = Machine::shared();
    let (target, truth) = started(&machine, Interpreter::any(), PROGRAM);
    let report = types(&machine, target.pid(), "");
    let counts = counts(&report);
    assert!(is_near(counts["float"], 1_500_000), "{} floats", counts["float"]);
    assert!((1_500_000..1_520_000).contains(&counts["tuple"]), "{} tuples", counts["tuple"]);
    let (blocks, known) = (number(&report, "live_blocks"), truth.as_u64().expect("a number"));
    assert!(is_near(blocks, known), "{blocks} live blocks, of which Python counts {known}");
}

#[test]
fn what_belongs_to_a_container_is_counted_with_it() {
    const PROGRAM: &str = "
import collections, json, sys
class Held(list): pass
class Named(dict): pass
lists, dicts = [Held(range(1000)) for _ in range(100)], [Named((n, n) for n in range(1000)) for _ in range(100)]
deques, sets = [collections.deque(range(1000)) for _ in range(100)], [set(range(1000)) for _ in range(1000)]
print(json.dumps({kind: sum(map(sys.getsizeof, all)) for kind, all in [
    ('__main__.Held', lists), ('__main__.Named', dicts), ('collections.deque', deques), ('set', sets)]}), flush=True)
sys.stdin.read()";
    let machine = Machine::shared();
    for python in Interpreter::few() {
        let (target, truth) = started(&machine, python, PROGRAM);
        let report = types(&machine, target.pid(), "--top 100000");
        for (name, known) in truth.as_object().expect("sizes") {
            let told = report["types"].as_array().expect("types").iter().find(|told| told["type"] == **name);
            let (bytes, known) = (number(told.expect("a type"), "bytes"), known.as_u64().expect("bytes"));
            // Blocks are a little larger than what was asked for.
            let path = python.program.display();
            assert!(
                bytes.abs_diff(known) < known / 20,
                "{path}: {name} have {bytes} bytes, of which it counts {known}"
            );
        }
    }
}

#[test]
fn what_grows_between_two_looks_comes_first() {
    const PROGRAM: &str = "
import threading, time
class Session:
    def __init__(self, number): self.number = number
steady, held = [float(n) for n in range(200000)], []
print('{}', flush=True)
while True:
    held.append([Session(n) for n in range(100)])
    time.sleep(0.01)";
    let machine = Machine::shared();
    let (target, _) = started(&machine, Interpreter::any(), PROGRAM);
    let report = types(&machine, target.pid(), "--interval 1s");
    let interval = figure(&report, "interval_s");
    assert!(interval >= 1.0, "{interval}");
    let grown = &report["types"].as_array().expect("types")[..2];
    // Of older Pythons its dict is an object of its own.
    let session = grown.iter().find(|told| told["type"] == "__main__.Session").unwrap_or_else(|| panic!("{grown:?}"));
    assert!(figure(session, "count_per_s") >= 100.0 && figure(session, "bytes_per_s") >= 4800.0, "{session}");
    let table = machine.leaktrace(&format!("python-types {} --interval 200ms", target.pid())).wait().well().output;
    assert!(table.contains("stopped: never") && table.contains("GROWS"), "{table}");
    assert!(table.lines().any(|line| line.contains(" +") && line.ends_with("__main__.Session")), "{table}");
}

#[test]
fn the_process_gets_no_page_that_it_did_not_have() {
    const PROGRAM: &str = "
import mmap, sys
area = mmap.mmap(-1, 256 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
print('{}', flush=True)
sys.stdin.read()";
    let machine = Machine::shared();
    let (target, _) = started(&machine, Interpreter::any(), PROGRAM);
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", target.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory").to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    let before = resident();
    types(&machine, target.pid(), "");
    assert!(resident() - before < 64, "{before} KiB before, {} KiB after", resident());
}

#[test]
fn the_table_has_a_line_for_each_type_and_names_are_inert() {
    const PROGRAM: &str = "
import sys
Bad = type('\\x1b[2J\\u202e\\n' + 'x' * 400, (), {'__module__': '\\r\\x9b'})
held = [Bad() for _ in range(100000)]
print('{}', flush=True)
sys.stdin.read()";
    let machine = Machine::shared();
    let (target, _) = started(&machine, Interpreter::any(), PROGRAM);
    let table = machine.leaktrace(&format!("python-types {} -T 5", target.pid())).wait().well().output;
    assert!(!table.contains(|c: char| c != '\n' && c.is_control()) && !table.contains('\u{202e}'), "{table}");
    assert!(table.lines().any(|line| line.contains("\\x1b[2J")), "{table}");
    let header = table.lines().position(|line| line.contains("BYTES") && line.contains("TYPE")).expect("titles");
    assert_eq!(table.lines().count() - header, 7, "titles, a rule and five types:\n{table}");
}

#[test]
fn a_heap_that_is_not_pythons_own_is_refused() {
    const PROGRAM: &str = "import sys; print('{}', flush=True); sys.stdin.read()";
    let machine = Machine::shared();
    for (setting, said) in [("malloc", "do not come from Python's own allocator"), ("debug", "debug hooks")] {
        let mut command = Interpreter::any().command(PROGRAM);
        command.env("PYTHONMALLOC", setting);
        let mut target = Target::start(&machine, command);
        target.hear();
        let refusal = machine.leaktrace(&format!("python-types {}", target.pid())).wait().refusal();
        assert!(refusal.contains(said), "{refusal}");
    }
}

#[test]
fn a_process_without_python_is_refused() {
    let machine = Machine::shared();
    let mut sleep = Command::new("sleep");
    let sleeping = machine.program(sleep.arg("60"));
    let refusal = machine.leaktrace(&format!("python-types {}", sleeping.pid())).wait().refusal();
    assert!(refusal.contains("(sleep) runs no CPython"), "{refusal}");
    let refusal = machine.leaktrace("python-types 2147483647").wait().refusal();
    assert!(refusal.contains("there is no process 2147483647"), "{refusal}");
    for (arguments, said) in [("", "<PID>"), ("0", "not a process id"), ("1 --top 0", "number of types")] {
        let refusal = machine.leaktrace(&format!("python-types {arguments}")).wait().refusal();
        assert!(refusal.contains(said), "{arguments}: {refusal}");
    }
}
