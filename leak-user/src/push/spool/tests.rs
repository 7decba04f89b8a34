//! What becomes of profiles that wait.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::push::entry::tests::profile;

const KEY: &str = "0123456789abcdef";

/// A spool of its own, gone at the end.
struct Fresh(Spool);

impl Fresh {
    fn new(name: &str, keep_bytes: u64) -> Self {
        let directory = std::env::temp_dir().join(format!("leaktrace-spool-{name}-{}", std::process::id()));
        Self(Spool { directory, keep_bytes, keep_for: Duration::from_hours(24) })
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0.directory).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn waiting(&self) -> Vec<u64> {
        self.0.waiting(KEY).unwrap().iter().map(|file| self.0.read(file).unwrap().head.from).collect()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0.directory);
    }
}

#[test]
fn profiles_come_back_in_order_to_their_own_target_and_are_nobody_elses_business() {
    let spool = Fresh::new("order", 1 << 20);
    for number in 1..=3 {
        assert!(spool.0.keep(&profile(number), KEY, "http://h/ingest").unwrap().is_empty());
    }
    spool.0.keep(&profile(9), "fedcba9876543210", "http://other/ingest").unwrap();
    assert_eq!(spool.waiting(), [1, 2, 3]);
    for name in spool.names() {
        let mode = fs::metadata(spool.0.directory.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(&spool.0.directory).unwrap().permissions().mode() & 0o777, 0o700);
    spool.0.remove(&spool.0.waiting(KEY).unwrap()[0]).unwrap();
    assert_eq!(spool.waiting(), [2, 3]);
}

#[test]
fn when_it_is_full_the_oldest_go_and_that_is_said() {
    let size = entry::encode(&profile(1), "t").unwrap().len() as u64;
    let spool = Fresh::new("full", size * 2 + size / 2);
    let said: Vec<String> = (1..=4).flat_map(|number| spool.0.keep(&profile(number), KEY, "t").unwrap()).collect();
    assert_eq!(spool.waiting(), [3, 4]);
    assert_eq!(said.len(), 2);
    assert!(said.iter().all(|text| text.contains("is full") && text.contains("1 profile went unsent")), "{said:?}");
}

#[test]
fn what_waits_for_too_long_goes() {
    let spool = Fresh::new("old", 1 << 20);
    spool.0.keep(&profile(1), KEY, "t").unwrap();
    let said = spool.0.tidy(SystemTime::now() + Duration::from_hours(25), None);
    assert!(spool.names().is_empty() && said[0].contains("waited for more than 1 d 0 h"), "{said:?}");
}

#[test]
fn a_profile_that_finds_no_room_at_all_is_said_and_drives_nothing_out() {
    let size = entry::encode(&profile(1), "t").unwrap().len() as u64;
    let spool = Fresh::new("large", size + 8);
    spool.0.keep(&profile(1), KEY, "t").unwrap();
    let mut large = profile(2);
    large.pprof = vec![0; 4096];
    let error = format!("{:#}", spool.0.keep(&large, KEY, "t").unwrap_err());
    assert!(error.contains("--spool-size"), "{error}");
    assert_eq!(spool.waiting(), [1]);
}

#[test]
fn others_files_links_and_what_is_being_written_are_left_alone() {
    let spool = Fresh::new("others", 1 << 20);
    spool.0.keep(&profile(1), KEY, "t").unwrap();
    let at = |name: &str| spool.0.directory.join(name);
    fs::write(at("precious.profile"), "x").unwrap();
    fs::write(at(&format!("{KEY}-{:013}-000000-1.part", milliseconds(SystemTime::now()))), "x").unwrap();
    fs::write(at(&format!("{KEY}-0000000000001-000000-1.part")), "x").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at(&format!("{KEY}-0000000000001-000000-2.profile"))).unwrap();
    assert_eq!(spool.waiting(), [1]);
    let before = spool.names().len();
    spool.0.tidy(SystemTime::now(), None);
    // All but the part that was abandoned.
    assert_eq!(spool.names().len(), before - 1);
}

#[test]
fn only_one_has_the_turn() {
    let spool = Fresh::new("turn", 1 << 20);
    assert!(spool.0.turn().unwrap().is_none());
    spool.0.keep(&profile(1), KEY, "t").unwrap();
    let turn = spool.0.turn().unwrap();
    assert!(turn.is_some() && spool.0.turn().unwrap().is_none());
    drop(turn);
    assert!(spool.0.turn().unwrap().is_some());
}

#[test]
fn a_directory_that_cannot_be_made_is_said() {
    let mut spool = Fresh::new("no", 1 << 20);
    spool.0.directory = PathBuf::from("/proc/no/spool");
    let error = format!("{:#}", spool.0.keep(&profile(1), KEY, "t").unwrap_err());
    assert!(error.contains("give another directory with --spool"), "{error}");
    spool.0.directory = PathBuf::from("/nonexistent-leaktrace");
}
