//! Which processes a trace takes on by itself: those that are what was asked for, now or later.
//!
//! What is asked for may be said of a process's name, its control group, its environment; all that is said must hold. Each is
//! the process's own choice, so none is more than a way to find it. Leaves out how it is then traced.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use wildmatch::WildMatch;

use crate::{
    process::{cgroup, identity::start_ticks},
    text::printable,
};

/// What is asked for; every process, if nothing is.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A pattern with `*` and `?` of the kernel's name for it.
    pub comm: Option<WildMatch>,
    /// Its control group.
    pub cgroup: Option<Group>,
    /// What its environment holds.
    pub env: Option<Variable>,
}

/// A control group and those inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// By its path below the root of control groups.
    Path(PathBuf),
    /// By the beginning of the id of the container or pod that it is for.
    Id(String),
}

/// A variable of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it is, if that matters.
    pub value: Option<String>,
}

/// No environment is read farther, in bytes.
const LONGEST_ENVIRONMENT: u64 = 4 << 20;

/// Fewer letters of an id could be of any.
const SHORTEST_ID: usize = 4;

impl Wanted {
    /// Whether it is every process.
    pub fn is_all(&self) -> bool {
        self.comm.is_none() && self.cgroup.is_none() && self.env.is_none()
    }

    /// Whether this process is what was asked for. One that is gone is not, nor is leaktrace.
    pub fn wants(&self, pid: u32) -> bool {
        pid != std::process::id()
            && self.comm.as_ref().is_none_or(|pattern| comm(pid).is_some_and(|comm| pattern.matches(&comm)))
            && self.cgroup.as_ref().is_none_or(|group| cgroup::paths_of(pid).iter().any(|path| group.holds(path)))
            && self.env.as_ref().is_none_or(|variable| variable.is_set_in(pid))
    }

    /// The processes that are it now.
    pub fn now(&self) -> Vec<u32> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| start_ticks(*pid).is_some() && self.wants(*pid)).collect()
    }

    /// Whether there is no such control group any more.
    pub fn is_gone(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|group| !group.is_there())
    }

    /// In words, as in "no process …". Safe to print.
    pub fn describe(&self) -> String {
        let mut parts = Vec::new();
        if let Some(pattern) = &self.comm {
            parts.push(format!("called {}", printable(&pattern.to_string())));
        }
        match &self.cgroup {
            Some(Group::Path(path)) => {
                parts.push(format!("in the control group {}", printable(&path.to_string_lossy())));
            }
            Some(Group::Id(id)) => parts.push(format!("in a container or pod {id}…")),
            None => {}
        }
        if let Some(Variable { name, value }) = &self.env {
            let value = value.as_ref().map(|value| format!("={value}")).unwrap_or_default();
            parts.push(format!("with {} in its environment", printable(&format!("{name}{value}"))));
        }
        if parts.is_empty() { "at all".to_owned() } else { parts.join(" and ") }
    }
}

impl Group {
    /// As a person gives it: a path, from the root of control groups or of the file system, or the beginning of an id.
    pub fn parse(text: &str) -> Result<Self> {
        if text.contains('/') {
            let (text, roots) = (Path::new(text), cgroup::roots());
            let path = roots.iter().find_map(|root| text.strip_prefix(root).ok()).unwrap_or(text);
            return Ok(Self::Path(Path::new("/").join(path.strip_prefix("/").unwrap_or(path))));
        }
        if !text.is_empty() && cgroup::is_there(&Path::new("/").join(text)) {
            return Ok(Self::Path(Path::new("/").join(text)));
        }
        ensure!(
            text.len() >= SHORTEST_ID && text.chars().all(|c| c.is_ascii_hexdigit() || "-_".contains(c)),
            "\"{}\" is neither a control group nor the id of a container; give a path such as /system.slice/NAME.service",
            printable(text)
        );
        Ok(Self::Id(text.replace('_', "-").to_ascii_lowercase()))
    }

    /// Whether the group at this path is it, or inside it.
    fn holds(&self, path: &str) -> bool {
        match self {
            Self::Path(own) => Path::new(path).starts_with(own),
            Self::Id(id) => Path::new(path).iter().any(|part| part.to_str().is_some_and(|part| is_of(part, id))),
        }
    }

    fn is_there(&self) -> bool {
        match self {
            Self::Path(path) => cgroup::is_there(path),
            // Where it would be, only its processes tell.
            Self::Id(_) => true,
        }
    }
}

