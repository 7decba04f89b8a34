//! A program to trace, that is told what to do over its standard input.

use std::{
    io::Write,
    process::{ChildStdin, Command, ExitStatus, Stdio},
};

use super::{Machine, Running, lines::Lines};

/// One of `tests/targets` at work.
pub struct Target {
    running: Running,
    input: ChildStdin,
    output: Lines,
}

impl Target {
    /// Starts it.
    pub fn start(machine: &Machine, mut command: Command) -> Self {
        let mut running = machine.program(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (input, output) = (running.stdin(), Lines::of(running.stdout()));
        Self { running, input, output }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Says a line to it.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the target listens");
    }

    /// The next line it says.
    pub fn hear(&mut self) -> String {
        self.output.next().expect("the target speaks").trim_end().to_owned()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.running.wait()
    }

    /// Closes its standard input, which ends it; waits until it has ended.
    pub fn end(self) -> ExitStatus {
        let Self { mut running, input, output } = self;
        drop((input, output));
        running.wait()
    }

    /// Kills it; it stays a zombie as long as this lives.
    pub fn kill(&mut self) {
        self.running.signal(rustix::process::Signal::KILL);
    }

    /// Has `pair` run for some milliseconds: how many pairs it did, and how long one took.
    pub fn run_pairs(&mut self, milliseconds: u32) -> (u64, f64) {
        self.say(&format!("run {milliseconds}"));
        let answer = self.hear();
        let words: Vec<&str> = answer.split_whitespace().collect();
        let ["pairs", pairs, "ns_per_pair", time] = words[..] else { panic!("pair answers {answer}") };
        (pairs.parse().expect("a number of pairs"), time.parse().expect("nanoseconds"))
    }
}
