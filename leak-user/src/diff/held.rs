//! What Python code holds in both: containers by the path that leads to them.
//!
//! Two containers are the same if the program reaches them by the same name; what has no name cannot be compared. Leaves
//! out types: there are as many as the containers hold.

use std::collections::HashMap;

use serde::Serialize;

use super::Change;
use crate::{
    growth::Verdict,
    report::python::{Holder, Python},
    session::View,
};

/// By so much one rate must be more than the other to be another.
const MORE: f64 = 1.25;

/// A container before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldDiff {
    /// What the change amounts to.
    pub change: Change,
    /// How the program reaches it: not to be printed raw.
    pub path: String,
    /// Before, if it was found to grow.
    pub before: Option<HeldFigures>,
    /// After, if it is.
    pub after: Option<HeldFigures>,
}

/// A container that grows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeldFigures {
    /// Its entries.
    pub entries: u64,
    /// Trend of those, a second.
    pub entries_per_s: f64,
    /// Trend of the bytes that it holds, a second.
    pub bytes_per_s: f64,
    /// What its past amounts to.
    pub verdict: Verdict,
}

/// Compares the containers that grow at the ends of two views, the fastest first.
pub fn held(before: &View, after: &View) -> Vec<HeldDiff> {
    between(before.last().report.python.as_ref(), after.last().report.python.as_ref())
}

fn between(before: Option<&Python>, after: Option<&Python>) -> Vec<HeldDiff> {
    let mut pairs: HashMap<&str, (Option<HeldFigures>, Option<HeldFigures>)> = HashMap::new();
    for holder in named(before) {
        pairs.entry(holder.0).or_default().0 = Some(holder.1);
    }
    for holder in named(after) {
        pairs.entry(holder.0).or_default().1 = Some(holder.1);
    }
    let mut all: Vec<HeldDiff> = pairs
        .into_iter()
        .map(|(path, (before, after))| HeldDiff { change: change(before, after), path: path.to_owned(), before, after })
        .collect();
    let fastest = |held: &HeldDiff| held.after.or(held.before).map_or(0.0, |figures| figures.bytes_per_s);
    all.sort_by(|a, b| fastest(b).total_cmp(&fastest(a)).then_with(|| a.path.cmp(&b.path)));
    all
}

fn named(python: Option<&Python>) -> impl Iterator<Item = (&str, HeldFigures)> {
    let figures = |holder: &Holder| HeldFigures {
        entries: holder.entries,
        entries_per_s: holder.entries_per_s,
        bytes_per_s: holder.bytes_per_s,
        verdict: holder.verdict,
    };
    // Of two of one name, in two processes, the slower one is written over.
    let holders = python.into_iter().flat_map(|python| python.holders.iter().rev());
    holders.filter_map(move |holder| Some((holder.path.as_deref()?, figures(holder))))
}

fn change(before: Option<HeldFigures>, after: Option<HeldFigures>) -> Change {
    match (before, after) {
        (None, _) => Change::New,
        (_, None) => Change::Gone,
        (Some(before), Some(after)) if after.bytes_per_s > MORE * before.bytes_per_s => Change::Worse,
        (Some(before), Some(after)) if before.bytes_per_s > MORE * after.bytes_per_s => Change::Better,
        _ => Change::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::python::sample;

    #[test]
    fn containers_are_told_by_their_path_and_change_by_their_rate() {
        let told = |rate: f64, path: &str| {
            let mut python = sample::sessions();
            python.holders[0].bytes_per_s = rate;
            python.holders[0].path = Some(path.to_owned());
            python
        };
        let changes = |before: &Python, after: &Python| -> Vec<(String, Change)> {
            between(Some(before), Some(after)).into_iter().map(|held| (held.path, held.change)).collect()
        };
        let (slow, fast, other) = (told(1e3, "app.A"), told(2e3, "app.A"), told(5.0, "app.B"));
        assert_eq!(changes(&slow, &fast), [("app.A".to_owned(), Change::Worse)]);
        assert_eq!(changes(&fast, &slow), [("app.A".to_owned(), Change::Better)]);
        assert_eq!(changes(&slow, &slow), [("app.A".to_owned(), Change::Same)]);
        assert_eq!(changes(&slow, &other), [("app.A".to_owned(), Change::Gone), ("app.B".to_owned(), Change::New)]);
        assert_eq!(between(None, None), []);
    }
}
