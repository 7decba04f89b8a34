//! The loop that is measured: a program that runs malloc and free pairs for as long as it is told.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// How the loop program is compiled.
#[derive(Clone, Copy)]
pub enum Build {
    /// With frame pointers.
    FramePointers,
    /// As distributions compile: with tables in their place.
    Tables,
}

impl Build {
    fn program(self) -> &'static str {
        match self {
            Self::FramePointers => "pair",
            Self::Tables => "pair-nofp",
        }
    }
}

/// A running loop program, idle until told to run. Killed when dropped.
pub struct PairLoop {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl PairLoop {
    /// Starts it with one thread that loops this many frames deep.
    pub fn start(targets: &Path, build: Build, depth: u32) -> Result<Self> {
        let mut child = Command::new(targets.join(build.program()))
            .args([depth.to_string().as_str(), "1", "0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the loop program cannot be started; run `cargo xtask bench`")?;
        let (Some(commands), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the loop program has no pipes");
        };
        let mut pair = Self { child, commands, answers: BufReader::new(answers) };
        // Its first turn faults in its stack and heap; it counts for nobody.
        pair.run(20)?;
        Ok(pair)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs for this long; gives nanoseconds a pair.
    pub fn run(&mut self, milliseconds: u64) -> Result<f64> {
        writeln!(self.commands, "run {milliseconds}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let words: Vec<&str> = answer.split_whitespace().collect();
        match words[..] {
            ["pairs", _, "ns_per_pair", nanoseconds] => Ok(nanoseconds.parse()?),
            _ => bail!("the loop program answered {answer:?}"),
        }
    }
}

impl Drop for PairLoop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
