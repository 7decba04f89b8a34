//! The view for speedscope.app: its own JSON file format, a "sampled" profile for each weight, in bytes.
//!
//! Promises that a function is told apart by its source line, so that two calls in it are two frames. A stack without
//! weight is left out of that profile. Leaves out time: a profile of this format has samples, but no moments.

use std::{collections::HashMap, io::Write};

use anyhow::Result;
use serde::Serialize;

use super::names;
use crate::{
    report::{self, Process, folded, json},
    session::{View, Weight},
    text::printable,
};

/// Names the format; nothing is fetched from there.
const SCHEMA: &str = "https://www.speedscope.app/file-format-schema.json";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(rename = "$schema")]
    schema: &'static str,
    name: String,
    exporter: &'static str,
    active_profile_index: usize,
    shared: Shared,
    profiles: Vec<Profile>,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
struct Frame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

/// Writes the view as one compact document and a newline.
pub fn write(view: &View, out: &mut dyn Write) -> Result<()> {
    let processes = &view.last().report.processes;
    let mut frames = Frames::default();
    let paths: Vec<Vec<usize>> = view
        .stacks
        .iter()
        .map(|stack| {
            // One process needs no frame to be told apart.
            let root = (processes.len() > 1).then(|| frames.index_of(process(processes, stack.pid)));
            let path = stack.frames.iter().rev().map(|frame| frames.index_of(named(frame)));
            let mut path: Vec<usize> = root.into_iter().chain(path).collect();
            if stack.frames.is_empty() {
                path.push(frames.index_of(unplaced(folded::NO_FRAMES.to_owned())));
            }
            path
        })
        .collect();
    let file = File {
        schema: SCHEMA,
        name: title(view),
        exporter: concat!("leaktrace@", env!("CARGO_PKG_VERSION")),
        active_profile_index: 0,
        profiles: Weight::ALL.into_iter().map(|weight| profile(view, &paths, weight)).collect(),
        shared: Shared { frames: frames.all },
    };
    Ok(json::write_document(&file, out)?)
}

fn profile(view: &View, paths: &[Vec<usize>], weight: Weight) -> Profile {
    let weighed = paths.iter().zip(view.stacks.iter().map(|stack| weight.of(stack)));
    let (samples, weights): (Vec<_>, Vec<_>) =
        weighed.filter(|(_, weight)| *weight > 0).map(|(path, weight)| (path.clone(), weight)).unzip();
    let end_value = weights.iter().fold(0, |sum: u64, weight| sum.saturating_add(*weight));
    Profile { kind: "sampled", name: weight.name(), unit: "bytes", start_value: 0, end_value, samples, weights }
}

/// What the page shows above the profile.
fn title(view: &View) -> String {
    let report = &view.last().report;
    let names: Vec<_> = report.processes.iter().take(3).map(|process| printable(&process.comm)).collect();
    let more = if report.processes.len() > names.len() { " and others" } else { "" };
    format!("{}{more}, {}", names.join(", "), report.time)
}

/// Frames, each once.
#[derive(Default)]
struct Frames {
    all: Vec<Frame>,
    known: HashMap<Frame, usize>,
}

impl Frames {
    fn index_of(&mut self, frame: Frame) -> usize {
        *self.known.entry(frame).or_insert_with_key(|frame| {
            self.all.push(frame.clone());
            self.all.len() - 1
        })
    }
}

fn named(frame: &report::Frame) -> Frame {
    match frame.function.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => Frame {
            name: names::cut(name).into_owned(),
            file: frame.file.as_deref().map(|file| names::cut(file).into_owned()),
            line: frame.line,
        },
        None => unplaced(frame.place()),
    }
}

fn process(processes: &[Process], pid: u32) -> Frame {
    let comm = processes.iter().find(|process| process.pid == pid).map_or("", |process| &process.comm);
    unplaced(format!("{} (pid {pid})", names::cut(comm)))
}

const fn unplaced(name: String) -> Frame {
    Frame { name, file: None, line: None }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{session::sample, text::is_hostile};

    fn written(view: &View) -> (String, Value) {
        let mut out = Vec::new();
        write(view, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    /// The path and weight of each sample of a profile.
    fn samples(file: &Value, profile: usize) -> Vec<(Vec<&str>, u64)> {
        let list = |value: &'_ Value| value.as_array().unwrap().clone();
        let weights = list(&file["profiles"][profile]["weights"]);
        let paths = file["profiles"][profile]["samples"].as_array().unwrap();
        let name = |index: &Value| file["shared"]["frames"][index.as_u64().unwrap() as usize]["name"].as_str().unwrap();
        let path = |path: &'_ Value| list(path).iter().map(name).collect();
        paths.iter().zip(weights).map(|(frames, weight)| (path(frames), weight.as_u64().unwrap())).collect()
    }

    #[test]
    fn there_is_a_profile_for_each_weight() {
        let view = sample::redis();
        let (_, file) = written(&view);
        for (nth, weight) in Weight::ALL.into_iter().enumerate() {
            let profile = &file["profiles"][nth];
            assert_eq!((&profile["name"], &profile["unit"]), (&weight.name().into(), &"bytes".into()));
            let weights: Vec<u64> = view.stacks.iter().map(|stack| weight.of(stack)).filter(|of| *of > 0).collect();
            assert_eq!(samples(&file, nth).iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), weights);
            assert_eq!(profile["endValue"], weights.iter().sum::<u64>());
        }
    }

    #[test]
    fn a_sample_runs_from_the_outermost_frame_to_the_innermost() {
        let (_, file) = written(&sample::redis());
        let samples = samples(&file, 2);
        assert_eq!(samples[0].0.first(), Some(&"_start"));
        assert_eq!(samples[0].0.last(), Some(&"je_malloc"));
        let others: Vec<_> = samples[1..].iter().map(|(path, _)| path.join(" ")).collect();
        assert_eq!(others, ["main lookup cacheAdd", "main lookup remember", "redis-server+0x42000", "[no frames]"]);
    }

    #[test]
    fn several_processes_are_told_apart() {
        let mut view = sample::redis();
        let last = view.snapshots.len() - 1;
        let mut other = view.snapshots[last].report.processes[0].clone();
        other.pid = 7;
        view.snapshots[last].report.processes.push(other);
        view.stacks[1].pid = 7;
        let (_, file) = written(&view);
        let samples = samples(&file, 0);
        assert_eq!((samples[0].0[0], samples[1].0[0]), ("redis-server (pid 4242)", "redis-server (pid 7)"));
    }

    #[test]
    fn hostile_names_are_inert_come_back_as_they_were_and_have_an_end() {
        let view = sample::hostile();
        let (text, file) = written(&view);
        assert!(!text.trim_end().contains(is_hostile) && text.len() < 100_000);
        let function = view.stacks[0].frames[0].function.as_deref();
        assert_eq!(samples(&file, 0)[0].0.last().copied(), function);
    }
}
