//! A program that works for as long as a line on its standard input says, and answers how fast it was.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::Subject;

/// A running program that obeys `run MILLISECONDS`, idle until told to. Killed when dropped.
pub struct TurnTaker {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    turn_ms: u64,
}

impl TurnTaker {
    /// Starts it, for turns of this many milliseconds.
    pub fn start(command: &mut Command, turn_ms: u64) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().with_context(|| {
            format!("{} cannot be started; run `cargo xtask bench`", command.get_program().display())
        })?;
        let (Some(commands), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the program under trace has no pipes");
        };
        let mut taker = Self { child, commands, answers: BufReader::new(answers), turn_ms };
        // Its first turn faults in its stack and heap; it counts for nobody.
        taker.run(20)?;
        Ok(taker)
    }

    /// Runs for this long; gives nanoseconds of one piece of its work.
    pub fn run(&mut self, milliseconds: u64) -> Result<f64> {
        writeln!(self.commands, "run {milliseconds}").context("the program under trace has ended")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let words: Vec<&str> = answer.split_whitespace().collect();
        match words[..] {
            [_, _, _, nanoseconds] => Ok(nanoseconds.parse()?),
            [] => bail!("the program under trace has ended"),
            _ => bail!("the program under trace answered {answer:?}"),
        }
    }
}

impl Subject for TurnTaker {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn turn(&mut self) -> Result<f64> {
        self.run(self.turn_ms)
    }
}

impl Drop for TurnTaker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
