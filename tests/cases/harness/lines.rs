//! What a program says, line by line, read as it comes so that the program never waits for its reader.

use std::{
    io::{BufRead, BufReader, Read},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
};

use super::PATIENCE;

/// One stream of a program.
pub struct Lines {
    coming: Receiver<String>,
    heard: String,
}

impl Lines {
    /// Reads the stream from now on.
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let (said, coming) = channel();
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                if said.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self { coming, heard: String::new() }
    }

    /// The next line, or nothing when the stream has ended.
    pub fn next(&mut self) -> Option<String> {
        match self.coming.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.heard.push_str(&line);
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("waited in vain for a line after:\n{}", self.heard),
        }
    }

    /// The next line that contains this.
    pub fn next_with(&mut self, part: &str) -> String {
        while let Some(line) = self.next() {
            if line.contains(part) {
                return line;
            }
        }
        panic!("\"{part}\" never came, but:\n{}", self.heard)
    }

    /// Returns when a line contains this, or at once if one has.
    pub fn until(&mut self, part: &str) {
        if !self.heard.contains(part) {
            self.next_with(part);
        }
    }

    /// All that was ever said, once the stream has ended.
    pub fn all(mut self) -> String {
        while self.next().is_some() {}
        self.heard
    }
}
