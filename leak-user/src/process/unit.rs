//! Which process is a systemd unit's main one: by the control group that systemd makes for each unit, without asking systemd.
//!
//! A group is a unit's if it bears the unit's name, wherever it is: below `system.slice`, a slice of its own or a user's
//! manager. The main process is the one whose parent is not in the group. Names are held against each other as systemd
//! escapes them and as it does not (`%i` and `%I`). Leaves out units that are no services or scopes: others have no
//! processes for long.

use std::{
    collections::{HashSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use procfs::process::{MountInfo, Process};

use crate::text::printable;

/// What the names of units end with that have processes, as they are tried on a name without.
const SUFFIXES: [&str; 2] = [".service", ".scope"];

/// No more groups of a hierarchy are looked at, nor deeper ones: whoever may make groups may make many.
const MOST_GROUPS: usize = 100_000;
const DEEPEST: usize = 32;

/// No more processes of a unit are looked at.
const MOST_PROCESSES: usize = 100_000;

/// The main process of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    /// What the unit's group is called: not to be printed raw.
    pub unit: String,
    /// The process.
    pub pid: u32,
    /// Groups beside the one it is in that are called so: of other users' units, or within containers.
    pub namesakes: usize,
}

/// A control group of a name that is looked for.
struct Group {
    path: PathBuf,
    unit: String,
    /// How well the name fits: less is better.
    rank: usize,
}

/// The service in whose control group or below it a path is; none of a path of a scope, which a login or a container has.
pub fn service_in(path: &str) -> Option<&str> {
    let unit = path.rsplit('/').find(|part| SUFFIXES.iter().any(|suffix| part.ends_with(suffix)));
    unit.filter(|unit| unit.ends_with(SUFFIXES[0]))
}

/// Whether a unit is meant by a name, escaped or not, with what names of units end with or without.
pub fn is_called(unit: &str, name: &str) -> bool {
    Names::of(name).rank(unit).is_some()
}

/// The main process of the unit of this name; none where no unit bears it. An error says that the unit has none.
pub fn main_process(name: &str) -> Result<Option<Main>> {
    in_hierarchies(&hierarchies()?, name)
}

fn in_hierarchies(roots: &[PathBuf], name: &str) -> Result<Option<Main>> {
    let mut empty = None;
    for root in roots {
        let groups = groups_of(root, name);
        let found = groups.iter().find_map(|group| Some((group, oldest_of_its_own(&processes(&group.path))?)));
        if let Some((Group { unit, .. }, pid)) = found {
            return Ok(Some(Main { unit: unit.clone(), pid, namesakes: groups.len() - 1 }));
        }
        empty = empty.or_else(|| groups.into_iter().next());
    }
    match empty {
        None => Ok(None),
        Some(Group { unit, .. }) => {
            let unit = printable(&unit).into_owned();
            Err(anyhow::anyhow!("the unit {unit} has no process now; start it, or give one that runs"))
        }
    }
}

/// Where hierarchies of control groups are mounted, the one that systemd keeps first.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = Process::myself().and_then(|own| own.mountinfo()).context("/proc/self/mountinfo cannot be read")?;
    let rank = |mount: &MountInfo| match mount.fs_type.as_str() {
        "cgroup" if mount.super_options.get("name").is_some_and(|name| name.as_deref() == Some("systemd")) => Some(0),
        "cgroup2" => Some(1),
        "cgroup" => Some(2),
        _ => None,
    };
    let mut ranked: Vec<_> =
        mounts.0.into_iter().filter_map(|mount| Some((rank(&mount)?, mount.mount_point))).collect();
    ranked.sort();
    Ok(ranked.into_iter().map(|(_, path)| path).collect())
}

