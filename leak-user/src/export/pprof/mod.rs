//! The view as a gzipped `profile.proto`, with the sample types of Go's heap profiles, so that what takes those takes it:
//! `go tool pprof`, Pyroscope, Parca.
//!
//! `inuse` is what was not seen to be given back at the last snapshot, `alloc` all that was allocated since tracing began:
//! the profile's time is that of the last snapshot and its duration runs from the beginning of the trace. Names are data,
//! as the target wrote them. A frame without a function has none here either: its mapping and address let a server that
//! has the debug information find it. Leaves out the other snapshots, for which the format has no place.

mod mappings;
mod proto;
mod server;
mod tables;

use std::{
    io::Write,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Result;
use flate2::{Compression, write::GzEncoder};
use prost::Message as _;

pub use self::server::write_for_server;
use self::{
    mappings::Mappings,
    proto::{Label, Profile, Sample, ValueType},
    tables::{Locations, Strings},
};
use crate::{
    report::Report,
    session::{StackView, View},
    units,
};

/// What a value of a sample is, its unit, and how to get it.
type SampleType = (&'static str, &'static str, fn(&StackView) -> u64);

/// What each sample says, in the order of Go's heap profiles.
const SAMPLE_TYPES: [SampleType; 4] = [
    ("alloc_objects", "count", |stack| stack.last().allocated_count()),
    ("alloc_space", "bytes", |stack| stack.last().allocated_bytes()),
    ("inuse_objects", "count", |stack| stack.last().held_count()),
    (SHOWN_FIRST, "bytes", |stack| stack.last().held_bytes()),
];

/// The sample type that a reader is to show when it was not asked for another.
const SHOWN_FIRST: &str = "inuse_space";

/// Writes the profile.
pub fn write(view: &View, out: &mut dyn Write) -> Result<()> {
    zip(&profile(view), out)
}

fn zip(profile: &Profile, out: &mut dyn Write) -> Result<()> {
    let mut zipped = GzEncoder::new(out, Compression::default());
    zipped.write_all(&profile.encode_to_vec())?;
    zipped.finish()?;
    Ok(())
}

fn profile(view: &View) -> Profile {
    let report = &view.last().report;
    let mut strings = Strings::default();
    let mappings = Mappings::of(view, &mut strings);
    let mut locations = Locations::default();
    let sample = view
        .stacks
        .iter()
        .map(|stack| Sample {
            location_id: locations.of_stack(&stack.frames, &mappings, &mut strings),
            value: SAMPLE_TYPES.iter().map(|(_, _, of)| signed(of(stack))).collect(),
            label: labels(stack, &mut strings),
        })
        .collect();
    let mut value_type = |kind, unit| ValueType { kind: strings.index_of(kind), unit: strings.index_of(unit) };
    let sample_type = SAMPLE_TYPES.iter().map(|(kind, unit, _)| value_type(kind, unit)).collect();
    let sampled = report.mode.sample_bytes > 1;
    let period_type = sampled.then(|| value_type("space", "bytes"));
    Profile {
        sample_type,
        sample,
        mapping: mappings.all,
        location: locations.all,
        function: locations.functions.all,
        time_nanos: unix_ns(&report.time),
        duration_nanos: nanoseconds(Duration::try_from_secs_f64(report.elapsed_s).unwrap_or_default()),
        period_type,
        period: if sampled { signed(report.mode.sample_bytes) } else { 0 },
        comment: comments(report).iter().map(|comment| strings.index_of(comment)).collect(),
        default_sample_type: strings.index_of(SHOWN_FIRST),
        string_table: strings.all,
    }
}

fn labels(stack: &StackView, strings: &mut Strings) -> Vec<Label> {
    let judgement = &stack.judgement;
    let text = [
        ("verdict", judgement.verdict.name().to_owned()),
        ("confidence", format!("{:.2}", judgement.confidence)),
        ("pid", stack.pid.to_string()),
        ("stack", stack.id.clone()),
    ];
    let text = text.map(|(key, value)| Label {
        key: strings.index_of(key),
        str: strings.index_of(&value),
        ..Label::default()
    });
    let rate = Label {
        key: strings.index_of("bytes_per_s"),
        num: judgement.bytes_per_s.round() as i64,
        num_unit: strings.index_of("bytes"),
        ..Label::default()
    };
    text.into_iter().chain([rate]).collect()
}

/// What a person should know who reads the profile alone.
fn comments(report: &Report) -> Vec<String> {
    let mut all = vec![
        concat!(
            "leaktrace ",
            env!("CARGO_PKG_VERSION"),
            ": inuse was not given back since tracing began, alloc was allocated since"
        )
        .to_owned(),
    ];
    all.extend(
        report
            .processes
            .iter()
            .map(|process| format!("process: {} (pid {}), {}", process.comm, process.pid, process.exe)),
    );
    if report.mode.sample_bytes > 1 {
        let period = units::bytes(report.mode.sample_bytes);
        all.push(format!("mode: a sample every {period} on average, so figures are estimates"));
    }
    if !report.loss.complete {
        let lost = units::plural(report.loss.allocations, "allocation");
        let frees = units::plural(report.loss.frees, "free");
        all.push(format!("lost: {lost} and {frees}, or what could not be counted"));
    }
    all.extend(report.label.iter().map(|label| format!("label: {label}")));
    all
}

/// A time in nanoseconds since 1970; 0, which means none, if it is no time.
fn unix_ns(time: &str) -> i64 {
    let since = humantime::parse_rfc3339(time).ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, nanoseconds)
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
