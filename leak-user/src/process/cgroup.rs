//! Control groups of both versions: which one a process's memory is counted in, and how much that is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use procfs::{ProcessCGroup, process::Process};
use serde::{Deserialize, Serialize};

/// Where control groups are, of both versions.
const UNIFIED: &str = "/sys/fs/cgroup";
const OLD: &str = "/sys/fs/cgroup/memory";

/// A control group's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Its path: not to be printed raw.
    pub path: String,
    /// Bytes in use.
    pub bytes: u64,
    /// Bytes that it may use, if there is a limit.
    pub limit_bytes: Option<u64>,
}

/// Where a process's memory is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path: not to be printed raw.
    pub path: String,
    is_old: bool,
}

/// Where the trees of groups begin: of the newer version alone, or of each hierarchy where there is the older.
pub fn roots() -> Vec<PathBuf> {
    let unified = Path::new(UNIFIED);
    if unified.join("cgroup.controllers").exists() {
        return vec![unified.to_owned()];
    }
    let folders = fs::read_dir(unified).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.filter(|root| root.join("cgroup.procs").exists()).collect()
}

/// Whether there is a group at this path, in any tree.
pub fn is_there(path: &Path) -> bool {
    roots().iter().any(|root| root.join(path.strip_prefix("/").unwrap_or(path)).join("cgroup.procs").exists())
}

/// The groups that a process is in, one of each hierarchy: not to be printed raw.
pub fn paths_of(pid: u32) -> Vec<String> {
    let groups = Process::new(pid.cast_signed()).and_then(|process| process.cgroups());
    groups.map(|groups| groups.0.into_iter().map(|group| group.pathname).collect()).unwrap_or_default()
}

/// The group of a process, if it is there and groups count memory.
pub fn of(pid: u32) -> Option<Place> {
    let groups = Process::new(pid.cast_signed()).ok()?.cgroups().ok()?;
    let old = groups.0.iter().find(|group| group.controllers.iter().any(|controller| controller == "memory"));
    let group = old.or_else(|| groups.0.iter().find(|group| group.hierarchy == 0))?;
    Some(Place { path: group.pathname.clone(), is_old: old.is_some() })
}

/// The path by which systemd knows a process's group, if it is in any but the root: in systemd's own hierarchy or the
/// unified one, or else in that which counts memory. Not to be printed raw.
pub fn path_of(pid: u32) -> Option<String> {
    let groups = Process::new(pid.cast_signed()).ok()?.cgroups().ok()?;
    let rank = |group: &ProcessCGroup| match group.controllers.as_slice() {
        [name] if name == "name=systemd" => Some(0),
        [] if group.hierarchy == 0 => Some(1),
        controllers if controllers.iter().any(|controller| controller == "memory") => Some(2),
        _ => None,
    };
    let mut ranked: Vec<_> = groups.0.into_iter().filter_map(|group| Some((rank(&group)?, group.pathname))).collect();
    ranked.sort();
    ranked.into_iter().map(|(_, path)| path).find(|path| path != "/")
}

impl Place {
    /// The group, or the one around it, that has a limit; else the group itself.
    pub fn limited(&self) -> Option<Cgroup> {
        let own = Path::new(&self.path);
        let limited = own.ancestors().filter_map(|path| self.read(path)).find(|group| group.limit_bytes.is_some());
        limited.or_else(|| self.read(own))
    }

    fn read(&self, path: &Path) -> Option<Cgroup> {
        let (root, used, limit) = if self.is_old {
            (OLD, "memory.usage_in_bytes", "memory.limit_in_bytes")
        } else {
            (UNIFIED, "memory.current", "memory.max")
        };
        let folder = Path::new(root).join(path.strip_prefix("/").unwrap_or(path));
        let number = |file| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        let bytes = number(used)?;
        // Where there is no limit, the newer version says "max" and the older one a number near 2^63.
        let limit_bytes = number(limit).filter(|limit| *limit < 1 << 62);
        Some(Cgroup { path: path.to_string_lossy().into_owned(), bytes, limit_bytes })
    }
}
