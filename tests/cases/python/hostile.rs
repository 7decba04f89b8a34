//! What only says that it is a Python, and what ends while it is looked at: a sentence or figures, never harm.

use std::{thread::sleep, time::Duration};

use super::interpreters::Interpreter;
use crate::harness::{Machine, Outcome, Target};

/// Fails unless leaktrace ended in order: with a table that is inert, or with a sentence.
fn is_in_order(outcome: Outcome, what: &str) {
    assert!(!outcome.output.contains(|c: char| c != '\n' && c.is_control()), "{what}: {}", outcome.output);
    if outcome.code == Some(0) {
        assert!(outcome.output.contains("live block"), "{what}: {}", outcome.output);
    } else {
        let line = outcome.refusal();
        assert!(line.contains("process"), "{what}: {line}");
    }
}

#[test]
fn a_heap_that_no_python_has_is_read_to_its_end() {
    let machine = Machine::shared();
    for arguments in ["crafted", "random 1", "random 2", "random 3", "changing 4", "changing 5"] {
        let mut target = machine.target("fake_python", arguments);
        target.hear();
        let outcome = machine.leaktrace(&format!("python-types {}", target.pid())).wait();
        assert_eq!(outcome.code, Some(0), "{arguments}: {}", outcome.errors);
        is_in_order(outcome, arguments);
    }
}

#[test]
fn a_process_that_ends_while_it_is_looked_at_is_said_to_have_ended() {
    const PROGRAM: &str = "
import sys
held = [float(n) for n in range(500000)]
print(flush=True)
sys.stdin.read()";
    let machine = Machine::shared();
    for milliseconds in [0, 5, 10, 20, 40] {
        let mut target = Target::start(&machine, Interpreter::any().command(PROGRAM));
        target.hear();
        let look = machine.leaktrace(&format!("python-types {}", target.pid()));
        sleep(Duration::from_millis(milliseconds));
        target.kill();
        is_in_order(look.wait(), &format!("killed after {milliseconds} ms"));
    }
    let mut target = Target::start(&machine, Interpreter::any().command(PROGRAM));
    target.hear();
    let look = machine.leaktrace(&format!("python-types {} --interval 2s", target.pid()));
    sleep(Duration::from_secs(1));
    target.kill();
    let refusal = look.wait().refusal();
    assert!(refusal.contains("ended"), "{refusal}");
}

#[test]
fn objects_that_come_and_go_meanwhile_do_not_shake_the_others() {
    const PROGRAM: &str = "
import sys, threading
held = [float(n) for n in range(200000)]
def churn():
    while True:
        [(n, str(n), {n: [n]}) for n in range(20000)]
threading.Thread(target=churn, daemon=True).start()
print(flush=True)
sys.stdin.read()";
    let machine = Machine::shared();
    let mut target = Target::start(&machine, Interpreter::any().command(PROGRAM));
    target.hear();
    for _ in 0..5 {
        let report =
            machine.leaktrace(&format!("python-types {} --format json", target.pid())).wait().reports().remove(0);
        let types = report["types"].as_array().expect("types");
        let floats = types.iter().find(|told| told["type"] == "float").and_then(|told| told["count"].as_u64());
        assert!(floats.is_some_and(|count| count.abs_diff(200_000) <= 1000), "{floats:?} floats");
    }
}
