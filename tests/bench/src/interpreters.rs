//! What leaktrace does to a running `CPython` beside its probes: a watch on a container, walks of Python's stack, and a reading
//! of the heap.
//!
//! What a watch costs is the writes that trap, in a program that works and adds steadily, times what one takes, by writes
//! in turns with the watch and without; for what the program gets done differs from second to second by more than that. A
//! frame's share of a walk is told by writes from a shallow stack and from a deep one.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};
use leak_user::python::{heap::Heap, interpreter::Interpreter, snapshot::Snapshot, watch::Watch};

use crate::{progress, scenarios::Measured, series::Series, tools::Tool};

const SCRIPT: &str = include_str!("interpreters.py");
const PYTHON: Tool = Tool { program: "python3", package: "python3" };

/// Milliseconds of work under the watch.
const WORK_MS: u32 = 20_000;

/// Turns of writes, entries written in one, and the calls below which they are.
const WRITE_ROUNDS: usize = 31;
const WRITES: u32 = 4000;
const SHALLOW: u32 = 4;
const DEEP: u32 = 44;

/// Readings of the heap.
const READINGS: usize = 7;

/// Most bytes of a reading.
const MOST_BYTES: u64 = 4 << 30;

/// Demands: percent of the watched program's CPU time; nanoseconds of a frame; seconds of a reading.
const MOST_PCT: f64 = 2.0;
const MOST_NS_A_FRAME: f64 = 120.0;
const MOST_READING_S: f64 = 1.0;

/// The program, ended when this is dropped.
struct Subject {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    size_at: u64,
    filled_mb: u64,
}

impl Subject {
    fn start() -> Result<Self> {
        // What is on the path may be a script that starts the real one.
        let mut command = Command::new(PYTHON.find()?);
        let mut child = command
            .args(["-I", "-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("python3 cannot be started")?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).context("a child has pipes")?;
        let mut subject = Self { child, input, output: BufReader::new(output), size_at: 0, filled_mb: 0 };
        let said = subject.hear()?;
        let (address, megabytes) = said.split_once(' ').with_context(|| format!("the script says {said}"))?;
        (subject.size_at, subject.filled_mb) = (address.parse()?, megabytes.parse()?);
        Ok(subject)
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("the script says nothing")?;
        Ok(line.trim().to_owned())
    }

    fn ask(&mut self, command: &str) -> Result<f64> {
        writeln!(self.input, "{command}")?;
        let answer = self.hear()?;
        answer.parse().with_context(|| format!("the script answers {answer}"))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures for so long as that takes.
pub fn measure() -> Result<Measured> {
    let mut subject = Subject::start()?;
    let interpreter = Interpreter::find(subject.child.id())?.context("python3 on the path is no CPython")?;
    let writes = writes_seen(&mut subject, &interpreter)?;
    let (frame, write) = traps(&mut subject, &interpreter)?;
    let percent = writes * write / 1e7;
    let reading = reading(&interpreter)?;
    progress::clear();
    let mut text = format!("a watch, walks and readings of CPython {}\n\n", interpreter.version);
    writeln!(text, "| | | demanded |\n|---|---:|---:|")?;
    writeln!(
        text,
        "| a dict that gains 1,700 entries a second is watched, % of CPU time | {percent:.1} | {MOST_PCT:.0} |"
    )?;
    writeln!(text, "| a frame of a walk of Python's stack, ns | {frame:.0} | {MOST_NS_A_FRAME:.0} |")?;
    let megabytes = subject.filled_mb;
    writeln!(text, "| a reading of {megabytes} MB of objects, s | {reading:.2} | {MOST_READING_S:.0} |")?;
    let verdict = |what: &str, is_met: bool| format!("{what}: {}", if is_met { "met" } else { "not met" });
    let verdicts = vec![
        verdict(&format!("a watch takes {percent:.1} % of the CPU time, at most {MOST_PCT}"), percent <= MOST_PCT),
        verdict(&format!("{frame:.0} ns a Python frame, at most {MOST_NS_A_FRAME}"), frame <= MOST_NS_A_FRAME),
        verdict(
            &format!("{megabytes} MB read in {reading:.2} s, in less than {MOST_READING_S}"),
            reading < MOST_READING_S,
        ),
    ];
    Ok(Measured { text, verdicts })
}

/// Writes a second that trap while the program works and is watched as a trace does.
fn writes_seen(subject: &mut Subject, interpreter: &Interpreter) -> Result<f64> {
    progress::show("watching");
    let watch = Watch::start(interpreter, &[subject.size_at])?;
    subject.ask(&format!("work {WORK_MS}"))?;
    let seen = watch.coverage()?.first().map_or(0, |coverage| coverage.writes);
    Ok(seen as f64 / f64::from(WORK_MS) * 1000.0)
}

/// Nanoseconds that a frame adds to a write that traps, and that such a write takes from a shallow stack.
fn traps(subject: &mut Subject, interpreter: &Interpreter) -> Result<(f64, f64)> {
    let [mut shallow, mut deep, mut watched_shallow, mut watched_deep] = [(); 4].map(|()| Series::default());
    let write = |depth: u32| format!("write {depth} {WRITES}");
    for round in 0..WRITE_ROUNDS {
        shallow.add(subject.ask(&write(SHALLOW))?);
        deep.add(subject.ask(&write(DEEP))?);
        let watch = Watch::within(interpreter, &[subject.size_at], f64::INFINITY)?;
        watched_shallow.add(subject.ask(&write(SHALLOW))?);
        watched_deep.add(subject.ask(&write(DEEP))?);
        drop(watch);
        progress::show(&format!("walks: round {} of {WRITE_ROUNDS}", round + 1));
    }
    let by_depth = watched_deep.median_above(&watched_shallow) - deep.median_above(&shallow);
    Ok((by_depth / f64::from(DEEP - SHALLOW), watched_shallow.median_above(&shallow)))
}

/// Seconds of a reading: copying the memory and finding the objects in it.
fn reading(interpreter: &Interpreter) -> Result<f64> {
    let mut readings = Series::default();
    for round in 0..READINGS {
        let snapshot = Snapshot::take(interpreter, MOST_BYTES)?;
        let heap = Heap::scan(interpreter, &snapshot)?;
        readings.add((snapshot.took + heap.took).as_secs_f64());
        progress::show(&format!("readings: round {} of {READINGS}", round + 1));
    }
    Ok(readings.median())
}