/// Whether a part of a path names the container or pod whose id begins so: by the id alone, or after what a runtime puts before
/// it (`docker-ID.scope`, `cri-containerd-ID.scope`, `kubepods-burstable-podID.slice`).
fn is_of(part: &str, id: &str) -> bool {
    let part = part.replace('_', "-");
    let begins_there = |at: usize| at == 0 || part[..at].ends_with('-') || part[..at].ends_with("pod");
    part.match_indices(id).any(|(at, _)| begins_there(at))
}

impl Variable {
    /// As a person gives it: `NAME` or `NAME=VALUE`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        ensure!(
            !name.is_empty() && !text.contains('\0'),
            "\"{}\" is no variable; give NAME or NAME=VALUE",
            printable(text)
        );
        Ok(Self { name: name.to_owned(), value })
    }

    fn is_set_in(&self, pid: u32) -> bool {
        let mut environment = Vec::new();
        let file = fs::File::open(format!("/proc/{pid}/environ"));
        let read = file.and_then(|file| file.take(LONGEST_ENVIRONMENT).read_to_end(&mut environment));
        read.is_ok() && environment.split(|byte| *byte == 0).any(|entry| self.is(entry))
    }

    fn is(&self, entry: &[u8]) -> bool {
        let Some(rest) = entry.strip_prefix(self.name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) else {
            return false;
        };
        self.value.as_ref().is_none_or(|value| value.as_bytes() == rest)
    }
}

fn comm(pid: u32) -> Option<String> {
    let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_holds_what_is_inside_it() {
        let root = cgroup::roots().swap_remove(0);
        let group = Group::parse(root.join("system.slice/nginx.service").to_str().unwrap()).unwrap();
        assert_eq!(group, Group::Path("/system.slice/nginx.service".into()));
        assert!(group.holds("/system.slice/nginx.service") && group.holds("/system.slice/nginx.service/worker"));
        assert!(!group.holds("/system.slice/nginx.service2") && !group.holds("/system.slice") && !group.holds("/"));
        assert_eq!(Group::parse("system.slice/a").unwrap(), Group::Path("/system.slice/a".into()));
    }

    #[test]
    fn a_container_is_known_by_the_beginning_of_its_id_under_every_runtime() {
        let id = Group::parse("4F2a91").unwrap();
        for path in [
            "/docker/4f2a91c03b7e",
            "/system.slice/docker-4f2a91c03b7e.scope",
            "/kubepods.slice/kubepods-burstable.slice/x/cri-containerd-4f2a91c03b7e.scope/init",
            "/kubepods.slice/kubepods-besteffort-pod4f2a91c0_3b7e_4.slice/y",
        ] {
            assert!(id.holds(path), "{path}");
        }
        assert!(!id.holds("/system.slice/docker-114f2a91.scope") && !id.holds("/"));
        let pod = Group::parse("4f2a91c0-3b7e").unwrap();
        assert!(pod.holds("/kubepods.slice/kubepods-besteffort-pod4f2a91c0_3b7e_4.slice/y"));
        for text in ["", "abc", "no such\u{1b}[2J", "nginx.service"] {
            let error = Group::parse(text).unwrap_err().to_string();
            assert!(error.contains("neither a control group") && !error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn a_variable_is_known_by_its_whole_name_and_value() {
        let (any, one) = (Variable::parse("LEAKTRACE").unwrap(), Variable::parse("LEAKTRACE=1").unwrap());
        assert!(any.is(b"LEAKTRACE=") && any.is(b"LEAKTRACE=1") && one.is(b"LEAKTRACE=1"));
        assert!(
            !any.is(b"LEAKTRACED=1") && !any.is(b"LEAKTRACE") && !one.is(b"LEAKTRACE=11") && !one.is(b"LEAKTRACE=")
        );
        assert!(Variable::parse("=x").is_err());
    }

    #[test]
    fn all_that_is_said_must_hold() {
        let own = std::process::id();
        let parent = std::os::unix::process::parent_id();
        assert!(!Wanted::default().wants(own), "not leaktrace itself");
        assert!(Wanted::default().is_all() && Wanted::default().wants(parent));
        let name = comm(parent).unwrap();
        let wanted = |comm: &str, env: Option<Variable>| Wanted { comm: Some(WildMatch::new(comm)), env, cgroup: None };
        assert!(wanted(&name, None).wants(parent) && !wanted("no such name", None).wants(parent));
        assert!(!wanted(&name, Some(Variable::parse("NO_SUCH_VARIABLE_AT_ALL").unwrap())).wants(parent));
    }
}
