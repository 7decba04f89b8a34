//! What the page tells of interpreters: in the words of the report, with the stack of the most frequent addition.
//!
//! Promises text that is safe to show. It is that of the last snapshot: a session keeps what was known at each.

use serde::Serialize;

use super::names;
use crate::{
    growth::Verdict,
    report::python::{Addition, Python, Reading, words},
    text::printable,
    units::{bytes, count, percent, rate},
};

/// Containers, types and frames that are shown of each process.
const HOLDERS: usize = 20;
const TYPES: usize = 25;
const FRAMES: usize = 20;

/// A process that runs Python.
#[derive(Debug, PartialEq, Serialize)]
pub struct OfPython {
    about: String,
    /// What to say where nothing grows.
    nothing: &'static str,
    held: Vec<Held>,
    /// Name, objects, bytes, objects a second, bytes a second.
    types: Vec<[String; 5]>,
}

/// Something that grows.
#[derive(Debug, PartialEq, Serialize)]
struct Held {
    verdict: Verdict,
    sure: String,
    what: String,
    why: String,
    frames: Vec<(String, String)>,
}

/// What is told of each process.
pub fn interpreters(python: Option<&Python>) -> Vec<OfPython> {
    let Some(python) = python else { return Vec::new() };
    let of = |interpreter: &crate::report::python::Interpreter| {
        let holders =
            python.holders.iter().filter(|holder| holder.pid == interpreter.pid).take(HOLDERS).map(|holder| {
                held(
                    holder.verdict,
                    holder.confidence,
                    (words::holder(holder), words::below_holder(holder)),
                    holder.lines(),
                )
            });
        let cycles = python.cycles.iter().filter(|cycle| cycle.pid == interpreter.pid).take(HOLDERS).map(|cycle| {
            held(cycle.verdict, cycle.confidence, (words::cycle(cycle), words::below_cycle(cycle)), &cycle.added)
        });
        let types = python.types.iter().filter(|of| of.pid == interpreter.pid).take(TYPES).map(|of| {
            let name = printable(&of.name).into_owned();
            [name, count(of.count), bytes(of.bytes), words::per_second(of.count_per_s), rate(of.bytes_per_s)]
        });
        OfPython {
            about: words::about(interpreter),
            nothing: if interpreter.state == Reading::Read { words::nothing(interpreter) } else { "" },
            held: holders.chain(cycles).collect(),
            types: types.collect(),
        }
    };
    python.interpreters.iter().map(of).collect()
}

fn held(verdict: Verdict, confidence: f64, (what, why): (String, String), added: &[Addition]) -> Held {
    let sure = if verdict == Verdict::New { String::new() } else { percent(confidence * 100.0) };
    let frames = added.first().into_iter().flat_map(|of| &of.frames).take(FRAMES);
    let frames = frames.map(|frame| {
        let at = match (frame.file.as_deref(), frame.line) {
            (Some(file), Some(line)) => format!("{}:{line}", printable(file)),
            (Some(file), None) => printable(file).into_owned(),
            (None, _) => String::new(),
        };
        (names::function(frame), at)
    });
    Held { verdict, sure, what, why, frames: frames.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::python::sample, text::is_hostile};

    #[test]
    fn a_page_tells_it_in_the_words_of_the_report_and_no_name_does_harm() {
        let mut python = sample::sessions();
        python.holders[0].path = Some("app.\x1b]0;x\u{202e}".into());
        let told = interpreters(Some(&python));
        assert_eq!(told.len(), 1);
        assert!(told[0].held[0].what.ends_with("added at remember (app.py:11), 100 % of additions, 0 removals"));
        assert_eq!(told[0].held[0].frames[0], ("remember".to_owned(), "/srv/app.py:11".to_owned()));
        assert_eq!(told[0].held.len(), 2);
        assert!(!serde_json::to_string(&told).unwrap().contains(is_hostile));
        assert_eq!(interpreters(None), Vec::new());
    }
}
