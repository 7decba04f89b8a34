//! Whether one process could be traced: what an attach would look at, without an attach.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
};

use aya::util::KernelVersion;
use procfs::process::Process;

use super::{Check, confinement::FILTERED, place::inode_of};
use crate::{process::identity::Target, text::printable, trace::allocators_of};

/// The namespaces in which a process of a container usually differs.
const NAMESPACES: [&str; 4] = ["user", "pid", "mnt", "cgroup"];

/// All checks of the process with this id.
pub fn examine(pid: u32) -> Vec<Check> {
    let target = match Target::open(pid) {
        Ok(target) => target,
        Err(error) => {
            let error = format!("{error:#}");
            let (found, advice) = error.split_once("; ").unwrap_or((&error, "give the PID of another process"));
            return vec![Check::bad("process", found, advice)];
        }
    };
    let found = format!("{pid} is {}, {}", printable(&target.comm), printable(&target.exe));
    let mut checks = vec![Check::good("process", found.trim_end_matches(", "))];
    let links = NAMESPACES.map(|name| {
        let inode = |who: &str| inode_of(&fs::read_link(format!("/proc/{who}/ns/{name}")).ok()?.to_string_lossy());
        (name, inode("self"), inode(&pid.to_string()))
    });
    checks.push(namespaces(&links));
    checks.push(dumpable(pid));
    checks.push(executable(pid));
    checks.extend(allocators(pid));
    let mode =
        Process::new(pid.cast_signed()).and_then(|process| process.status()).ok().and_then(|status| status.seccomp);
    checks.push(seccomp(mode, KernelVersion::current().ok()));
    checks
}

/// Each with leaktrace's inode and the target's.
fn namespaces(links: &[(&str, Option<u64>, Option<u64>)]) -> Check {
    const WHAT: &str = "its namespaces";
    if links.iter().all(|(_, _, of_target)| of_target.is_none()) {
        return Check::poor(WHAT, "they cannot be read: the process is another user's, or not dumpable", PTRACE);
    }
    let own: Vec<&str> =
        links.iter().filter(|(_, ours, its)| its.is_some() && ours != its).map(|(name, ..)| *name).collect();
    let found = match own.as_slice() {
        [] => "those of leaktrace".to_owned(),
        ["user" | "pid", ..] => {
            format!("its own: {}; it runs in a container, whose files are found through it", own.join(", "))
        }
        own => format!("its own: {}; its files are found through it", own.join(", ")),
    };
    Check::good(WHAT, found)
}

const PTRACE: &str = "run leaktrace as root, or grant CAP_SYS_PTRACE";

/// Files in `/proc` of a process that is not dumpable are root's.
fn dumpable(pid: u32) -> Check {
    const WHAT: &str = "dumpable";
    let owner = fs::metadata(format!("/proc/{pid}")).ok().map(|metadata| metadata.uid());
    let user = Process::new(pid.cast_signed()).and_then(|process| process.status()).ok().map(|status| status.euid);
    match (owner, user) {
        (Some(0), Some(1..)) => {
            Check::good(WHAT, "no: it is read with CAP_SYS_PTRACE alone, and gives its memory to nobody else")
        }
        _ => Check::good(WHAT, "nothing says that it is not"),
    }
}

fn executable(pid: u32) -> Check {
    const WHAT: &str = "its program";
    match File::open(format!("/proc/{pid}/exe")) {
        Ok(_) => Check::good(WHAT, "it can be read"),
        Err(error) => Check::bad(
            WHAT,
            format!("it cannot be read: {error}"),
            "run leaktrace as root, or grant CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
        ),
    }
}

fn allocators(pid: u32) -> Vec<Check> {
    match allocators_of(pid) {
        Ok(found) => found.iter().map(|allocator| Check::good("allocator", allocator.as_str())).collect(),
        Err(error) => {
            let error = format!("{error:#}");
            let (found, advice) = error.rsplit_once("; ").unwrap_or((&error, PTRACE));
            vec![Check::bad("allocator", found, advice)]
        }
    }
}

/// The first kernel whose return probes make a system call, and the first in which no filter is asked about it.
const CALLS: KernelVersion = KernelVersion::new(6, 11, 0);
const PASSES: KernelVersion = KernelVersion::new(6, 14, 0);

fn seccomp(mode: Option<u32>, kernel: Option<KernelVersion>) -> Check {
    const WHAT: &str = "its seccomp";
    let is_risky = kernel.is_some_and(|kernel| (CALLS..PASSES).contains(&kernel));
    match mode {
        None | Some(0) => Check::good(WHAT, "no filter of system calls"),
        Some(mode) if is_risky => {
            let what = if mode == FILTERED { "a filter of system calls" } else { "only four system calls" };
            Check::poor(
                WHAT,
                format!(
                    "{what}: on Linux 6.11 to 6.13 a return probe makes a call, uretprobe, for which it may be killed"
                ),
                "do not trace it unless this kernel has the fix of 6.14 (seccomp lets uretprobe pass); update the kernel",
            )
        }
        Some(_) => Check::good(WHAT, "a filter of system calls, which probes do not meet on this kernel"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_container_is_told_by_what_it_does_not_share() {
        let links = [("user", Some(1), Some(1)), ("pid", Some(2), Some(12)), ("mnt", Some(3), Some(13))];
        assert!(namespaces(&links).found.starts_with("its own: pid, mnt; it runs in a container"));
        assert_eq!(namespaces(&[("pid", Some(1), Some(1))]).found, "those of leaktrace");
        assert_eq!(namespaces(&[("pid", Some(1), None)]).state, State::Poor);
    }

    #[test]
    fn a_filter_is_a_danger_on_some_kernels_alone() {
        let on = |minor| seccomp(Some(FILTERED), Some(KernelVersion::new(6, minor, 5))).state;
        assert_eq!([10, 11, 13, 14, 18].map(on), [State::Good, State::Poor, State::Poor, State::Good, State::Good]);
        assert_eq!(seccomp(Some(0), Some(KernelVersion::new(6, 12, 0))).state, State::Good);
    }

    #[test]
    fn what_is_no_process_or_leaktrace_itself_is_said_with_what_to_do() {
        for (pid, part) in [(u32::MAX, "there is no process"), (std::process::id(), "leaktrace itself")] {
            let checks = examine(pid);
            assert!(checks.len() == 1 && checks[0].state == State::Bad && checks[0].found.contains(part), "{checks:?}");
        }
    }
}
