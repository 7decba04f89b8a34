//! The plot of the whole: what the system says of the memory of all processes, and what is outstanding of it.

use super::{
    chart::{Chart, Form, Series},
    drawing::Colour,
};
use crate::{
    session::{Cgroup, Memory, Snapshot, View},
    text::printable,
    units::bytes,
};

pub fn chart(view: &View) -> Chart {
    let series = |name: &str, colour, form, of: &dyn Fn(&Snapshot) -> Option<u64>| {
        let point = |snapshot: &Snapshot| Some((snapshot.report.elapsed_s, of(snapshot)? as f64));
        Series { name: name.to_owned(), points: view.snapshots.iter().filter_map(point).collect(), colour, form }
    };
    let held = |snapshot: &Snapshot| {
        let totals = &snapshot.report.totals;
        Some(totals.outstanding_bytes.saturating_add(totals.unknown_bytes))
    };
    let mut all = vec![
        series("outstanding", Colour::RED, Form::Filled, &held),
        series("cgroup", Colour::GREEN, Form::Line, &|snapshot| cgroups(snapshot, |cgroup| Some(cgroup.bytes))),
        series("RSS", Colour::BLUE, Form::Line, &|snapshot| sum(snapshot, |memory| Some(memory.rss_bytes))),
        series("PSS", Colour::PURPLE, Form::Line, &|snapshot| sum(snapshot, |memory| memory.pss_bytes)),
        series("swapped out", Colour::ORANGE, Form::Line, &|snapshot| {
            sum(snapshot, |memory| memory.swap_bytes).filter(|bytes| *bytes > 0)
        }),
    ];
    let most = all.iter().flat_map(|series| &series.points).map(|(_, bytes)| *bytes).fold(0.0, f64::max);
    // A limit that is far away would press all else to the ground.
    let near = |bytes: &u64| *bytes as f64 <= 2.0 * most;
    let limit = |snapshot: &Snapshot| cgroups(snapshot, |cgroup| cgroup.limit_bytes).filter(near);
    all.push(series("cgroup limit", Colour::GREEN, Form::Dashed, &limit));
    Chart { title: title(view), subtitle: subtitle(view), series: all, marks: labels(view), span: span(view) }
}

/// From when to when a view is drawn, seconds since attach: of one moment alone, from attach on.
pub fn span(view: &View) -> (f64, f64) {
    let (start, end) = (view.first().report.elapsed_s, view.last().report.elapsed_s);
    if start < end { (start, end) } else { (0.0, end) }
}

/// The snapshots that have a label.
pub fn labels(view: &View) -> Vec<(f64, String)> {
    let label = |snapshot: &Snapshot| {
        let label = snapshot.report.label.as_ref()?;
        Some((snapshot.report.elapsed_s, printable(label).into_owned()))
    };
    view.snapshots.iter().filter_map(label).collect()
}

fn title(view: &View) -> String {
    let processes = &view.last().report.processes;
    let Some(first) = processes.first() else {
        return "Memory".to_owned();
    };
    let more = match processes.len() - 1 {
        0 => String::new(),
        1 => " and 1 more process".to_owned(),
        more => format!(" and {more} more processes"),
    };
    format!("Memory of {} (pid {}){more}", printable(&first.comm), first.pid)
}

fn subtitle(view: &View) -> String {
    let last = &view.last().report;
    let rss = last.processes.iter().map(|process| process.rss_bytes).fold(0, u64::saturating_add);
    let held = last.totals.outstanding_bytes.saturating_add(last.totals.unknown_bytes);
    format!("at {}: RSS {}, outstanding of what was allocated since attach {}", last.time, bytes(rss), bytes(held))
}

/// The sum over all processes, of those that have the figure.
fn sum(snapshot: &Snapshot, of: impl Fn(&Memory) -> Option<u64>) -> Option<u64> {
    snapshot.memory.iter().filter_map(of).reduce(u64::saturating_add)
}

/// The sum over all control groups, each once.
fn cgroups(snapshot: &Snapshot, of: impl Fn(&Cgroup) -> Option<u64>) -> Option<u64> {
    let mut groups: Vec<_> = snapshot.memory.iter().filter_map(Memory::telling_cgroup).collect();
    groups.sort_by_key(|group| &group.path);
    groups.dedup_by_key(|group| &group.path);
    groups.into_iter().filter_map(of).reduce(u64::saturating_add)
}
