//! leaktrace itself, as its user starts it.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::contender::Tracing;

/// How much of a process leaktrace follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every allocation.
    Exact,
    /// A sample each 512 KiB on average.
    Sampled,
    /// What its budget allows, as it comes.
    Budgeted,
}

impl Mode {
    /// What to type for it.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Exact => &["-s", "exact", "--budget", "off"],
            Self::Sampled => &["-s", "512K", "--budget", "off"],
            Self::Budgeted => &[],
        }
    }
}

/// A running leaktrace.
pub struct Leaktrace {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Leaktrace {
    /// Starts it on a process and waits until its probes are in place.
    pub fn attach(binary: &Path, arguments: &[&str], pid: u32) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(arguments).args(["-v", "--format", "folded", "-p", &pid.to_string(), "1d"]);
        Self::start(command.stdout(Stdio::null()))
    }

    /// Starts it with reports of each of these seconds, as JSON; gives what they are read from.
    pub fn attach_reporting(binary: &Path, arguments: &[&str], pid: u32, seconds: u64) -> Result<(Self, ChildStdout)> {
        let mut command = Command::new(binary);
        command.args(arguments).args(["-v", "--format", "json", "-p", &pid.to_string(), &seconds.to_string()]);
        let mut leaktrace = Self::start(command.stdout(Stdio::piped()))?;
        let reports = leaktrace.child.stdout.take().context("leaktrace has no standard output")?;
        Ok((leaktrace, reports))
    }

    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("leaktrace cannot be started; run `cargo xtask bench`")?;
        let stderr = child.stderr.take().context("leaktrace has no standard error")?;
        let mut leaktrace = Self { child, stderr: BufReader::new(stderr) };
        let mut said = String::new();
        let mut line = String::new();
        while leaktrace.stderr.read_line(&mut line)? > 0 {
            if line.contains("probes in process") {
                return Ok(leaktrace);
            }
            said = std::mem::take(&mut line);
        }
        bail!("leaktrace did not attach: {}", said.trim())
    }

    /// Ends it as Ctrl-C would; gives what it says it lost.
    pub fn lost(mut self) -> Result<String> {
        Command::new("kill").arg("-INT").arg(self.child.id().to_string()).status()?;
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        self.child.wait()?;
        let loss = said.lines().find_map(|line| line.split_once("allocations lost: ")).map(|(_, loss)| loss);
        Ok(loss.unwrap_or("an unknown amount").to_owned())
    }
}

impl Tracing for Leaktrace {
    fn finish(self: Box<Self>) -> Result<Option<String>> {
        Ok(Some(format!("lost {}", self.lost()?)))
    }
}

impl Drop for Leaktrace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
