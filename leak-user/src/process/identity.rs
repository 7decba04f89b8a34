//! Which process this is. A process is its pid and its start time; its pidfd tells when it is gone.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};
use procfs::process as proc;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
    time::{ClockId, clock_gettime},
};

use super::cgroup;

/// `PF_KTHREAD` of `/proc/PID/stat`'s flags.
const PF_KTHREAD: u32 = 0x0020_0000;

/// `PF_FORKNOEXEC` of the same: it was made by fork or vfork and runs its maker's program still.
const PF_FORKNOEXEC: u32 = 0x40;

/// A process that was running when it was opened.
#[derive(Debug)]
pub struct Target {
    /// Its id in leaktrace's PID namespace.
    pub pid: u32,
    /// When it started: with the pid, its identity.
    pub started: SystemTime,
    /// The kernel's name for it; the target may set it to anything.
    pub comm: String,
    /// Its program's path, as its own mount namespace names it.
    pub exe: String,
    /// Path of the control group that it was in when it was opened, if it was in one.
    pub cgroup: Option<String>,
    /// Resident bytes when it was opened.
    pub rss_at_attach: u64,
    start_ticks: u64,
    pidfd: OwnedFd,
}

/// What a running process uses at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident bytes.
    pub rss: u64,
    /// Processor time it has used so far, user and system, all threads.
    pub cpu: Duration,
}

impl Target {
    /// Opens a process for tracing. Fails, in one sentence, on what cannot be traced.
    pub fn open(pid: u32) -> Result<Self> {
        if pid == std::process::id() {
            bail!("process {pid} is leaktrace itself, which cannot trace itself; give the PID of another process");
        }
        let gone = || anyhow::anyhow!("there is no process {pid}; `pgrep -a NAME` lists the PIDs of a program");
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        let entry = proc::Process::new(raw.as_raw_nonzero().get()).map_err(|_| gone())?;
        let stat = entry.stat().map_err(|_| gone())?;
        if stat.flags & PF_KTHREAD != 0 {
            bail!(
                "process {pid} ({}) is a kernel thread, which has no user memory; give the PID of a program",
                crate::text::printable(&stat.comm)
            );
        }
        if stat.state == 'Z' {
            bail!("process {pid} has exited and only waits for its parent; give the PID of a running program");
        }
        let leader = entry.status().map_or(pid, |status| status.tgid as u32);
        if leader != pid {
            bail!("{pid} is a thread of process {leader}; give `-p {leader}` to trace the whole process");
        }
        let pidfd = pidfd_open(raw, PidfdFlags::NONBLOCK).map_err(|_| gone())?;
        let mut target = Self {
            pid,
            started: start_time(stat.starttime),
            comm: stat.comm,
            exe: entry.exe().map_or_else(|_| String::new(), |path| path.to_string_lossy().into_owned()),
            cgroup: cgroup::path_of(pid),
            rss_at_attach: 0,
            start_ticks: stat.starttime,
            pidfd,
        };
        target.rss_at_attach = target.usage().ok_or_else(gone)?.rss;
        Ok(target)
    }

    /// What it uses now, or `None` when it is gone (another process may bear its pid).
    pub fn usage(&self) -> Option<Usage> {
        let stat = proc::Process::new(self.pid as i32).and_then(|entry| entry.stat()).ok()?;
        if stat.starttime != self.start_ticks || matches!(stat.state, 'Z' | 'X') {
            return None;
        }
        let ticks = stat.utime + stat.stime;
        Some(Usage {
            rss: stat.rss * procfs::page_size(),
            cpu: Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64),
        })
    }

    /// Whether it has exited.
    pub fn has_exited(&self) -> bool {
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Whether it has exited and another process bears its pid by now.
    pub fn is_replaced(&self) -> bool {
        self.has_exited()
            && proc::Process::new(self.pid as i32)
                .and_then(|entry| entry.stat())
                // It is itself as long as it waits for its parent.
                .is_ok_and(|stat| stat.starttime != self.start_ticks || !matches!(stat.state, 'Z' | 'X'))
    }

    /// Whether it has replaced its program since it was made.
    pub fn has_replaced_program(&self) -> bool {
        let stat = proc::Process::new(self.pid as i32).and_then(|entry| entry.stat());
        stat.is_ok_and(|stat| stat.flags & PF_FORKNOEXEC == 0)
    }

    /// Whether it was made at this time (nanoseconds of `CLOCK_MONOTONIC`), as exactly as `/proc` tells.
    pub fn was_made_at(&self, time: u64) -> bool {
        let nanoseconds = |clock| {
            let now = clock_gettime(clock);
            now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
        };
        // Processes are dated by a clock that goes on while the machine sleeps.
        let slept = nanoseconds(ClockId::Boottime).saturating_sub(nanoseconds(ClockId::Monotonic));
        let tick = (time + slept) / (1_000_000_000 / procfs::ticks_per_second());
        // It is dated before it is told of.
        (self.start_ticks..=self.start_ticks + 1).contains(&tick)
    }

    /// Reads its name and program anew, after an exec.
    pub fn refresh_names(&mut self) {
        if let Ok(entry) = proc::Process::new(self.pid as i32)
            && !self.has_exited()
        {
            if let Ok(stat) = entry.stat() {
                self.comm = stat.comm;
            }
            if let Ok(exe) = entry.exe() {
                self.exe = exe.to_string_lossy().into_owned();
            }
        }
    }
}

/// When a running program was started, in ticks since the machine was: with the pid, its identity. None of the kernel's own
/// threads, nor of what has exited.
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = proc::Process::new(pid.cast_signed()).and_then(|entry| entry.stat()).ok()?;
    (stat.flags & PF_KTHREAD == 0 && !matches!(stat.state, 'Z' | 'X')).then_some(stat.starttime)
}

/// Which of these processes have exited, by their place.
pub fn exited<'a>(targets: impl Iterator<Item = &'a Target>) -> Vec<usize> {
    let mut fds: Vec<PollFd<'_>> = targets.map(|target| PollFd::new(target, PollFlags::IN)).collect();
    match poll(&mut fds, Some(&Timespec::default())) {
        Ok(0) | Err(_) => Vec::new(),
        Ok(_) => (0..fds.len()).filter(|place| !fds[*place].revents().is_empty()).collect(),
    }
}

impl AsFd for Target {
    /// The pidfd: readable once the process has exited.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// When a process was started of which the kernel says this, in ticks since the machine was.
pub fn start_time(ticks: u64) -> SystemTime {
    let boot = procfs::boot_time_secs().unwrap_or(0);
    let since_boot = Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64);
    SystemTime::UNIX_EPOCH + Duration::from_secs(boot) + since_boot
}
