//! What C code allocates for Python is told with Python's functions, files and lines.

use std::{fs, process::Command};

use serde_json::Value;

use super::interpreters::Interpreter;
use crate::harness::{Machine, Target, number, stacks};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/targets/buffers.py");

fn start(machine: &Machine, python: &Interpreter) -> Target {
    let mut command = Command::new(&python.program);
    command.arg(PROGRAM);
    let mut target = Target::start(machine, command);
    assert_eq!(target.hear(), "ready");
    target
}

/// Bytes of a buffer, at least.
const BUFFER: u64 = 20_000;

/// The last word of a function's name, and its line.
type Place = (String, u64);

/// Functions of Python with the lines that bear these comments.
fn places(expected: &[(&str, &str)]) -> Vec<Place> {
    let source = fs::read_to_string(PROGRAM).expect("the program");
    let line = |comment: &str| {
        let found = source.lines().position(|line| line.ends_with(&format!("# {comment}")));
        found.unwrap_or_else(|| panic!("no line {comment}")) as u64 + 1
    };
    expected.iter().map(|(function, comment)| ((*function).to_owned(), line(comment))).collect()
}

/// Python's frames of a stack, innermost first, those of the program itself.
fn python_frames(stack: &Value) -> Vec<Place> {
    let frames = stack["frames"].as_array().expect("frames").iter();
    let own = frames.filter(|frame| frame["kind"] == "python" && frame["file"] == PROGRAM);
    own.map(|frame| {
        let function = frame["function"].as_str().expect("a name");
        (function.rsplit('.').next().unwrap_or(function).to_owned(), number(frame, "line"))
    })
    .collect()
}

/// Where in a stack the frame of this function is.
fn position(stack: &Value, function: &str) -> usize {
    let mut frames = stack["frames"].as_array().expect("frames").iter();
    let is_it = |name: &str| name.rsplit('.').next() == Some(function);
    frames.position(|frame| frame["function"].as_str().is_some_and(is_it)).expect("a frame")
}

#[test]
fn a_buffer_of_c_code_has_the_python_stack_that_asked_for_it() {
    let machine = Machine::shared();
    for python in Interpreter::few() {
        let mut target = start(&machine, python);
        let leaktrace = machine.attach(target.pid(), "--format json -T 10000 60");
        target.say("30");
        assert_eq!(target.hear(), "done");
        let report = leaktrace.end().last_report();
        let ways: [&[(&str, &str)]; 4] = [
            &[("keep", "keeps a buffer"), ("called_by_python", "calls it from Python")],
            &[("keep", "keeps a buffer"), ("called_by_c", "has C code call it")],
            &[
                ("keep", "keeps a buffer"),
                ("generated", "calls it from a generator"),
                ("consume", "has C code run the generator"),
            ],
            &[("keep", "keeps a buffer"), ("in_a_thread", "calls it in a thread")],
        ];
        for way in ways {
            let expected = places(way);
            let context = format!("{}: {expected:?}", python.program.display());
            // The list of them grows on the same line. C code may come to allocate in several ways.
            let is_of_buffers = |stack: &&Value| {
                number(stack, "outstanding_bytes") >= BUFFER * number(stack, "outstanding_count").max(1)
            };
            let found = stacks(&report).iter().filter(|stack| python_frames(stack).starts_with(&expected));
            let found: Vec<&Value> = found.filter(is_of_buffers).collect();
            let count: u64 = found.iter().map(|stack| number(stack, "outstanding_count")).sum();
            assert_eq!(count, 30, "{context}: {report:#}");
            for stack in found {
                let mut frames = stack["frames"].as_array().expect("frames").iter();
                assert!(frames.all(|frame| frame["function"] != "_PyEval_EvalFrameDefault"), "{stack:#}");
                assert!(position(stack, "keep") > 0, "C code allocates: {stack:#}");
            }
        }
        // Where the walk came to the bottom of the stack, which it may not when the machine is busy as it begins.
        let is_by_c = |stack: &&Value| {
            stack["complete"] == true && python_frames(stack).get(1).is_some_and(|(name, _)| name == "called_by_c")
        };
        for by_c in stacks(&report).iter().filter(is_by_c) {
            assert!(position(by_c, "called_by_c") > position(by_c, "keep") + 1, "C code lies in between: {by_c:#}");
        }
    }
}
