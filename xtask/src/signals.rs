//! Ctrl-C, and child processes that must not outlive this one.
//!
//! The two calls of libc are declared here, where std offers none, rather than taken from a crate.

use std::ffi::{c_int, c_ulong};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use anyhow::{Context, Result};

unsafe extern "C" {
    /// `signal(2)`. The handlers given to it here do nothing, so that it is safe to call.
    safe fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    /// `prctl(2)`, with the one argument that its first option here takes.
    safe fn prctl(option: c_int, argument: c_ulong, ...) -> c_int;
}

const SIGINT: c_int = 2;
const SIGKILL: c_ulong = 9;
const PR_SET_PDEATHSIG: c_int = 1;

/// Leaves Ctrl-C to the program in the foreground, which the terminal interrupts too: we end after it, and tidy up.
///
/// A handler and not `SIG_IGN`, which the programs we start would inherit.
pub fn outlive_interrupt() {
    extern "C" fn nothing(_: c_int) {}
    signal(SIGINT, nothing);
}

/// A process that is killed when this is dropped, and by the kernel when this process dies.
pub struct Guarded(Child);

impl Guarded {
    /// Starts the command.
    pub fn start(command: &mut Command) -> Result<Self> {
        // SAFETY: between fork and exec only async-signal-safe calls are made: prctl, and reading errno.
        unsafe {
            command.pre_exec(|| match prctl(PR_SET_PDEATHSIG, SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        let child = command.spawn();
        child.map(Self).with_context(|| format!("cannot start `{}`", crate::run::words(command)))
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait().context("cannot wait for the program under trace")?.is_some())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Both fail only when it has been waited for already, and then there is nothing left to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_process_ends_with_its_guard() {
        let mut guarded = Guarded::start(Command::new("sleep").arg("60")).unwrap();
        let process = format!("/proc/{}", guarded.id());
        assert!(!guarded.ended().unwrap());
        drop(guarded);
        assert!(!std::path::Path::new(&process).exists());
    }
}
