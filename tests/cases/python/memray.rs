//! memray, which has a program run from its start under its hooks, finds the same lines that the programs mark and that
//! leaktrace names from outside.

use std::{
    process::{Command, Stdio},
    thread::{scope, sleep},
    time::Duration,
};

use super::{
    findings::Kind,
    programs::{PROGRAMS, Program, marked, sources},
};
use crate::harness::{Machine, Scratch, Target, is_full, python_path};

/// How long a program runs, in seconds.
const RUN_S: u64 = 4;

/// Lists the lines of a program with most memory at its peak: `line bytes`, the largest first.
const LARGEST: &str = "
import collections, sys, memray
lines = collections.Counter()
for record in memray.FileReader(sys.argv[1]).get_high_watermark_allocation_records(merge_threads=True):
    own = [frame for frame in record.stack_trace() if frame[1] == sys.argv[2] and frame[0] != '<module>']
    if own:
        lines[own[0][2]] += record.size
for line, size in lines.most_common():
    print(line, size)
";

/// Of those, so many are looked at: what is added has a line of its own beside the one that adds it.
const LOOKED_AT: usize = 6;

/// The lines with most memory.
fn largest(machine: &Machine, program: &Program, scratch: &Scratch) -> Vec<u64> {
    let record = scratch.path(&format!("{}.memray", program.name));
    let mut command = Command::new(python_path());
    command.args(["-m", "memray", "run", "-q", "--trace-python-allocators", "-o"]).arg(&record);
    command.arg(program.source()).env("PYTHONDONTWRITEBYTECODE", "1").stderr(Stdio::null());
    let mut target = Target::start(machine, command);
    assert_eq!(target.hear(), "ready", "{}", program.name);
    sleep(Duration::from_secs(RUN_S));
    assert!(target.end().success(), "{}", program.name);
    let mut command = Command::new(python_path());
    let listed = command.args(["-c", LARGEST]).arg(&record).arg(program.source()).output().expect("memray's reader");
    let text = String::from_utf8(listed.stdout).expect("numbers");
    let line = |line: &str| line.split(' ').next()?.parse().ok();
    text.lines().filter_map(line).take(LOOKED_AT).collect()
}

#[test]
fn memray_finds_the_lines_that_are_named() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let is_held = |program: &&Program| matches!(program.leaks, Some((Kind::Holder | Kind::Cycle, _)));
    let held: Vec<Program> = PROGRAMS.iter().filter(is_held).copied().collect();
    let held = if is_full() { &held[..] } else { &held[..5] };
    scope(|scope| {
        let found: Vec<_> =
            held.iter().map(|program| (program, scope.spawn(|| largest(&machine, program, &scratch)))).collect();
        for (program, largest) in found {
            let largest = largest.join().expect("memray runs it");
            let marked = marked(&sources().join(program.name).with_extension("py"));
            assert!(marked.iter().all(|line| largest.contains(line)), "{}: {marked:?} of {largest:?}", program.name);
        }
    });
}
