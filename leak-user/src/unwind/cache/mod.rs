//! Tables that took long to compile, on disk for the next run.
//!
//! The directory is root's alone, and what is in it is found by a digest of all that a table is made of: no traced
//! program can have its table taken for another's. Whatever is wrong with the cache, compiling still works; a file that
//! is not what it should be is as good as none, and removed.

mod file;

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    path::Path,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

pub use file::{Key, decode, encode};

use super::compile::{Compiled, compile_image};
use super::image::Image;
use crate::process::elf::ElfFile;

/// Where root's cache is.
pub const DIRECTORY: &str = "/var/cache/leaktrace";

/// Bytes that the whole cache may take.
const MAX_TOTAL: u64 = 256 << 20;

/// Sections smaller than this compile faster than a file is found.
const MIN_SECTIONS: usize = 128 << 10;

/// What compiles faster than this is not stored.
const MIN_TIME: Duration = Duration::from_millis(5);

/// Longest part of a build ID in a file's name, in digits.
const MAX_BUILD_ID: usize = 40;

/// How the names of tables end, and those of files that are not whole yet.
const TABLE: &str = ".rows";
const DRAFT: &str = ".new";

/// Age at which a file that is not whole yet never will be.
const STALE_DRAFT: Duration = Duration::from_hours(1);

/// Makes names of drafts differ within this process.
static DRAFTS: AtomicU32 = AtomicU32::new(0);

/// A cache, open.
#[derive(Debug)]
pub struct Cache {
    directory: OwnedFd,
    max_total: u64,
    min_time: Duration,
    min_sections: usize,
}

impl Cache {
    /// Opens the cache, made first where it is missing (but not the directories above it).
    ///
    /// One that others than the caller could write to is an error.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        match fs::mkdir(path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {shown}")),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = fs::open(path, flags, Mode::empty()).with_context(|| format!("cannot open {shown}"))?;
        let stat = fs::fstat(&directory).with_context(|| format!("cannot look at {shown}"))?;
        ensure!(
            is_ours(&stat),
            "{shown} is not used: others can write to it; remove it, or give it to root with mode 700"
        );
        Ok(Self { directory, max_total: MAX_TOTAL, min_time: MIN_TIME, min_sections: MIN_SECTIONS })
    }

    /// As [`compile`](super::compile), from the cache where it has the table.
    pub fn compile(&self, data: &[u8]) -> Result<Compiled> {
        let image = Image::parse(data)?;
        let sections = [&image.eh_frame, &image.debug_frame].into_iter().flatten();
        if sections.map(|section| section.bytes.len()).sum::<usize>() < self.min_sections {
            return Ok(compile_image(&image));
        }
        let key = Key::of(&image);
        let name = name(data, &key);
        if let Some(table) = self.load(&name, &key) {
            return Ok(table);
        }
        let began = Instant::now();
        let table = compile_image(&image);
        if began.elapsed() >= self.min_time
            && let Err(error) = self.store(&name, &encode(&table, &key))
        {
            log::debug!("an unwind table could not be cached: {error:#}");
        }
        Ok(table)
    }

    /// The table in the file of this name, which is marked as used; a file that holds another is removed.
    fn load(&self, name: &str, key: &Key) -> Option<Compiled> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let table = match fs::openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => read(file).and_then(|bytes| decode(&bytes, key)),
            Err(rustix::io::Errno::NOENT) => return None,
            Err(_) => None,
        };
        if table.is_some() {
            let now = Timestamps {
                last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
                last_modification: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
            };
            // Without it the table is only removed sooner.
            let _ = fs::utimensat(&self.directory, name, &now, AtFlags::SYMLINK_NOFOLLOW);
        } else {
            log::debug!("{name} in the cache of unwind tables is broken, and removed");
            let _ = fs::unlinkat(&self.directory, name, AtFlags::empty());
        }
        table
    }

    /// Stores a file under this name, whole or not at all, and makes room for it.
    fn store(&self, name: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > self.max_total {
            return Ok(());
        }
        let draft = format!("{}-{}{DRAFT}", std::process::id(), DRAFTS.fetch_add(1, Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.directory, &draft, flags, Mode::RUSR | Mode::WUSR)?;
        let stored = File::from(file)
            .write_all(bytes)
            .map_err(anyhow::Error::from)
            .and_then(|()| Ok(fs::renameat(&self.directory, &draft, &self.directory, name)?));
        if stored.is_err() {
            let _ = fs::unlinkat(&self.directory, &draft, AtFlags::empty());
        }
        stored?;
        self.trim()
    }

    /// Removes the tables that have not been used for longest until the rest fits, and drafts that nobody finishes.
    fn trim(&self) -> Result<()> {
        let now = SystemTime::now();
        let mut tables = vec![];
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let Ok(stat) = fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let used = (stat.st_mtime, stat.st_mtime_nsec);
            if name.ends_with(TABLE) {
                tables.push((used, stat.st_size as u64, name.to_owned()));
            } else if name.ends_with(DRAFT) {
                let made = UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
                if now.duration_since(made).is_ok_and(|age| age > STALE_DRAFT) {
                    let _ = fs::unlinkat(&self.directory, name, AtFlags::empty());
                }
            }
        }
        tables.sort();
        let mut total: u64 = tables.iter().map(|(_, size, _)| size).sum();
        for (_, size, name) in tables {
            if total <= self.max_total {
                break;
            }
            fs::unlinkat(&self.directory, &name, AtFlags::empty())?;
            total -= size;
        }
        Ok(())
    }
}

/// Whether nobody but us (and root) can have made this, or can change it.
fn is_ours(stat: &Stat) -> bool {
    let others = Mode::WGRP | Mode::WOTH;
    stat.st_uid == rustix::process::geteuid().as_raw() && !Mode::from_raw_mode(stat.st_mode).intersects(others)
}

/// The bytes of a regular file of ours.
fn read(file: OwnedFd) -> Option<Vec<u8>> {
    let stat = fs::fstat(&file).ok()?;
    let size = usize::try_from(stat.st_size).ok().filter(|size| *size <= file::MAX_FILE)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !is_ours(&stat) {
        return None;
    }
    let mut bytes = Vec::with_capacity(size + 1);
    File::from(file).take(size as u64 + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The name of a table's file: the build ID for people, the key for us.
fn name(data: &[u8], key: &Key) -> String {
    let build_id = ElfFile::parse(data, "").ok().and_then(|file| file.build_id());
    let mut build_id = build_id.unwrap_or_else(|| "none".to_owned());
    build_id.truncate(MAX_BUILD_ID);
    format!("{build_id}-{}{TABLE}", key.hex())
}

#[cfg(test)]
mod tests;
