//! The directory in which profiles wait that could not be sent.
//!
//! Each is a file of its own, whole or not there, readable by its owner alone. Its name tells for whom it waits and since
//! when: `KEY-MILLISECONDS-NUMBER-PID.profile`. Only files that bear such a name are ever touched. What cannot be read, or
//! what its target refuses, is set aside under another ending, and goes when its time comes like the others.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, OFlags, flock};

use super::{entry, profile::Profile};
use crate::{
    text::printable,
    units::{bytes, plural},
};

/// The ending of what waits.
const WAITING: &str = "profile";

/// The ending of what is being written.
const UNFINISHED: &str = "part";

/// The endings of what is set aside.
const ASIDE: [&str; 2] = ["damaged", "refused"];

/// What nobody has finished in this time nobody writes any more.
const ABANDONED: Duration = Duration::from_hours(1);

/// Tells apart what is kept within a millisecond.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The directory, and what may be in it.
#[derive(Clone, Debug)]
pub struct Spool {
    /// Where.
    pub directory: PathBuf,
    /// So many bytes stay.
    pub keep_bytes: u64,
    /// What waits for longer goes.
    pub keep_for: Duration,
}

/// A file of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    path: PathBuf,
    /// Since when, and of what came at the same time, in which order.
    since: (u64, String),
    bytes: u64,
}

/// As long as it is held nobody else sends what waits.
pub struct Turn {
    _lock: File,
}

impl Spool {
    /// Where it is, for a terminal.
    pub fn name(&self) -> String {
        printable(&self.directory.to_string_lossy()).into_owned()
    }

    /// The turn to send what waits; none while another has it, or where nothing ever waited.
    pub fn turn(&self) -> Result<Option<Turn>> {
        let lock = match File::open(&self.directory) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| self.unusable()),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Turn { _lock: lock })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error).with_context(|| self.unusable()),
        }
    }

    /// What waits for this target, oldest first.
    pub fn waiting(&self, key: &str) -> Result<Vec<Waiting>> {
        match fs::read_dir(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| self.unusable());
            }
            _ => {}
        }
        let mut waiting: Vec<Waiting> = self.files(|ending| ending == WAITING).collect();
        waiting.retain(|file| file.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(key)));
        waiting.sort_by(|one, other| one.since.cmp(&other.since));
        Ok(waiting)
    }

    /// The profile in a file; an error says why there is none.
    pub fn read(&self, file: &Waiting) -> Result<Profile> {
        let mut bytes = Vec::new();
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&file.path)?;
        opened.take(file.bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        entry::decode(&bytes)
    }

    /// It has been sent.
    pub fn remove(&self, file: &Waiting) -> Result<()> {
        fs::remove_file(&file.path)
            .with_context(|| format!("{} was sent and cannot be removed; remove it", shown(&file.path)))
    }

    /// It will never be sent: it is `damaged` or `refused`. Gives where it is now.
    pub fn set_aside(&self, file: &Waiting, why: &str) -> Result<String> {
        let aside = file.path.with_extension(why);
        fs::rename(&file.path, &aside)
            .with_context(|| format!("{} cannot be set aside; remove it", shown(&file.path)))?;
        Ok(shown(&aside))
    }

    /// Keeps a profile for a target. Gives what had to go for it, in words.
    pub fn keep(&self, profile: &Profile, key: &str, target: &str) -> Result<Vec<String>> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).with_context(|| self.unusable())?;
        let content = entry::encode(profile, target)?;
        let length = content.len() as u64;
        if length > self.keep_bytes {
            let (length, most) = (bytes(length), bytes(self.keep_bytes));
            bail!("it has {length}, and the spool {} room for {most}; give a greater --spool-size", self.name());
        }
        let now = SystemTime::now();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{key}-{:013}-{number:06}-{}", milliseconds(now), std::process::id());
        let unfinished = self.directory.join(&name).with_extension(UNFINISHED);
        let path = self.directory.join(&name).with_extension(WAITING);
        let written = write(&unfinished, &content).and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&unfinished);
            return Err(error).with_context(|| self.unusable());
        }
        // The name as well is to outlast a loss of power.
        File::open(&self.directory).and_then(|directory| directory.sync_all()).with_context(|| self.unusable())?;
        Ok(self.tidy(now, Some(&path)))
    }

    /// Removes what is too old or too much, the oldest first, but for `spare`. Gives what went, in words.
    pub fn tidy(&self, now: SystemTime, spare: Option<&Path>) -> Vec<String> {
        let now = milliseconds(now);
        let age = |file: &Waiting| Duration::from_millis(now.saturating_sub(file.since.0));
        for file in self.files(|ending| ending == UNFINISHED).filter(|file| age(file) > ABANDONED) {
            let _ = fs::remove_file(&file.path);
        }
        let mut files: Vec<Waiting> = self.files(|ending| ending == WAITING || ASIDE.contains(&ending)).collect();
        files.sort_by(|one, other| other.since.cmp(&one.since));
        let spared: u64 = files.iter().filter(|file| spare == Some(&file.path)).map(|file| file.bytes).sum();
        let mut room = self.keep_bytes.saturating_sub(spared);
        let (mut old, mut much) = (0, 0);
        for file in files.iter().filter(|file| spare != Some(&file.path)) {
            let fits = file.bytes <= room;
            // Where one finds no room, none that is older does.
            room = if fits { room - file.bytes } else { 0 };
            let gone = match (fits, age(file) > self.keep_for) {
                (false, _) => &mut much,
                (true, true) => &mut old,
                (true, false) => continue,
            };
            *gone += u64::from(fs::remove_file(&file.path).is_ok());
        }
        let spool = self.name();
        let mut said = Vec::new();
        if much > 0 {
            let most = bytes(self.keep_bytes);
            said.push(format!(
                "the spool {spool} is full ({most}): the oldest {} went unsent",
                plural(much, "profile")
            ));
        }
        if old > 0 {
            let longest = crate::units::seconds(self.keep_for.as_secs_f64());
            let profiles = plural(old, "profile");
            said.push(format!("{profiles} in the spool {spool} waited for more than {longest} and went unsent"));
        }
        said
    }

    fn files(&self, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = Waiting> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        entries.filter_map(move |entry| {
            let name = entry.file_name();
            let (stem, ending) = name.to_str()?.rsplit_once('.')?;
            let (key, rest) = stem.split_once('-')?;
            let (since, order) = rest.split_once('-')?;
            let is_ours = wanted(ending) && key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
            // Not through a link, and nothing that somebody else calls so.
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file).filter(|_| is_ours)?;
            let since = (since.parse().ok()?, order.to_owned());
            Some(Waiting { path: entry.path(), since, bytes: metadata.len() })
        })
    }

    fn unusable(&self) -> String {
        format!("the spool {} cannot be used; give another directory with --spool", self.name())
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn milliseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests;
