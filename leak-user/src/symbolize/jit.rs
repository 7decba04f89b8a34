//! Names for code in no file, by what the runtime that compiled it wrote down.
//!
//! The file lies where the process itself has its `/tmp`, under the id that the process has for itself. It is read only
//! if it is the process's own or root's; where anybody could have put it there, it would be anybody's word.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::perf_map::PerfMap;
use crate::process::origin::{Links, Origin};

/// Most bytes of such a file that are read.
const MAX_LENGTH: u64 = 64 << 20;

/// A file is looked at for more no sooner than this after the last time.
const REREAD_AFTER: Duration = Duration::from_secs(1);

/// The functions that processes have compiled.
#[derive(Default)]
pub struct Compiled {
    by_process: HashMap<*const Origin, Known>,
}

/// What is known of one process.
struct Known {
    /// Keeps the address by which it is found from being another's.
    origin: Arc<Origin>,
    functions: PerfMap,
    /// Which file was read, and how much of it.
    file: Option<(u64, u64)>,
    read: u64,
    looked_at: Option<Instant>,
}

impl Compiled {
    /// The function of a process that an address is in.
    pub fn find(&mut self, origin: &Arc<Origin>, address: u64) -> Option<&str> {
        let key = Arc::as_ptr(origin);
        if !self.by_process.contains_key(&key) {
            // Those are gone that nobody else knows of any more.
            self.by_process.retain(|_, known| Arc::strong_count(&known.origin) > 1);
        }
        let known = self.by_process.entry(key).or_insert_with(|| Known {
            origin: Arc::clone(origin),
            functions: PerfMap::default(),
            file: None,
            read: 0,
            looked_at: None,
        });
        if known.functions.find(address).is_none()
            && known.looked_at.is_none_or(|looked_at| looked_at.elapsed() >= REREAD_AFTER)
        {
            // Most processes have no such file, which is no error.
            let _ = known.read_on();
            known.looked_at = Some(Instant::now());
        }
        known.functions.find(address)
    }
}

impl Known {
    /// Reads what was added to the file since, or all of it if it is another.
    fn read_on(&mut self) -> io::Result<()> {
        let path = PathBuf::from(format!("/tmp/perf-{}.map", self.origin.pid));
        let file = self.origin.root.open(&path, Links::Refused)?;
        if !self.origin.trusts(&file) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let metadata = file.metadata()?;
        if self.file != Some(identity(&metadata)) || metadata.len() < self.read {
            (self.functions, self.file, self.read) = (PerfMap::default(), Some(identity(&metadata)), 0);
        }
        let text = read_from(&file, self.read)?;
        self.read += self.functions.extend(&text) as u64;
        Ok(())
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// What stands behind `start`, up to the most that is read of a file.
fn read_from(file: &File, start: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len().min(MAX_LENGTH).saturating_sub(start);
    let mut text = vec![0; length as usize];
    let mut filled = 0;
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, start + filled as u64)? {
            0 => break,
            length => filled += length,
        }
    }
    text.truncate(filled);
    Ok(text)
}