/// The groups of a unit's name, those that fit best first, and of these the shallowest.
fn groups_of(root: &Path, name: &str) -> Vec<Group> {
    let names = Names::of(name);
    let mut found = Vec::new();
    let mut seen = 0;
    let mut left = VecDeque::from([(root.to_owned(), 0)]);
    while let Some((folder, depth)) = left.pop_front()
        && seen < MOST_GROUPS
    {
        let mut below: Vec<_> = fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            // No link is followed.
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect();
        below.sort();
        for path in below {
            seen += 1;
            let unit = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(rank) = names.rank(&unit) {
                found.push(Group { path: path.clone(), unit, rank });
            }
            if depth < DEEPEST {
                left.push_back((path, depth + 1));
            }
        }
    }
    found.sort_by_key(|group| group.rank);
    found
}

/// What a unit may be called that was given by a name.
struct Names(Vec<String>);

impl Names {
    fn of(name: &str) -> Self {
        if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
            return Self(vec![name.to_owned()]);
        }
        Self(SUFFIXES.iter().map(|suffix| format!("{name}{suffix}")).collect())
    }

    /// How well a group's name fits, if it does: letter by letter, or as systemd escapes it.
    fn rank(&self, group: &str) -> Option<usize> {
        // A group whose name would be one of the kernel's files has this in front.
        let bare = group.strip_prefix('_').unwrap_or(group);
        self.0.iter().enumerate().find_map(|(place, name)| {
            let rank = if [group, bare].contains(&name.as_str()) {
                0
            } else if [group, bare].iter().any(|group| unescaped(group) == unescaped(name)) {
                1
            } else {
                return None;
            };
            Some(2 * place + rank)
        })
    }
}

