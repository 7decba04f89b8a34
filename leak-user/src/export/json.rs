//! The view as one line of JSON: the `leaktrace.report/1` document of its last snapshot, and what else a view knows.
//!
//! What reads a live report reads this too. Added are `snapshots`, a list of what each moment says of the whole;
//! `series`, in the order of `stacks`, of what each moment says of a stack (a list of figures as long as `snapshots`);
//! ages and lifetimes, whose parts begin at `age_edges_s`; and `sizes`. Leaves out what other moments say of processes,
//! losses and cost: in one trace these only go on, and the last moment has their sums.

use std::io::Write;

use anyhow::Result;
use serde::{Serialize, Serializer};

use super::names;
use crate::{
    ledger::AGE_EDGES_S,
    report::{Report, Totals, json},
    session::{Memory, Point, SizeClass, Snapshot, StackView, View},
};

/// All of it.
#[derive(Serialize)]
struct Document<'v> {
    #[serde(flatten)]
    report: &'v Report,
    snapshots_recorded: usize,
    snapshots: Vec<Moment<'v>>,
    age_edges_s: [u32; AGE_EDGES_S.len()],
    series: Vec<Series<'v>>,
    sizes: &'v [SizeClass],
}

/// A moment.
#[derive(Serialize)]
struct Moment<'v> {
    number: u32,
    time: &'v str,
    elapsed_s: f64,
    label: Option<String>,
    totals: &'v Totals,
    memory: Vec<Memory>,
}

/// A stack's figures at each moment, and by age at the last one.
#[derive(Serialize)]
struct Series<'v> {
    id: &'v str,
    pid: u32,
    outstanding_bytes: Column<'v>,
    outstanding_count: Column<'v>,
    unknown_bytes: Column<'v>,
    unknown_count: Column<'v>,
    freed_bytes: Column<'v>,
    freed_count: Column<'v>,
    outstanding_bytes_stderr: Column<'v>,
    held_bytes_by_age: &'v [u64],
    freed_count_by_lifetime: &'v [u64],
}

/// One figure of each point.
struct Column<'v>(&'v [Point], fn(&Point) -> u64);

impl Serialize for Column<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

/// Writes the view as one compact document and a newline.
pub fn write(view: &View, out: &mut dyn Write) -> Result<()> {
    let mut report = view.report(usize::MAX);
    names::cut_all(&mut report);
    let document = Document {
        report: &json::finite(&report),
        snapshots_recorded: view.snapshots_recorded,
        snapshots: view.snapshots.iter().map(moment).collect(),
        age_edges_s: AGE_EDGES_S,
        series: view.stacks.iter().map(series).collect(),
        sizes: &view.sizes,
    };
    Ok(json::write_document(&document, out)?)
}

fn moment(snapshot: &Snapshot) -> Moment<'_> {
    let mut memory = snapshot.memory.clone();
    memory
        .iter_mut()
        .filter_map(|memory| memory.cgroup.as_mut())
        .for_each(|group| names::cut_in_place(&mut group.path));
    let report = &snapshot.report;
    Moment {
        number: snapshot.number,
        time: &report.time,
        elapsed_s: json::nearest(report.elapsed_s),
        label: report.label.as_deref().map(|label| names::cut(label).into_owned()),
        totals: &report.totals,
        memory,
    }
}

fn series(stack: &StackView) -> Series<'_> {
    let column = |figure| Column(&stack.points, figure);
    Series {
        id: &stack.id,
        pid: stack.pid,
        outstanding_bytes: column(|point| point.outstanding_bytes),
        outstanding_count: column(|point| point.outstanding_count),
        unknown_bytes: column(|point| point.unknown_bytes),
        unknown_count: column(|point| point.unknown_count),
        freed_bytes: column(|point| point.freed_bytes),
        freed_count: column(|point| point.freed_count),
        outstanding_bytes_stderr: column(|point| point.bytes_stderr),
        held_bytes_by_age: &stack.ages.0,
        freed_count_by_lifetime: &stack.lifetimes.0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{session::sample, text::is_hostile};

    fn read(view: &View) -> (String, Value) {
        let mut out = Vec::new();
        write(view, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn the_document_is_the_report_of_the_last_snapshot_and_more() {
        let view = sample::redis();
        let (text, document) = read(&view);
        assert!(text.ends_with("}\n") && text.matches('\n').count() == 1);
        let Value::Object(report) = serde_json::to_value(view.report(usize::MAX)).unwrap() else { panic!("no object") };
        for (key, value) in report {
            assert_eq!(document[&key], value, "{key}");
        }
    }

    #[test]
    fn every_figure_of_every_moment_is_in_it() {
        let view = sample::redis();
        let (_, document) = read(&view);
        for (nth, snapshot) in view.snapshots.iter().enumerate() {
            let told = &document["snapshots"][nth];
            assert_eq!(told["number"], snapshot.number);
            assert_eq!(told["time"], snapshot.report.time);
            assert_eq!(told["label"], serde_json::to_value(&snapshot.report.label).unwrap());
            assert_eq!(told["totals"], serde_json::to_value(&snapshot.report.totals).unwrap());
            assert_eq!(told["memory"], serde_json::to_value(&snapshot.memory).unwrap());
        }
        for (stack, series) in view.stacks.iter().zip(document["series"].as_array().unwrap()) {
            assert_eq!(series["id"], stack.id);
            for (nth, point) in stack.points.iter().enumerate() {
                assert_eq!(series["outstanding_bytes"][nth], point.outstanding_bytes);
                assert_eq!(series["freed_count"][nth], point.freed_count);
            }
            assert_eq!(series["held_bytes_by_age"], serde_json::to_value(stack.ages).unwrap());
        }
        assert_eq!(document["sizes"], serde_json::to_value(&view.sizes).unwrap());
    }

    #[test]
    fn hostile_names_are_inert_come_back_as_they_were_and_have_an_end() {
        let view = sample::hostile();
        let (text, document) = read(&view);
        assert!(!text.trim_end().contains(is_hostile) && text.len() < 200_000, "{}", text.len());
        assert_eq!(document["processes"][0]["comm"], view.last().report.processes[0].comm);
        assert_eq!(document["snapshots"][0]["label"], *view.first().report.label.as_ref().unwrap());
        let frame = &view.stacks[0].frames[0];
        assert_eq!(document["stacks"][0]["frames"][0]["function"], *frame.function.as_ref().unwrap());
    }

    #[test]
    fn a_figure_that_is_no_number_is_written_as_one() {
        let mut view = sample::redis();
        view.snapshots[0].report.elapsed_s = f64::NAN;
        view.stacks[0].judgement.bytes_per_s = f64::INFINITY;
        let (_, document) = read(&view);
        assert_eq!(document["snapshots"][0]["elapsed_s"], 0.0);
        assert_eq!(document["stacks"][0]["bytes_per_s"], f64::MAX);
    }
}
