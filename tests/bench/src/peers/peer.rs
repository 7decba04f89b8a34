//! The process of a tracer of others: started, waited for until it traces, and ended.

use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{contender::Tracing, scratch::Scratch};

/// How long one may take until it traces: some compile first.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long one may take to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// How long nothing more may be attached before all is taken to be.
const QUIET: Duration = Duration::from_millis(1500);

/// A running tracer. Ended when dropped.
pub struct Peer {
    child: Child,
    scratch: Scratch,
    ends_with_target: bool,
}

impl Peer {
    /// Starts it as the command line says, in a directory of its own, its output thrown away.
    pub fn start(command: &mut Command, scratch: Scratch) -> Result<Self> {
        let name = command.get_program().display().to_string();
        let said = File::create(scratch.path().join("stderr"))?;
        let child = command
            .current_dir(scratch.path())
            .env("TMPDIR", scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        Ok(Self { child, scratch, ends_with_target: false })
    }

    /// The same, where it ends in good order once its target is gone, and leaves things behind where it is killed.
    pub fn ending_with_target(mut self) -> Self {
        self.ends_with_target = true;
        self
    }

    /// Waits until it holds perf events, as uprobes are, and no more are added.
    pub fn wait_for_probes(self) -> Result<Self> {
        let (mut held, mut since) = (0, Instant::now());
        self.wait_until(|peer| {
            let now = peer.perf_events();
            if now != held {
                (held, since) = (now, Instant::now());
            }
            held > 0 && since.elapsed() > QUIET
        })
    }

    /// Waits until it is ready.
    pub fn wait_until(mut self, mut is_ready: impl FnMut(&Self) -> bool) -> Result<Self> {
        let began = Instant::now();
        while !is_ready(&self) {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended at once ({status}): {}", self.reason());
            }
            ensure!(began.elapsed() < PATIENCE, "did not attach within {} s", PATIENCE.as_secs());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(self)
    }

    fn perf_events(&self) -> usize {
        let Ok(files) = fs::read_dir(format!("/proc/{}/fd", self.child.id())) else { return 0 };
        let targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        targets.filter(|target| target.to_string_lossy().contains("perf_event")).count()
    }

    /// What it complained of first, or said last: after a complaint, a program may fail to tidy up as well.
    fn reason(&self) -> String {
        let said = fs::read(self.scratch.path().join("stderr")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
        let complaint =
            lines.clone().find(|line| ["Exception: ", "Error: ", "ERROR: "].iter().any(|word| line.contains(word)));
        complaint.or_else(|| lines.next_back()).unwrap_or("it said nothing").trim_end_matches('.').to_owned()
    }
}

impl Tracing for Peer {}

impl Drop for Peer {
    fn drop(&mut self) {
        let began = Instant::now();
        while self.ends_with_target && began.elapsed() < GRACE {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Its probes are files that it holds: the kernel takes them out.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
