//! Small programs that leak, each in another of the ways in which Python programs do, and some that do not: leaktrace comes
//! to them while they run, and names the line, or accuses nobody.
//!
//! Each runs on one version of `CPython`, another for each program as far as there are several; with `--full`, each on all.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread::{scope, sleep},
    time::Duration,
};

use serde_json::Value;

use super::{
    findings::Kind,
    interpreters::Interpreter,
    judge::Traced,
    outcomes::{Outcome, Told, failed, table},
    programs::{PROGRAMS, Program},
};
use crate::harness::{Machine, Scratch, is_full};

/// How long a program is traced, in seconds.
const TRACED_S: u64 = 45;

/// The same for one whose leak only the C library's allocator shows, when it is to be called one: of a stack that is never
/// said before two minutes.
const TRACED_SURELY_S: u64 = 150;

/// Programs that are traced at a time, each by its own leaktrace. They are idle most of the time, but other tests run beside.
const AT_ONCE: usize = 10;

#[test]
fn the_line_that_leaks_is_named_from_outside_and_whoever_is_healthy_is_not_accused() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let interpreters = Interpreter::all();
    let cells: Vec<(Program, &Interpreter)> = if is_full() {
        interpreters.iter().flat_map(|interpreter| PROGRAMS.map(|program| (program, interpreter))).collect()
    } else {
        PROGRAMS.into_iter().zip(interpreters.iter().cycle()).collect()
    };
    let outcomes = Mutex::new(Vec::new());
    let waiting = Mutex::new(cells.into_iter());
    scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("nothing fails while this is held").next();
                    let Some((program, interpreter)) = next else { break };
                    // A program that gives the harness up is one that failed; what was said stands above.
                    let told = catch_unwind(AssertUnwindSafe(|| trace(&machine, program, interpreter, &scratch)))
                        .unwrap_or_else(|_| Err("the harness gave up, see above".to_owned()));
                    let (leaks, version) = (program.leaks.is_some(), interpreter.version.clone());
                    let outcome = Outcome { program: program.name, leaks, version, told };
                    outcomes.lock().expect("nothing fails while this is held").push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("nothing fails while this is held");
    let place = |one: &Outcome| {
        let program = PROGRAMS.iter().position(|program| program.name == one.program);
        (program, interpreters.iter().position(|interpreter| interpreter.version == one.version))
    };
    outcomes.sort_by_key(place);
    println!("{}", table(&outcomes));
    let failed = failed(&outcomes);
    assert_eq!(failed, 0, "{failed} of {} are not as they should be: the table above says which", outcomes.len());
}

/// Traces a program that already runs, and judges what is said of it.
fn trace(machine: &Machine, program: Program, interpreter: &Interpreter, scratch: &Scratch) -> Result<Told, String> {
    let is_stack = program.leaks.is_some_and(|(kind, _)| kind == Kind::Stack);
    let leak = program.leak(!is_stack || is_full());
    let traced_s = if is_stack && is_full() { TRACED_SURELY_S } else { TRACED_S };
    let target = program.start(machine, interpreter, scratch)?;
    let pid = target.pid();
    let leaktrace = machine.leaktrace(&format!("-p {pid} --format json -d {traced_s} --fail-on leak 5"));
    sleep(Duration::from_secs(traced_s));
    let outcome = leaktrace.wait();
    let reports: Vec<Value> = outcome.output.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
    let expected = Some(i32::from(leak.as_ref().is_some_and(|leak| leak.surely)));
    let traced = Traced { pid, version: &interpreter.version, reports: &reports };
    let judged = match &leak {
        Some(leak) => traced.names(leak).map(|named| Told::Named { after_s: named.after_s, what: named.what }),
        None => traced.accuses_nothing().map(|()| Told::Quiet),
    };
    let told = judged.map_err(|why| [why.as_str(), outcome.errors.trim_end()].join("\n  ").trim_end().to_owned())?;
    if outcome.code != expected {
        return Err(format!("leaktrace ended with {:?} and not {expected:?}:\n{}", outcome.code, outcome.errors));
    }
    let ended = target.end();
    if ended.success() { Ok(told) } else { Err(format!("when it was left alone, the program ended with {ended}")) }
}
