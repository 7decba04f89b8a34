//! The sessions that are kept in a directory, each by what its last snapshot says of its process.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};

use crate::{
    notice::Notices,
    process::{unit, who::file_name},
    report::Process,
    session::{Filter, Head, Session, View},
    text::printable,
};

/// What a database has beside itself while it is written.
const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// A session that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its file: not to be printed raw.
    pub path: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// When tracing began.
    pub began: SystemTime,
    /// When the last snapshot was made.
    pub ended: SystemTime,
    /// The first of its processes.
    pub process: Process,
    /// The path of that one's control group, if it was in one: not to be printed raw.
    pub cgroup: Option<String>,
}

/// The sessions in a directory that were still written so long ago or later, the oldest first. What is no session, or
/// cannot be read, is said and left out.
pub fn read(directory: &Path, since: Option<Duration>, now: SystemTime, notices: Notices) -> Result<Vec<Kept>> {
    let shown = printable(&directory.to_string_lossy()).into_owned();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => {
            entries.with_context(|| format!("the directory {shown} cannot be read; give another with --directory"))?
        }
    };
    let earliest = since.and_then(|since| now.checked_sub(since));
    let is_recent = |time: SystemTime| earliest.is_none_or(|earliest| time >= earliest);
    let mut kept = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        // No link is followed, and what belongs to a session is none.
        let Some(metadata) = entry.metadata().ok().filter(fs::Metadata::is_file) else { continue };
        let is_beside = BESIDE.iter().any(|end| path.to_string_lossy().ends_with(end));
        if is_beside || !metadata.modified().is_ok_and(is_recent) {
            continue;
        }
        match Session::open(&path).and_then(|session| Kept::of(path, metadata.len(), session.last_head()?)) {
            Ok(session) if is_recent(session.ended) => kept.push(session),
            Ok(_) => {}
            Err(error) => notices.say(&format!("left out: {error:#}")),
        }
    }
    kept.sort_by(|one, other| (one.began, &one.path).cmp(&(other.began, &other.path)));
    Ok(kept)
}

impl Kept {
    /// A session of which this is the last snapshot's head.
    pub fn of(path: PathBuf, bytes: u64, head: Head) -> Result<Self> {
        let Head { report, memory, .. } = head;
        let broken = || format!("{} is broken; give another session", printable(&path.to_string_lossy()));
        let process = report.processes.into_iter().next().context("it has no process").with_context(broken)?;
        let ended = humantime::parse_rfc3339(&report.time).context("it has no time").with_context(broken)?;
        let elapsed = Duration::try_from_secs_f64(report.elapsed_s).ok();
        let began =
            elapsed.and_then(|elapsed| ended.checked_sub(elapsed)).context("it has no length").with_context(broken)?;
        // Sessions of older builds have only the group that limits the process.
        let limiting = || memory.into_iter().find(|memory| memory.pid == process.pid)?.cgroup.map(|group| group.path);
        let cgroup = process.cgroup.clone().or_else(limiting);
        Ok(Self { path, bytes, began, ended, process, cgroup })
    }

    /// The service that it is of: its systemd unit or, without one, the name of its process. Not to be printed raw.
    pub fn service(&self) -> &str {
        self.unit().unwrap_or(&self.process.comm)
    }

    /// The program that runs: its file's name or, where that is not known, the name of its process.
    pub fn program(&self) -> &str {
        if self.process.exe.is_empty() { &self.process.comm } else { file_name(&self.process.exe) }
    }

    /// Whether it is of a service of this name: a unit, the name of a process, or a program's path or its file's name.
    pub fn is_of(&self, name: &str) -> bool {
        let Process { comm, exe, .. } = &self.process;
        [comm.as_str(), exe, self.program()].contains(&name)
            || self.unit().is_some_and(|unit| unit::is_called(unit, name))
    }

    /// All of it.
    pub fn view(&self) -> Result<View> {
        Session::open(&self.path)?.view(None, None, &Filter::default())
    }

    fn unit(&self) -> Option<&str> {
        self.cgroup.as_deref().and_then(unit::service_in)
    }
}
