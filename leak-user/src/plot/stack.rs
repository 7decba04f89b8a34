//! The plot of one stack: what it held, its trend, and how far off estimates may be.

use super::{
    chart::{Chart, Form, Series},
    drawing::Colour,
    whole::{labels, span},
};
use crate::{
    growth::Verdict,
    offline::{Direction, chain, names, signed},
    report::header::plus_minus,
    session::{Point, StackView, View},
    units::{bytes, percent, plural, rate},
};

/// Columns of the subtitle that the callers take at most.
const CALLERS: usize = 64;

pub fn chart(view: &View, stack: &StackView) -> Chart {
    let seconds: Vec<_> = view.snapshots.iter().map(|snapshot| snapshot.report.elapsed_s).collect();
    let held: Vec<_> = stack.points.iter().map(|point| point.held_bytes() as f64).collect();
    let points: Vec<_> = seconds.iter().copied().zip(held).collect();
    let span = span(view);
    let colour = match stack.judgement.verdict {
        Verdict::Leak => Colour::RED,
        Verdict::Growing => Colour::ORANGE,
        Verdict::Plateau | Verdict::Churn | Verdict::New => Colour::BLUE,
    };
    let mut series = Vec::new();
    if stack.points.iter().any(|point| point.bytes_stderr > 0) {
        series.push(Series { name: String::new(), points: band(&seconds, stack), colour, form: Form::Band });
    }
    let per_s = stack.judgement.bytes_per_s;
    let trend = trend(&points, per_s, span);
    series.push(Series { name: "held".to_owned(), points, colour, form: Form::Filled });
    series.push(Series {
        name: format!("trend {}", rate(per_s)),
        points: trend,
        colour: Colour::TEXT,
        form: Form::Dashed,
    });
    Chart { title: title(stack), subtitle: subtitle(stack), series, marks: labels(view), span }
}

/// `_sdsnewlen: leak 97 %, +174.0 MiB`.
fn title(stack: &StackView) -> String {
    let name = names(&stack.frames).into_iter().next().unwrap_or_else(|| "(no frames were recorded)".to_owned());
    format!("{name}: {}, {}", verdict(stack), signed(stack.growth_bytes()))
}

/// `leak 97 %`; nothing is sure of a new one.
pub fn verdict(stack: &StackView) -> String {
    let judgement = &stack.judgement;
    match judgement.verdict {
        Verdict::New => "new".to_owned(),
        verdict => format!("{} {}", verdict.name(), percent(judgement.confidence * 100.0)),
    }
}

/// What is held, and by whose calls.
fn subtitle(stack: &StackView) -> String {
    let last = stack.last();
    let error = plus_minus(last.bytes_stderr as f64);
    let blocks = plural(last.held_count(), "block");
    let held = format!("{}{error} in {blocks} of pid {}", bytes(last.held_bytes()), stack.pid);
    let callers = chain(names(&stack.frames).get(1..).unwrap_or_default(), Direction::Outwards, CALLERS);
    if callers.is_empty() { held } else { format!("{held}, called by {callers}") }
}

/// One standard error to both sides.
fn band(seconds: &[f64], stack: &StackView) -> Vec<(f64, f64)> {
    let edge = |sign: f64| {
        let at = move |(second, point): (&f64, &Point)| {
            (*second, (point.held_bytes() as f64 + sign * point.bytes_stderr as f64).max(0.0))
        };
        seconds.iter().zip(&stack.points).map(at).collect::<Vec<_>>()
    };
    let mut band = edge(1.0);
    band.extend(edge(-1.0).into_iter().rev());
    band
}

/// The line of a rate through the middle of the points, as far as it is within what they reach. None where nothing grows.
fn trend(points: &[(f64, f64)], per_s: f64, (start, end): (f64, f64)) -> Vec<(f64, f64)> {
    let mut levels: Vec<_> = points.iter().map(|(seconds, bytes)| bytes - per_s * seconds).collect();
    levels.sort_by(f64::total_cmp);
    let most = points.iter().map(|(_, bytes)| *bytes).fold(0.0, f64::max);
    let Some(level) = levels.get(levels.len() / 2).filter(|_| per_s.is_finite() && per_s.abs() >= 0.5) else {
        return Vec::new();
    };
    let reaches = |bytes: f64| (bytes - level) / per_s;
    let (from, to) = if per_s > 0.0 { (reaches(0.0), reaches(most)) } else { (reaches(most), reaches(0.0)) };
    let ends = [start.max(from), end.min(to)];
    if ends[0] < ends[1] { ends.map(|seconds| (seconds, level + per_s * seconds)).to_vec() } else { Vec::new() }
}
