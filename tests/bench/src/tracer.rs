//! leaktrace itself, as its user starts it.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// A running leaktrace.
pub struct Leaktrace {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Leaktrace {
    /// Starts it on a process and waits until its probes are in place.
    pub fn attach(binary: &Path, pid: u32) -> Result<Self> {
        let mut child = Command::new(binary)
            .args(["-v", "--format", "folded", "-p", &pid.to_string(), "1d"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("leaktrace cannot be started; run `cargo xtask bench`")?;
        let mut stderr = BufReader::new(child.stderr.take().context("leaktrace has no standard error")?);
        let mut said = String::new();
        let mut line = String::new();
        while stderr.read_line(&mut line)? > 0 {
            if line.contains("probes in process") {
                return Ok(Self { child, stderr });
            }
            said = std::mem::take(&mut line);
        }
        bail!("leaktrace did not attach: {said}")
    }

    /// Ends it as Ctrl-C would; gives what it says it lost.
    pub fn finish(mut self) -> Result<String> {
        Command::new("kill").arg("-INT").arg(self.child.id().to_string()).status()?;
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        self.child.wait()?;
        let loss = said.lines().find_map(|line| line.split_once("allocations lost: ")).map(|(_, loss)| loss);
        Ok(loss.unwrap_or("an unknown amount").to_owned())
    }
}

impl Drop for Leaktrace {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
