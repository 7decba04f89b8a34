//! The report as one line of JSON: the `leaktrace.report/1` document, all of it.
//!
//! Promises valid JSON in which a figure is always a number, written with one call so that documents do not
//! mix, and nothing in it that a terminal acts on: `serde_json` writes out only the controls below
//! U+0020, here all of [`is_hostile`] is (as `\u009b`, which a reader turns back into what the target wrote).
//! Leaves out indentation, which `jq` does better, and any bound on names: a program reads this.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::{Report, Stack};
use crate::text::is_hostile;

/// Writes the report as one compact document and a newline.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    write_document(&*finite(report), out)
}

/// Writes anything as one compact document and a newline, inert. Its figures must be finite.
pub(crate) fn write_document(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut document = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut document, Inert))?;
    document.push(b'\n');
    out.write_all(&document)
}

/// Compact JSON with every hostile character of a string written out.
struct Inert;

impl Formatter for Inert {
    fn write_string_fragment<W>(&mut self, out: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hostile) {
            let (before, from) = rest.split_at(at);
            out.write_all(before.as_bytes())?;
            let mut after = from.chars();
            if let Some(c) = after.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
            rest = after.as_str();
        }
        out.write_all(rest.as_bytes())
    }
}

/// The report with every figure finite. JSON has no other, and `serde_json` would write `null` where the schema
/// promises a number. Copied only when it must be: a report can hold many names.
pub(crate) fn finite(report: &Report) -> Cow<'_, Report> {
    let cost = &report.cost;
    let of_trace = [report.elapsed_s, cost.events_per_s, cost.tracer_cpu_pct];
    let fine = of_trace.into_iter().chain(cost.target_slowdown_pct).chain(cost.target_core_pct).all(f64::is_finite)
        && report.stacks.iter().all(is_finite);
    if fine {
        return Cow::Borrowed(report);
    }
    let mut report = report.clone();
    let cost = &mut report.cost;
    for figure in [&mut report.elapsed_s, &mut cost.events_per_s, &mut cost.tracer_cpu_pct] {
        *figure = nearest(*figure);
    }
    // These have a way to say that they are not known.
    for figure in [&mut cost.target_slowdown_pct, &mut cost.target_core_pct] {
        *figure = figure.filter(|pct| pct.is_finite());
    }
    for stack in &mut report.stacks {
        for figure in [&mut stack.bytes_per_s, &mut stack.oldest_s, &mut stack.confidence] {
            *figure = nearest(*figure);
        }
        for block in &mut stack.allocations {
            block.age_s = nearest(block.age_s);
        }
    }
    Cow::Owned(report)
}

fn is_finite(stack: &Stack) -> bool {
    let own = [stack.bytes_per_s, stack.oldest_s, stack.confidence];
    let ages = stack.allocations.iter().map(|block| block.age_s);
    own.into_iter().chain(ages).all(f64::is_finite)
}

/// The finite number that says most nearly the same; 0 for none at all.
pub(crate) const fn nearest(figure: f64) -> f64 {
    if figure.is_nan() { 0.0 } else { figure.clamp(f64::MIN, f64::MAX) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::render::sample;
    use super::*;

    fn written(report: &Report) -> String {
        let mut out = Vec::new();
        write(report, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_report_is_one_line_that_says_all_of_it() {
        let report = sample::redis();
        let text = written(&report);
        assert!(text.ends_with("}\n") && text.matches('\n').count() == 1);
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, serde_json::to_value(&report).unwrap());
        assert_eq!(read["schema"], "leaktrace.report/1");
        assert_eq!(read["stacks"][0]["verdict"], "leak");
    }

    #[test]
    fn a_hostile_name_is_inert_and_comes_back_as_it_was() {
        let report = sample::hostile();
        let text = written(&report);
        assert!(!text.trim_end().contains(is_hostile));
        assert!(text.contains("\\u009b") && text.contains("\\u202e") && text.contains("\\udb40\\udc41"));
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, serde_json::to_value(&report).unwrap());
    }

    #[test]
    fn a_figure_that_is_no_number_is_written_as_one() {
        type Field = fn(&mut Report) -> &mut f64;
        let fields: [(&str, Field); 7] = [
            ("/elapsed_s", |r| &mut r.elapsed_s),
            ("/cost/events_per_s", |r| &mut r.cost.events_per_s),
            ("/cost/tracer_cpu_pct", |r| &mut r.cost.tracer_cpu_pct),
            ("/stacks/0/bytes_per_s", |r| &mut r.stacks[0].bytes_per_s),
            ("/stacks/0/oldest_s", |r| &mut r.stacks[0].oldest_s),
            ("/stacks/0/confidence", |r| &mut r.stacks[0].confidence),
            ("/stacks/0/allocations/0/age_s", |r| &mut r.stacks[0].allocations[0].age_s),
        ];
        for (path, field) in fields {
            for (figure, said) in [(f64::NAN, 0.0), (f64::INFINITY, f64::MAX), (f64::NEG_INFINITY, f64::MIN)] {
                let mut report = sample::redis();
                *field(&mut report) = figure;
                let read: Value = serde_json::from_str(&written(&report)).unwrap();
                assert_eq!(read.pointer(path).and_then(Value::as_f64), Some(said), "{path}");
            }
        }
    }

    #[test]
    fn a_slowdown_that_is_no_number_is_not_known() {
        let mut report = sample::redis();
        report.cost.target_slowdown_pct = Some(f64::NAN);
        let read: Value = serde_json::from_str(&written(&report)).unwrap();
        assert!(read["cost"]["target_slowdown_pct"].is_null());
    }

    #[test]
    fn a_closed_pipe_is_the_callers_to_handle() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = write(&sample::redis(), &mut Closed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
