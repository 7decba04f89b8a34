//! A process among all others, and what it is known by.

use std::fs;

use super::cgroup;

/// Which process: its pid, and when it was started, in ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// Its id in leaktrace's PID namespace.
    pub pid: u32,
    /// When it started.
    pub start_ticks: u64,
}

/// What a process is known by. All of it is the process's own choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The kernel's name for it.
    pub comm: String,
    /// Its program's path.
    pub exe: String,
    /// Its control group's path.
    pub cgroup: String,
}

impl Who {
    /// What it is known by, if it is still there.
    pub fn names(self) -> Option<Names> {
        let comm = fs::read_to_string(format!("/proc/{}/comm", self.pid)).ok()?;
        let exe = fs::read_link(format!("/proc/{}/exe", self.pid)).ok();
        Some(Names {
            comm: comm.trim_end_matches('\n').to_owned(),
            exe: exe.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
            cgroup: self.group(),
        })
    }

    /// The control group that it is in; none of one that is gone.
    pub fn group(self) -> String {
        cgroup::of(self.pid).map(|group| group.path).unwrap_or_default()
    }
}

/// The file that a path of a program leads to: neither its folder, nor the kernel's mark that it is gone.
pub fn file_name(exe: &str) -> &str {
    let path = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known_and_a_gone_one_is_not() {
        let own = Who { pid: std::process::id(), start_ticks: 0 }.names().unwrap();
        assert!(!own.comm.is_empty() && !own.comm.ends_with('\n') && own.exe.starts_with('/'), "{own:?}");
        assert_eq!(Who { pid: u32::MAX >> 1, start_ticks: 0 }.names(), None);
    }

    #[test]
    fn a_program_is_called_as_its_file_wherever_that_is_and_whether_it_is_still_there() {
        for (exe, name) in [("/usr/bin/redis", "redis"), ("/opt/x (deleted)", "x"), ("plain", "plain"), ("", "")] {
            assert_eq!(file_name(exe), name);
        }
    }
}
