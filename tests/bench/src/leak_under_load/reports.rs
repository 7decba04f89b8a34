//! leaktrace's JSON reports, as far as they say which stack comes first.

use std::{
    io::{BufRead, BufReader},
    process::ChildStdout,
    thread::{self, JoinHandle},
};

use anyhow::{Result, anyhow};
use serde_json::Value;

/// The function of Redis by which every LPUSH goes, whichever memory it takes.
const LEAKING: &str = "pushGenericCommand";

/// Reports that are being read as they come.
pub struct Reports(JoinHandle<Result<Vec<Report>>>);

/// Of a report, when it was and what it names first.
#[derive(Debug, PartialEq)]
pub struct Report {
    /// Seconds after attach.
    pub elapsed_s: f64,
    /// The functions of the first stack, from the allocator's caller outwards.
    first: Vec<String>,
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
        let name = |frame: &Value| frame["function"].as_str().unwrap_or("?").to_owned();
        let first = frames.map(|frames| frames.iter().map(name).collect());
        Ok(Self { elapsed_s: document["elapsed_s"].as_f64().unwrap_or_default(), first: first.unwrap_or_default() })
    }

    /// Whether the leak comes first.
    pub fn names_leak_first(&self) -> bool {
        self.first.iter().any(|function| function == LEAKING)
    }

    /// What comes first.
    pub fn first(&self) -> String {
        if self.first.is_empty() { "no stack".to_owned() } else { self.first.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leak_is_known_by_the_function_it_goes_by() {
        let report = |functions: &str| {
            let frames = functions.split(' ').map(|name| format!(r#"{{"function":"{name}"}}"#)).collect::<Vec<_>>();
            Report::of(&format!(r#"{{"elapsed_s":2.5,"stacks":[{{"frames":[{}]}}]}}"#, frames.join(","))).unwrap()
        };
        assert!(report("zmalloc lpInsert pushGenericCommand call").names_leak_first());
        assert!(!report("zmalloc createObject call").names_leak_first());
        let nothing = Report::of(r#"{"elapsed_s":0.1,"stacks":[]}"#).unwrap();
        assert!(!nothing.names_leak_first() && nothing.first() == "no stack");
    }
}
