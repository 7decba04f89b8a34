//! The code of a library in a process's memory, to be held against its file: a probe is a difference.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
};

/// The executable mapping of a file in a process.
pub struct CodeText {
    memory: File,
    start: u64,
    in_file: Vec<u8>,
}

impl CodeText {
    /// Finds the C library in a running process.
    pub fn of_libc(pid: u32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("a running process");
        let line = maps.lines().find(|line| line.contains(" r-xp ") && line.contains("/libc.so.6"));
        let words: Vec<&str> = line.expect("a mapped libc.so.6").split_whitespace().collect();
        let [range, _, offset, _, _, path] = words[..] else { panic!("no mapping: {words:?}") };
        let (start, end) = range.split_once('-').expect("a range");
        let [start, end, offset] = [start, end, offset].map(|word| u64::from_str_radix(word, 16).expect("a number"));
        let file = fs::read(PathBuf::from(path)).expect("the C library's file");
        let length = ((end - start) as usize).min(file.len() - offset as usize);
        Self {
            memory: File::open(format!("/proc/{pid}/mem")).expect("root may read memory"),
            start,
            in_file: file[offset as usize..][..length].to_owned(),
        }
    }

    /// Each byte that is not what the file has, as it is in memory.
    pub fn differences(&self) -> Vec<u8> {
        let mut in_memory = vec![0; self.in_file.len()];
        self.memory.read_exact_at(&mut in_memory, self.start).expect("mapped memory");
        let pairs = in_memory.into_iter().zip(&self.in_file);
        pairs.filter(|(memory, file)| memory != *file).map(|(memory, _)| memory).collect()
    }
}
