//! Where a process finds its files: its root directory, held open, and who it is there.
//!
//! A container's paths and ids mean something only inside of it. What is opened through here never leads out of the
//! root, whatever links lie on the way, and is a regular file: no pipe to wait for, no device to wake.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use procfs::process::Process;
use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2},
    io::Errno,
};

use super::below;

/// A root directory. It outlives the process that it was of.
#[derive(Debug)]
pub struct Root(OwnedFd);

/// What may be on the way to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Symbolic links, which lead to something below the same root.
    Followed,
    /// No symbolic links at all.
    Refused,
}

impl Root {
    /// The root directory of leaktrace itself.
    pub fn own() -> io::Result<Self> {
        Self::at(Path::new("/"))
    }

    /// The root directory of a process.
    pub fn of(pid: u32) -> io::Result<Self> {
        Self::at(&PathBuf::from(format!("/proc/{pid}/root")))
    }

    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self(open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Opens a regular file below it for reading. Fails on paths that climb (`..`).
    pub fn open(&self, path: &Path, links: Links) -> io::Result<File> {
        let climbs = |part: Component<'_>| !matches!(part, Component::RootDir | Component::Normal(_));
        if path.components().any(climbs) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        if links == Links::Refused {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        // Found first and opened only once it is known to be a plain file: to open a device can already do something.
        let found = match openat2(&self.0, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::NOSYS) => below::find(self.0.as_fd(), path, links)?,
            found => found?,
        };
        if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(format!("/proc/self/fd/{}", found.as_fd().as_raw_fd()))
    }

    fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = fstat(&self.0)?;
        Ok((stat.st_dev, stat.st_ino))
    }
}

/// A process as its own surroundings know it.
#[derive(Debug)]
pub struct Origin {
    /// Its root directory.
    pub root: Arc<Root>,
    /// Its id in its own PID namespace.
    pub pid: u32,
    /// The user it acts as.
    user: u32,
}

impl Origin {
    /// Looks up a running process. Gives `before` back if nothing has changed since.
    pub fn of(pid: u32, before: Option<&Arc<Self>>) -> io::Result<Arc<Self>> {
        let status = Process::new(pid as i32).and_then(|process| process.status()).map_err(io::Error::other)?;
        let own_pid = status.nspid.and_then(|ids| ids.last().copied()).map_or(pid, |id| id as u32);
        let root = Root::of(pid)?;
        if let Some(before) = before
            && (before.pid, before.user) == (own_pid, status.euid)
            && before.root.identity()? == root.identity()?
        {
            return Ok(Arc::clone(before));
        }
        Ok(Arc::new(Self { root: Arc::new(root), pid: own_pid, user: status.euid }))
    }

    /// Whether a file is the process's own or root's, and so not another user's trick.
    pub fn trusts(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|file| file.uid() == self.user || file.uid() == 0)
    }
}