/// A unit's name as systemd would have it before escaping. `%I` has a slash for each dash, which no group has.
fn unescaped(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match rest {
            [b'\\', b'x', high, low, ..] => {
                std::str::from_utf8(&[*high, *low]).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        let (byte, tail) = escape.map_or((*first, tail), |byte| (byte, &rest[4..]));
        bytes.push(if byte == b'/' { b'-' } else { byte });
        rest = tail;
    }
    bytes
}

/// The processes of a group and of those below it. Of one that vanishes meanwhile, none.
fn processes(group: &Path) -> Vec<u32> {
    let mut pids = Vec::new();
    let mut left = VecDeque::from([(group.to_owned(), 0)]);
    while let Some((folder, depth)) = left.pop_front() {
        let own = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        // 0 is a process of another PID namespace.
        pids.extend(own.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
        if depth < DEEPEST && pids.len() < MOST_PROCESSES {
            let below = fs::read_dir(&folder).into_iter().flatten().flatten();
            let folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            left.extend(folders.map(|entry| (entry.path(), depth + 1)));
        }
    }
    pids.truncate(MOST_PROCESSES);
    pids
}

/// Of these processes the oldest whose parent is not among them.
fn oldest_of_its_own(pids: &[u32]) -> Option<u32> {
    let among: HashSet<u32> = pids.iter().copied().collect();
    let running = pids.iter().filter_map(|pid| {
        let stat = Process::new(pid.cast_signed()).ok()?.stat().ok()?;
        (!matches!(stat.state, 'Z' | 'X')).then_some((stat.starttime, *pid, stat.ppid.cast_unsigned()))
    });
    let mut own: Vec<_> = running.filter(|(.., parent)| !among.contains(parent)).collect();
    own.sort_unstable();
    own.first().map(|(_, pid, _)| *pid)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A folder that looks like a hierarchy of groups, gone when this is dropped.
    struct Made(PathBuf);

    impl Made {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("leaktrace-groups-{name}-{}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            Self(root)
        }

        fn group(&self, path: &str, pids: &[u32]) {
            let folder = self.0.join(path);
            fs::create_dir_all(&folder).unwrap();
            let lines: Vec<String> = pids.iter().map(ToString::to_string).collect();
            fs::write(folder.join("cgroup.procs"), lines.join("\n")).unwrap();
        }

        fn main_of(&self, name: &str) -> Result<Option<Main>> {
            in_hierarchies(std::slice::from_ref(&self.0), name)
        }
    }

    impl Drop for Made {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    struct Sleeper(Child);

    impl Sleeper {
        fn new() -> Self {
            Self(Command::new("sleep").arg("60").spawn().unwrap())
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_unit_is_found_wherever_its_group_is_and_its_main_process_is_nobodys_child_in_it() {
        let made = Made::new("where");
        let child = Sleeper::new();
        let (own, child) = (std::process::id(), child.0.id());
        made.group("system.slice/plain.service", &[child]);
        made.group("system.slice/system-of.slice/of@1.service", &[child, own]);
        made.group("user.slice/user-7.slice/user@7.service/app.slice/mine.service/part/deeper", &[0, own, child]);
        made.group("user.slice/user-7.slice/work.scope", &[child]);
        for (name, unit, pid) in [
            ("plain", "plain.service", child),
            ("plain.service", "plain.service", child),
            ("of@1", "of@1.service", own),
            ("mine", "mine.service", own),
            ("work", "work.scope", child),
        ] {
            let main = Main { unit: unit.to_owned(), pid, namesakes: 0 };
            assert_eq!(made.main_of(name).unwrap(), Some(main), "{name}");
        }
        for name in ["plai", "system.slice", "part", "", "..", "../system.slice/plain", "plain.scope"] {
            assert_eq!(made.main_of(name).unwrap(), None, "{name}");
        }
    }

    #[test]
    fn a_name_fits_escaped_and_unescaped_and_the_exact_one_before_others() {
        let made = Made::new("escapes");
        let own = std::process::id();
        made.group("system.slice/foo\\x2dbar.service", &[own]);
        made.group("system.slice/one-two.service", &[own]);
        made.group("system.slice/_cpu.service", &[own]);
        for (name, unit) in [
            ("foo\\x2dbar.service", "foo\\x2dbar.service"),
            ("foo-bar.service", "foo\\x2dbar.service"),
            ("foo/bar", "foo\\x2dbar.service"),
            ("one\\x2dtwo", "one-two.service"),
            ("one/two.service", "one-two.service"),
            ("cpu", "_cpu.service"),
        ] {
            assert_eq!(made.main_of(name).unwrap().map(|main| main.unit).as_deref(), Some(unit), "{name}");
        }
        made.group("system.slice/foo-bar.service", &[own]);
        let main = made.main_of("foo-bar").unwrap().unwrap();
        assert_eq!((main.unit.as_str(), main.namesakes), ("foo-bar.service", 1));
        for broken in ["\\x", "\\x2", "\\xzz", "\\x2\u{e9}", "\\"] {
            assert_eq!(unescaped(broken), broken.as_bytes());
        }
    }

    #[test]
    fn a_path_is_of_the_service_that_it_is_in_and_of_none_in_a_scope() {
        for (path, service) in [
            ("/system.slice/nginx.service", Some("nginx.service")),
            ("/system.slice/docker.service/part/deeper", Some("docker.service")),
            ("/user.slice/user-7.slice/user@7.service/app.slice/mine.service", Some("mine.service")),
            ("/user.slice/user-7.slice/user@7.service/init.scope", None),
            ("/user.slice/user-7.slice/session-3.scope", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(service_in(path), service, "{path}");
        }
        assert!(is_called("nginx.service", "nginx") && is_called("a\\x2db.service", "a-b.service"));
        assert!(!is_called("nginx.service", "ngin"));
    }

    #[test]
    fn a_unit_without_processes_is_said_to_have_none() {
        let made = Made::new("empty");
        made.group("system.slice/idle.service", &[]);
        made.group("system.slice/gone.service", &[u32::MAX >> 1]);
        for name in ["idle", "gone.service"] {
            let error = made.main_of(name).unwrap_err().to_string();
            assert!(error.contains("has no process now"), "{error}");
        }
    }

    #[test]
    fn the_mounts_of_this_machine_can_be_asked() {
        assert_eq!(main_process("leaktrace-no-such-unit.service").unwrap(), None);
    }
}
