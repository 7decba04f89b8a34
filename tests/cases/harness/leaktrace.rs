//! leaktrace at work, and what came of it.

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{Machine, Running, lines::Lines};

/// A running leaktrace.
pub struct Leaktrace {
    running: Running,
    output: Lines,
    errors: Lines,
}

/// What a leaktrace that has ended leaves.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// All of standard output.
    pub output: String,
    /// All of standard error.
    pub errors: String,
}

impl Leaktrace {
    /// Starts it.
    pub fn start(machine: &Machine, mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = machine.program(command);
        let (output, errors) = (Lines::of(running.stdout()), Lines::of(running.stderr()));
        Self { running, output, errors }
    }

    /// Waits until a line on standard error contains this.
    pub fn wait_until_said(&mut self, part: &str) -> String {
        self.errors.next_with(part)
    }

    /// Waits until the unwind table of a file of this name is made and, a little later, used. It runs with `-v`.
    pub fn wait_for_table(&mut self, file: &str) {
        self.errors.until(&format!("/{file} in "));
        sleep(Duration::from_millis(200));
    }

    /// Waits for the next report, of `--format json`.
    pub fn next_report(&mut self) -> Value {
        parsed(&self.output.next().expect("a report"))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Keeps it from running for so long while `meanwhile` happens, as a machine does that has no time for it.
    pub fn paused<T>(&mut self, time: Duration, meanwhile: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        self.running.signal(Signal::STOP);
        let result = meanwhile();
        sleep(time.saturating_sub(began.elapsed()));
        self.running.signal(Signal::CONT);
        result
    }

    /// Kills it outright; returns when it is gone.
    pub fn kill(mut self) {
        self.running.signal(Signal::KILL);
        self.running.wait();
    }

    /// Tells it to end, as Ctrl-C would, and waits until it has.
    pub fn end(mut self) -> Outcome {
        self.running.signal(Signal::INT);
        self.wait()
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> Outcome {
        let code = self.running.wait().code();
        Outcome { code, output: self.output.all(), errors: self.errors.all() }
    }
}

impl Outcome {
    /// Fails unless it ended well.
    pub fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "leaktrace says:\n{}", self.errors);
        self
    }

    /// The reports of a leaktrace that ended well, of `--format json`.
    pub fn reports(self) -> Vec<Value> {
        self.well().output.lines().map(parsed).collect()
    }

    /// The final one.
    pub fn last_report(self) -> Value {
        let last = self.reports().pop().expect("a report");
        assert_eq!(last["final"], true, "the last report is the final one");
        last
    }

    /// The only line on standard error of a leaktrace that refused to work, without a word on standard output.
    pub fn refusal(self) -> String {
        assert_eq!(self.code, Some(2), "leaktrace says:\n{}{}", self.output, self.errors);
        assert_eq!(self.output, "", "an error goes to standard error alone");
        let mut lines = self.errors.lines();
        let (line, more) = (lines.next().unwrap_or_default().to_owned(), lines.next());
        assert!(line.starts_with("leaktrace: ") && more.is_none(), "one line that says who:\n{}", self.errors);
        line
    }
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON document ({error}): {line}"))
}
