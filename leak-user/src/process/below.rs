//! Finds a file below a directory a step at a time, as `openat2` would at once.
//!
//! For where that is not to be had: systemd denies it to every service that may make no set-user-ID files, since a filter of
//! system calls cannot look at what it is asked for. No step leads out of the directory, whatever is changed meanwhile: all
//! folders on the way are held open, and `..` is the one before.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Component, Path},
};

use rustix::{
    fs::{FileType, Mode, OFlags, fstat, openat, readlinkat},
    io::Errno,
};

use super::origin::Links;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// Folders that are held open at a time.
const DEEPEST: usize = 128;

/// Finds what is at the path, without opening it.
pub fn find(root: BorrowedFd<'_>, path: &Path, links: Links) -> io::Result<OwnedFd> {
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut ahead: Vec<OsString> = Vec::new();
    go_on(path, &mut way, &mut ahead);
    let mut followed = 0;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            way.pop();
            continue;
        }
        if way.len() == DEEPEST {
            return Err(Errno::NAMETOOLONG.into());
        }
        let here = way.last().map_or(root, AsFd::as_fd);
        let next = openat(here, &part, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&next)?.st_mode) != FileType::Symlink {
            way.push(next);
            continue;
        }
        followed += 1;
        if links == Links::Refused || followed > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = readlinkat(&next, "", Vec::new())?;
        go_on(Path::new(OsStr::from_bytes(target.to_bytes())), &mut way, &mut ahead);
    }
    way.pop().ok_or_else(|| Errno::ISDIR.into())
}

/// Puts a path before what is still to be gone; one from the root begins there anew.
fn go_on(path: &Path, way: &mut Vec<OwnedFd>, ahead: &mut Vec<OsString>) {
    if path.is_absolute() {
        way.clear();
    }
    let steps = path.components().rev().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    ahead.extend(steps.map(|part| part.as_os_str().to_owned()));
}

#[cfg(test)]
mod tests {
    use std::{env, fs, os::unix::fs::symlink, path::PathBuf, process};

    use rustix::fs::{ResolveFlags, open, openat2};

    use super::*;

    /// A folder with links in it, gone when this is dropped.
    struct Maze(PathBuf);

    impl Maze {
        fn new() -> Self {
            let root = env::temp_dir().join(format!("leaktrace-below-{}", process::id()));
            fs::create_dir_all(root.join("usr/lib/deep")).unwrap();
            fs::write(root.join("usr/lib/libc.so"), "").unwrap();
            fs::write(root.join("top"), "").unwrap();
            for (link, target) in [
                ("lib", "usr/lib"),
                ("absolute", "/usr/lib/libc.so"),
                ("usr/lib/deep/up", "../../../../../top"),
                ("usr/lib/deep/chain", "/lib/deep/up"),
                ("loop", "loop"),
                ("outside", "/etc/passwd"),
                ("dangling", "nowhere"),
            ] {
                symlink(target, root.join(link)).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Maze {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn each_path_leads_where_openat2_says() {
        let maze = Maze::new();
        let root = open(&maze.0, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let inode = |found: OwnedFd| fstat(&found).unwrap().st_ino;
        let mut found = 0;
        for path in [
            "/usr/lib/libc.so",
            "lib/libc.so",
            "/absolute",
            "/usr/lib/deep/up",
            "/lib/deep/chain",
            "/loop",
            "/outside",
            "/dangling",
            "/usr/lib/libc.so/more",
            "/nothing",
        ] {
            for (links, more) in [(Links::Followed, ResolveFlags::empty()), (Links::Refused, ResolveFlags::NO_SYMLINKS)]
            {
                let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
                let told = openat2(&root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
                let told = told.map(inode).map_err(|error| io::Error::from(error).kind());
                let own = find(root.as_fd(), Path::new(path), links).map(inode).map_err(|error| error.kind());
                assert_eq!(own, told, "{path}, links {links:?}");
                found += usize::from(own.is_ok());
            }
        }
        assert_eq!(found, 6, "five by links and one without");
    }
}
