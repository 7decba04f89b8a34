//! The cache on a real directory.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
};

use super::*;

/// A directory of the test's own, gone after it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("leaktrace-cache-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn cache(&self) -> Cache {
        let cache = Cache::open(&self.0).expect("it opens");
        Cache { min_time: Duration::ZERO, min_sections: 0, ..cache }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.0).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The loader: small, with a build ID.
fn sample() -> Vec<u8> {
    fs::read("/lib64/ld-linux-x86-64.so.2").expect("the loader")
}

#[test]
fn a_table_is_compiled_once_and_then_read() {
    let scratch = Scratch::new("once");
    let cache = scratch.cache();
    let compiled = cache.compile(&sample()).expect("it compiles");
    assert_eq!(compiled, crate::unwind::compile(&sample()).expect("it compiles"));
    let [file] = &scratch.files()[..] else { panic!("{:?}", scratch.files()) };
    let key = Key::of(&Image::parse(&sample()).expect("an object"));
    let build_id = ElfFile::parse(&sample(), "").expect("an object").build_id().expect("a build ID");
    assert_eq!(file.file_name().expect("a name").to_str(), Some(&*format!("{build_id}-{}.rows", key.hex())));
    // A table that nobody could have compiled shows where it came from.
    let mut marked = compiled.clone();
    marked.stats.entries = 12345;
    fs::write(file, encode(&marked, &key)).expect("it is written");
    assert_eq!(cache.compile(&sample()).expect("it is read"), marked);
}

#[test]
fn a_program_cannot_pass_for_another_by_its_build_id() {
    let scratch = Scratch::new("forged");
    let cache = scratch.cache();
    cache.compile(&sample()).expect("it compiles");
    let mut forged = sample();
    let image = Image::parse(&forged).expect("an object");
    let section = &image.eh_frame.as_ref().expect(".eh_frame").bytes;
    let last = section.as_ptr() as usize - forged.as_ptr() as usize + section.len() - 40;
    forged[last] ^= 0x40;
    cache.compile(&forged).expect("it compiles");
    assert_eq!(scratch.files().len(), 2);
}

#[test]
fn a_broken_file_is_removed_and_the_table_made_anew() {
    let scratch = Scratch::new("broken");
    let cache = scratch.cache();
    let compiled = cache.compile(&sample()).expect("it compiles");
    let file = scratch.files().remove(0);
    let sound = fs::read(&file).expect("a file");
    let no_time = Cache { min_time: Duration::MAX, ..scratch.cache() };
    for broken in [&sound[..100], &[0; 5000], &[sound.as_slice(), b"x"].concat()] {
        fs::write(&file, broken).expect("it is written");
        assert_eq!(no_time.compile(&sample()).expect("it compiles"), compiled);
        assert!(scratch.files().is_empty());
    }
    fs::write(&file, &sound).expect("it is written");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("it is ours");
    no_time.compile(&sample()).expect("it compiles");
    assert!(scratch.files().is_empty(), "others could have written it");
}

#[test]
fn a_link_in_place_of_a_table_is_not_followed() {
    let scratch = Scratch::new("link");
    let cache = scratch.cache();
    cache.compile(&sample()).expect("it compiles");
    let file = scratch.files().remove(0);
    let elsewhere = Scratch::new("elsewhere");
    fs::rename(&file, &elsewhere.0).expect("it is moved");
    symlink(&elsewhere.0, &file).expect("a link");
    cache.compile(&sample()).expect("it compiles");
    assert!(!fs::symlink_metadata(&file).expect("a file").is_symlink());
    fs::remove_file(&elsewhere.0).expect("what the link led to is left alone");
}

#[test]
fn a_directory_that_others_can_write_to_or_a_link_is_not_used() {
    let scratch = Scratch::new("mode");
    drop(scratch.cache());
    assert_eq!(fs::metadata(&scratch.0).expect("it was made").permissions().mode() & 0o777, 0o700);
    for mode in [0o770, 0o707, 0o777] {
        fs::set_permissions(&scratch.0, Permissions::from_mode(mode)).expect("it is ours");
        let error = Cache::open(&scratch.0).expect_err("others can write to it").to_string();
        assert!(error.contains("others can write to it"), "{error}");
    }
    fs::set_permissions(&scratch.0, Permissions::from_mode(0o755)).expect("it is ours");
    drop(scratch.cache());
    let link = Scratch::new("mode-link");
    symlink(&scratch.0, &link.0).expect("a link");
    assert!(Cache::open(&link.0).is_err());
    fs::remove_file(&link.0).expect("the link");
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let scratch = Scratch::new("room");
    let cache = Cache { max_total: 1000, ..scratch.cache() };
    for name in ["a.rows", "b.rows", "c.rows"] {
        cache.store(name, &[1; 300]).expect("it is stored");
        std::thread::sleep(Duration::from_millis(10));
    }
    let now = File::options().write(true).open(scratch.0.join("a.rows")).expect("a");
    now.set_modified(SystemTime::now()).expect("a is used");
    std::thread::sleep(Duration::from_millis(10));
    cache.store("d.rows", &[1; 400]).expect("it is stored");
    let left = ["a.rows", "c.rows", "d.rows"].map(|name| scratch.0.join(name));
    assert_eq!(scratch.files(), left);
    cache.store("e.rows", &[1; 1001]).expect("too large is no error");
    assert_eq!(scratch.files(), left);
}
