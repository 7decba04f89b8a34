//! The directory that sessions are kept in: their names, and how many stay.
//!
//! Only files that bear such a name are ever removed, the oldest first.

use std::{
    cmp::Reverse,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};

use crate::{process::who::Who, text::printable, units::bytes};

/// The end of a session's name.
const SUFFIX: &str = ".leak";

/// Letters of a program's name in a session's.
const LONGEST_NAME: usize = 32;

/// The directory, and what may be in it.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// Where.
    pub directory: PathBuf,
    /// Sessions older than this go.
    pub keep_for: Duration,
    /// So many bytes stay.
    pub keep_bytes: u64,
}

/// A session that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    written: SystemTime,
    bytes: u64,
    path: PathBuf,
}

impl Shelf {
    /// Makes the directory if it is not there: what is in a session is nobody else's business.
    pub fn prepare(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        let shown = printable(&self.directory.to_string_lossy()).into_owned();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).with_context(|| {
            format!("the directory {shown} for sessions cannot be made; give another with --directory")
        })?;
        rustix::fs::access(&self.directory, rustix::fs::Access::WRITE_OK)
            .with_context(|| format!("nothing can be written to the directory {shown}; give another with --directory"))
    }

    /// Where the session of a process begins, at `now`: `NAME-PID-20261122T031500Z.leak`.
    pub fn place(&self, name: &str, who: Who, now: SystemTime) -> PathBuf {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._+".contains(letter);
        let plain: String =
            name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).take(LONGEST_NAME).collect();
        let plain = plain.trim_start_matches('.');
        let time = humantime::format_rfc3339_seconds(now).to_string().replace(['-', ':'], "");
        let name = if plain.is_empty() { "unnamed" } else { plain };
        self.directory.join(format!("{name}-{}-{time}{SUFFIX}", who.pid))
    }

    /// Removes what is too old or too much but for `spare`, which are being written. Gives what was removed, in words.
    pub fn tidy(&self, now: SystemTime, spare: &[&Path]) -> Vec<String> {
        let mut kept = self.kept();
        kept.sort_by_key(|session| Reverse(session.written));
        let mut room = self.keep_bytes;
        let mut removed = Vec::new();
        for session in kept {
            let age = now.duration_since(session.written).unwrap_or_default();
            let fits = session.bytes <= room;
            room = room.saturating_sub(session.bytes);
            if (fits && age <= self.keep_for) || spare.contains(&session.path.as_path()) {
                continue;
            }
            let shown = printable(&session.path.to_string_lossy()).into_owned();
            let why = if fits { "it is too old" } else { "sessions take too much room" };
            removed.push(match fs::remove_file(&session.path) {
                Ok(()) => format!("{shown} ({}) is removed: {why}", bytes(session.bytes)),
                Err(error) => format!("{shown} cannot be removed, though {why}: {error}"),
            });
        }
        removed
    }

    /// How many sessions there are, and their bytes.
    pub fn holds(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.len() as u64, kept.iter().map(|session| session.bytes).sum())
    }

    fn kept(&self) -> Vec<Kept> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let kept = entries.filter_map(|entry| {
            let name = entry.file_name();
            let stem = name.to_str()?.strip_suffix(SUFFIX)?;
            let time = stem.rsplit('-').next()?;
            // Not through a link, and nothing that somebody else calls so.
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let is_time = time.len() == "20261122T031500Z".len() && time.ends_with('Z') && time.as_bytes()[8] == b'T';
            is_time.then_some(Kept { written: metadata.modified().ok()?, bytes: metadata.len(), path: entry.path() })
        });
        kept.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Who = Who { pid: 7, start_ticks: 0 };

    fn shelf(name: &str) -> Shelf {
        let directory = std::env::temp_dir().join(format!("leaktrace-shelf-{name}-{}", std::process::id()));
        let shelf = Shelf { directory, keep_for: Duration::from_hours(1), keep_bytes: 250 };
        shelf.prepare().unwrap();
        shelf
    }

    #[test]
    fn a_name_is_plain_whatever_the_program_calls_itself() {
        let shelf = Shelf { directory: "/x".into(), keep_for: Duration::ZERO, keep_bytes: 0 };
        let at = |name| shelf.place(name, NOBODY, SystemTime::UNIX_EPOCH).to_string_lossy().into_owned();
        assert_eq!(at("redis-server"), "/x/redis_server-7-19700101T000000Z.leak");
        assert_eq!(at("../../etc/\u{1b}[2J"), "/x/_.._etc___2J-7-19700101T000000Z.leak");
        assert_eq!(at(""), "/x/unnamed-7-19700101T000000Z.leak");
    }

    #[test]
    fn the_oldest_go_when_there_is_no_room_and_others_files_stay() {
        let shelf = shelf("room");
        let now = SystemTime::now();
        for (number, age) in (0..4).zip([30, 20, 10, 7200]) {
            let written = now - Duration::from_secs(age);
            let path = shelf.place(&format!("p{number}"), NOBODY, written);
            fs::write(&path, [0; 100]).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
        }
        fs::write(shelf.directory.join("precious.leak"), [0; 1000]).unwrap();
        assert_eq!(shelf.holds(), (4, 400));
        let removed = shelf.tidy(now, &[]);
        let mut left: Vec<String> = fs::read_dir(&shelf.directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        fs::remove_dir_all(&shelf.directory).unwrap();
        assert_eq!(removed.len(), 2, "{removed:?}");
        assert!(left.len() == 3 && left[0].starts_with("p1-") && left[1].starts_with("p2-"), "{left:?}");
    }
}
