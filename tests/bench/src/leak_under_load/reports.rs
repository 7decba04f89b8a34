//! leaktrace's JSON reports, as far as they say which stack comes first.

use std::{
    io::{BufRead, BufReader},
    process::ChildStdout,
    thread::{self, JoinHandle},
};

use anyhow::{Result, anyhow};
use serde_json::Value;

/// Frames by which a stack is known, from the allocator's caller outwards. Those further out tell how Redis came to serve
/// a request, which differs with its load.
const TELLING_FRAMES: usize = 5;

/// Reports that are being read as they come.
pub struct Reports(JoinHandle<Result<Vec<Report>>>);

/// Of a report, when it was and what it names first.
#[derive(Debug, PartialEq)]
pub struct Report {
    /// Seconds after attach.
    pub elapsed_s: f64,
    first: Vec<(String, u64)>,
}

impl Reports {
    /// Reads them until their end.
    pub fn read(output: ChildStdout) -> Self {
        Self(thread::spawn(move || BufReader::new(output).lines().map(|line| Report::of(&line?)).collect()))
    }

    /// All of them, once leaktrace has ended.
    pub fn finish(self) -> Result<Vec<Report>> {
        self.0.join().map_err(|_| anyhow!("the reader of reports has broken down"))?
    }
}

impl Report {
    fn of(line: &str) -> Result<Self> {
        let document: Value = serde_json::from_str(line)?;
        let frames = document["stacks"][0]["frames"].as_array();
        let place = |frame: &Value| {
            (frame["module"].as_str().unwrap_or_default().to_owned(), frame["offset"].as_u64().unwrap_or_default())
        };
        let first = frames.map(|frames| frames.iter().take(TELLING_FRAMES).map(place).collect());
        Ok(Self { elapsed_s: document["elapsed_s"].as_f64().unwrap_or_default(), first: first.unwrap_or_default() })
    }

    /// Whether it names any stack.
    pub fn names_any(&self) -> bool {
        !self.first.is_empty()
    }

    /// Whether it names the same stack first.
    pub fn names_first(&self, other: &Self) -> bool {
        self.names_any() && self.first == other.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_known_by_their_innermost_frames() {
        let report = |offsets: [u32; 6]| {
            let frames = offsets.map(|offset| format!(r#"{{"module":"redis-server","offset":{offset}}}"#)).join(",");
            Report::of(&format!(r#"{{"elapsed_s":2.5,"stacks":[{{"frames":[{frames}]}}]}}"#)).unwrap()
        };
        assert!(report([1, 2, 3, 4, 5, 6]).names_first(&report([1, 2, 3, 4, 5, 7])));
        assert!(!report([1, 2, 3, 4, 5, 6]).names_first(&report([9, 2, 3, 4, 5, 6])));
        let nothing = Report::of(r#"{"elapsed_s":0.1,"stacks":[]}"#).unwrap();
        assert!(!nothing.names_any() && !nothing.names_first(&nothing));
    }
}
