//! Where leaktrace runs: on the machine itself or in a container, and what can be seen from there.

use std::{env, fs, path::Path};

use procfs::process::{MountInfo, Process};

use super::Check;
use crate::text::printable;

/// The inodes that the kernel gives the namespaces it begins with.
const FIRST_USER: u64 = 0xefff_fffd;
const FIRST_PID: u64 = 0xefff_fffc;
const FIRST_CGROUP: u64 = 0xefff_fffb;

/// Whether each of this process's namespaces is the machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Of users: where capabilities count.
    pub user: bool,
    /// Of process ids: which processes there are.
    pub pid: bool,
    /// Of control groups: which are shown.
    pub cgroup: bool,
}

impl Namespaces {
    /// Of this process.
    pub fn own() -> Self {
        let is = |name: &str, first| {
            let link = fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
            // A kernel without namespaces of a kind has only the first.
            inode_of(&link.to_string_lossy()).is_none_or(|inode| inode == first)
        };
        Self { user: is("user", FIRST_USER), pid: is("pid", FIRST_PID), cgroup: is("cgroup", FIRST_CGROUP) }
    }
}

/// The inode in `user:[4026531837]`.
pub fn inode_of(link: &str) -> Option<u64> {
    link.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

/// All checks of the place.
pub fn examine(namespaces: Namespaces) -> Vec<Check> {
    let mounts = Process::myself().and_then(|process| process.mountinfo());
    let mounts: Vec<MountInfo> = mounts.map(|mounts| mounts.0).unwrap_or_default();
    let seen = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok());
    vec![
        container(namespaces, marker().as_deref()),
        processes(namespaces, seen == Some(std::process::id())),
        users(namespaces),
        proc_files(&mounts),
        groups(&mounts),
        trace_files(&mounts),
    ]
}

/// What container managers leave to be found.
fn marker() -> Option<String> {
    let files = ["/.dockerenv", "/run/.containerenv"];
    let file = files.iter().find(|file| Path::new(file).exists()).map(|file| format!("{file} is there"));
    file.or_else(|| {
        let name = env::var("container").ok().filter(|name| !name.is_empty())?;
        Some(format!("the environment says container={}", printable(&name)))
    })
}

fn container(namespaces: Namespaces, marker: Option<&str>) -> Check {
    let is_apart = !(namespaces.user && namespaces.pid);
    let Namespaces { user, pid, cgroup } = namespaces;
    let own: Vec<&str> = [(user, "user"), (pid, "PID"), (cgroup, "cgroup")]
        .into_iter()
        .filter_map(|(is_first, name)| (!is_first).then_some(name))
        .collect();
    let found = match (own.as_slice(), marker) {
        ([], None) => "none: leaktrace runs on the machine itself".to_owned(),
        ([], Some(marker)) => format!("{marker}, but PID and user namespaces are the machine's: all can be seen"),
        (own, marker) => {
            let marker = marker.map(|marker| format!(" ({marker})")).unwrap_or_default();
            format!("leaktrace runs in one, with namespaces of its own: {}{marker}", own.join(", "))
        }
    };
    if is_apart {
        let advice = "run leaktrace on the machine itself, or: docker run --privileged --pid=host -v /sys/fs/cgroup:/sys/fs/cgroup:ro";
        return Check::poor("container", found, advice);
    }
    Check::good("container", found)
}

fn processes(namespaces: Namespaces, is_own_proc: bool) -> Check {
    if !is_own_proc {
        return Check::bad(
            "PID namespace",
            "/proc is of another PID namespace than leaktrace, so that no process can be told from another",
            "mount proc at /proc in the namespace that leaktrace runs in (`unshare --mount-proc`), or --pid=host",
        );
    }
    if namespaces.pid {
        return Check::good("PID namespace", "the machine's own: every process can be traced");
    }
    Check::poor(
        "PID namespace",
        "not the machine's: only processes of this container can be traced, and execs and forks of theirs are not seen",
        "docker run --pid=host; in Kubernetes hostPID: true",
    )
}

fn users(namespaces: Namespaces) -> Check {
    if namespaces.user {
        return Check::good("user namespace", "the machine's own: capabilities count");
    }
    Check::bad(
        "user namespace",
        "not the machine's: the kernel lets nobody in it load BPF programs or place probes, whatever capabilities they hold",
        "run leaktrace as root of the machine; in a container, one that is neither rootless nor with userns-remap \
         (docker run --userns=host)",
    )
}

fn mount_at<'m>(mounts: &'m [MountInfo], path: &str) -> Option<&'m MountInfo> {
    // The last one covers those before it.
    mounts.iter().rev().find(|mount| mount.mount_point == Path::new(path))
}

