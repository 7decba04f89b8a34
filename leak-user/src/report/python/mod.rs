//! What a report says of interpreters: which types of objects grow, who holds them, and which lines add to those.
//!
//! It comes from reading the heap while the process runs, not from probes: so it tells also of what was there before the
//! trace, and a rate is that between two readings. The names are the target's own: not to be printed raw.

pub mod words;

use serde::{Deserialize, Serialize};

use super::{Frame, Verdict};

/// Of all traced processes that run Python.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Python {
    /// The interpreters.
    pub interpreters: Vec<Interpreter>,
    /// The types with the most bytes in objects, those that grow first.
    pub types: Vec<TypeCount>,
    /// The containers that grow, the fastest first.
    pub holders: Vec<Holder>,
    /// Types whose objects grow while no container that can be reached holds them, the fastest first.
    pub cycles: Vec<Cycle>,
}

/// A process's interpreter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interpreter {
    /// The process.
    pub pid: u32,
    /// Its release, if it could be told.
    pub version: Option<String>,
    /// Whether its heap is read.
    pub state: Reading,
    /// Why not, or what of it is not to be had, in a sentence without its full stop.
    pub why: Option<String>,
    /// How often its heap was read.
    pub scans: u64,
    /// Seconds that the last reading took. The process ran meanwhile.
    pub scan_s: f64,
    /// Blocks of its allocator that were in use at the last reading.
    pub live_blocks: u64,
    /// Bytes of those.
    pub live_bytes: u64,
}

/// Whether an interpreter's heap is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// It will be.
    #[default]
    Waiting,
    /// It is.
    Read,
    /// It cannot be.
    Refused,
}

/// The objects of a type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TypeCount {
    /// The process.
    pub pid: u32,
    /// Its name with its module, as `app.Session`.
    #[serde(rename = "type")]
    pub name: String,
    /// How many there are.
    pub count: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// Trend of the count, a second; 0 until the heap was read twice.
    pub count_per_s: f64,
    /// Trend of the bytes, a second.
    pub bytes_per_s: f64,
}

/// A container that grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// How the program reaches it, as `app.SESSIONS`; none where no way to it was found.
    pub path: Option<String>,
    /// Its type, as `dict`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its entries.
    pub entries: u64,
    /// Trend of those, a second.
    pub entries_per_s: f64,
    /// Trend of the bytes that it holds, a second. An estimate from a sample of its entries.
    pub bytes_per_s: f64,
    /// What its past amounts to.
    pub verdict: Verdict,
    /// How sure the verdict is, 0 to 1.
    pub confidence: f64,
    /// Why, in one sentence without its full stop.
    pub why: String,
    /// Types of its entries, the most frequent first.
    pub holds: Vec<String>,
    /// Entries that were added while it was watched.
    pub additions: u64,
    /// Entries that were removed meanwhile.
    pub removals: u64,
    /// Where they were added, the most frequent first. Empty while it is not watched.
    pub added: Vec<Addition>,
    /// Where writes cannot be watched: where the objects are made of which it is most full, of those that were seen to stay.
    #[serde(default)]
    pub made: Vec<Addition>,
}

/// Objects that grow in number while nothing that can be reached holds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    /// The process.
    pub pid: u32,
    /// The type that grows.
    #[serde(rename = "type")]
    pub name: String,
    /// Its objects.
    pub count: u64,
    /// Trend of those, a second.
    pub count_per_s: f64,
    /// Trend of their bytes, a second.
    pub bytes_per_s: f64,
    /// What its past amounts to.
    pub verdict: Verdict,
    /// How sure the verdict is, 0 to 1.
    pub confidence: f64,
    /// Why, in one sentence without its full stop.
    pub why: String,
    /// The fields that close the cycle, as `Node.parent -> Node.children`.
    pub fields: Vec<String>,
    /// Where such objects are made, the most frequent first.
    pub added: Vec<Addition>,
}

/// A place that adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Addition {
    /// Its share of all additions that were seen, 0 to 1.
    pub share: f64,
    /// How many were seen.
    pub count: u64,
    /// The Python stack, the innermost function first.
    pub frames: Vec<Frame>,
}

impl Holder {
    /// The lines to look at, as far as they are known: those that add to it, or else those that make what it is full of.
    pub fn lines(&self) -> &[Addition] {
        if self.added.is_empty() { &self.made } else { &self.added }
    }
}

impl Python {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.interpreters.is_empty()
    }
}

/// Made-up interpreters for tests.
#[cfg(test)]
pub(crate) mod sample {
    use super::*;
    use crate::symbolize::FrameKind;

    fn frame(function: &str, file: &str, line: u32) -> Frame {
        let (function, file) = (Some(function.to_owned()), Some(file.to_owned()));
        Frame { function, file, line: Some(line), kind: FrameKind::Unknown, ..Frame::default() }
    }

    /// A service that keeps its sessions, and a cycle that nobody frees.
    pub fn sessions() -> Python {
        let added = vec![Addition {
            share: 1.0,
            count: 17_000,
            frames: vec![frame("remember", "/srv/app.py", 11), frame("handle", "/srv/app.py", 30)],
        }];
        Python {
            interpreters: vec![Interpreter {
                pid: 4242,
                version: Some("3.11.7".into()),
                state: Reading::Read,
                why: None,
                scans: 9,
                scan_s: 0.25,
                live_blocks: 3_021_334,
                live_bytes: 220_000_000,
            }],
            types: vec![TypeCount {
                pid: 4242,
                name: "app.Session".into(),
                count: 76_500,
                bytes: 12_897_485,
                count_per_s: 1700.0,
                bytes_per_s: 317_440.0,
            }],
            holders: vec![Holder {
                pid: 4242,
                path: Some("app.SESSIONS".into()),
                kind: "dict".into(),
                entries: 76_500,
                entries_per_s: 1700.0,
                bytes_per_s: 317_440.0,
                verdict: Verdict::Leak,
                confidence: 0.97,
                why: "grew in each of 9 readings over 42 s and never shrank".into(),
                holds: vec!["app.Session".into()],
                additions: 17_000,
                removals: 0,
                added,
                made: Vec::new(),
            }],
            cycles: vec![Cycle {
                pid: 4242,
                name: "app.Node".into(),
                count: 900,
                count_per_s: 0.4,
                bytes_per_s: 20.0,
                verdict: Verdict::Growing,
                confidence: 0.8,
                why: "grew in each of 3 readings".into(),
                fields: vec!["Node.parent -> Node.children -> list".into()],
                added: Vec::new(),
            }],
        }
    }
}
