//! A child process that does not outlive its handle.

use std::{
    io::ErrorKind,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, wait_until};

/// A program that is killed and reaped when this is dropped.
pub struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let began = Instant::now();
        loop {
            match command.spawn() {
                Ok(child) => return Self { child, name },
                // A program that was just copied is written to as long as another test's new child has what this one had.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && began.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{name} does not start: {error}"),
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal. Nothing else can have its id as long as it was not waited for.
    pub fn signal(&mut self, signal: Signal) {
        if self.child.try_wait().expect("a child").is_none() {
            kill_process(Pid::from_child(&self.child), signal).expect("a running child takes a signal");
        }
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until(&format!("the end of {}", self.name), || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("it has ended")
    }

    /// Its standard streams, once each.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a piped stdin")
    }

    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("a piped stdout")
    }

    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("a piped stderr")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing to a child that was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