fn proc_files(mounts: &[MountInfo]) -> Check {
    const WHAT: &str = "/proc";
    let Some(mount) = mount_at(mounts, "/proc") else {
        return Check::poor(
            WHAT,
            "it is not mounted as such, so that what can be seen is not known",
            "mount proc at /proc",
        );
    };
    let hides = mount.super_options.get("hidepid").or_else(|| mount.mount_options.get("hidepid"));
    match hides.and_then(Option::as_deref) {
        None | Some("0" | "off") => Check::good(WHAT, "it shows every process of its PID namespace"),
        Some(how) => Check::poor(
            WHAT,
            format!(
                "it is mounted with hidepid={}: without CAP_SYS_PTRACE, processes of others are not seen",
                printable(how)
            ),
            "mount -o remount,hidepid=0 /proc, or run leaktrace with CAP_SYS_PTRACE",
        ),
    }
}

fn groups(mounts: &[MountInfo]) -> Check {
    const WHAT: &str = "control groups";
    let is_there = |kind: &str| {
        mounts.iter().any(|mount| mount.fs_type == kind && mount.mount_point.starts_with("/sys/fs/cgroup"))
    };
    if is_there("cgroup2") || is_there("cgroup") {
        return Check::good(WHAT, "/sys/fs/cgroup is there: when the limit of one is reached can be told");
    }
    Check::poor(
        WHAT,
        "/sys/fs/cgroup is not mounted: when the limit of a control group is reached cannot be told",
        "docker run -v /sys/fs/cgroup:/sys/fs/cgroup:ro",
    )
}

fn trace_files(mounts: &[MountInfo]) -> Check {
    let is_there = mounts.iter().any(|mount| matches!(mount.fs_type.as_str(), "tracefs" | "debugfs"));
    let found = if is_there { "mounted, and not needed" } else { "not mounted, and not needed" };
    Check::good("tracefs", format!("{found}: leaktrace places probes without it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    const MACHINE: Namespaces = Namespaces { user: true, pid: true, cgroup: true };

    fn mounts(lines: &[&str]) -> Vec<MountInfo> {
        lines.iter().map(|line| MountInfo::from_line(line).unwrap()).collect()
    }

    #[test]
    fn a_namespace_is_told_by_its_inode() {
        assert_eq!(inode_of("user:[4026531837]"), Some(FIRST_USER));
        assert_eq!(inode_of("pid:[4026531836]"), Some(FIRST_PID));
        assert_eq!(inode_of("cgroup:[4026531835]"), Some(FIRST_CGROUP));
        assert_eq!((inode_of("user:4026531837"), inode_of("")), (None, None));
    }

    #[test]
    fn a_container_is_told_by_its_namespaces_and_what_is_left_to_be_found() {
        assert_eq!(container(MACHINE, None).state, State::Good);
        let marked = container(MACHINE, Some("/.dockerenv is there"));
        assert!(marked.state == State::Good && marked.found.starts_with("/.dockerenv"), "{}", marked.found);
        let inside = container(Namespaces { pid: false, cgroup: false, ..MACHINE }, None);
        assert!(inside.state == State::Poor && inside.found.ends_with("PID, cgroup"), "{}", inside.found);
    }

    #[test]
    fn a_foreign_proc_and_a_user_namespace_are_bad_and_a_pid_namespace_is_poor() {
        assert_eq!(processes(MACHINE, false).state, State::Bad);
        assert_eq!(users(Namespaces { user: false, ..MACHINE }).state, State::Bad);
        let inside = processes(Namespaces { pid: false, ..MACHINE }, true);
        assert!(inside.state == State::Poor && inside.advice.unwrap().contains("--pid=host"));
    }

    #[test]
    fn a_proc_that_hides_is_said() {
        let hides = "22 27 0:21 / /proc rw,nosuid - proc proc rw,hidepid=invisible";
        let open = "22 27 0:21 / /proc rw,relatime - proc proc rw";
        assert!(proc_files(&mounts(&[hides])).found.contains("hidepid=invisible"));
        assert_eq!(proc_files(&mounts(&[hides, open])).state, State::Good);
        assert_eq!(proc_files(&mounts(&[])).state, State::Poor);
    }

    #[test]
    fn control_groups_of_either_version_are_seen() {
        let old = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory";
        let new = "35 31 0:32 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw";
        assert_eq!(groups(&mounts(&[old])).state, State::Good);
        assert_eq!(groups(&mounts(&[new])).state, State::Good);
        assert_eq!(groups(&mounts(&[])).state, State::Poor);
    }
}
