//! Who was traced, when and how, what was lost and what it cost: a line of plain words each.

use super::verdict;
use crate::{
    report::{Loss, Process, Report},
    session::View,
    text::printable,
    units::{bytes, count, percent, plural, seconds},
};

/// Processes, and changes of how they are traced, that are told one by one; of more the number is.
const TOLD: usize = 8;

/// Names of facts with what they are.
pub fn facts(view: &View) -> Vec<(&'static str, String)> {
    let report = &view.last().report;
    let mut facts = Vec::new();
    facts.extend(report.processes.iter().take(TOLD).map(|told| ("process", process(view, told))));
    if let Some(more @ 1..) = report.processes.len().checked_sub(TOLD) {
        facts.push(("process", format!("and {} more", count(more as u64))));
    }
    facts.extend([
        ("when", when(view)),
        ("mode", mode(report)),
        ("heap", heap(report)),
        ("lost", losses(&report.loss)),
        ("cost", cost(report)),
    ]);
    let changes = &report.mode.changes;
    for change in &changes[changes.len().saturating_sub(TOLD)..] {
        let who = verdict::process(view, change.pid);
        facts.push(("budget", format!("at {}, {who}: {}", seconds(change.at_s), printable(&change.what))));
    }
    facts
}

fn process(view: &View, process: &Process) -> String {
    let name = verdict::process(view, process.pid);
    let exited = if process.alive { "" } else { ", exited" };
    let exe = printable(&process.exe);
    let (then, now) = (process.rss_at_attach_bytes, process.rss_bytes);
    format!("{name} (pid {}){exited}, {exe}; RSS {} at attach, {} at the end", process.pid, bytes(then), bytes(now))
}

fn when(view: &View) -> String {
    let shown = view.snapshots.len();
    let of =
        if view.snapshots_recorded > shown { format!(", {} of them here", count(shown as u64)) } else { String::new() };
    format!(
        "{} to {} ({}), {}{of}",
        view.first().report.time,
        view.last().report.time,
        seconds(view.seconds()),
        plural(view.snapshots_recorded as u64, "snapshot")
    )
}

fn mode(report: &Report) -> String {
    let which = match report.mode.sample_bytes {
        0 | 1 => "every allocation".to_owned(),
        mean => format!("a sample every {} on average", bytes(mean)),
    };
    let estimates = if report.totals.errors.is_some() { ", so figures are estimates, ± a standard error" } else { "" };
    let in_part: Vec<&Process> =
        report.processes.iter().filter(|process| process.watched_s < 0.99 * report.elapsed_s).collect();
    let in_part = match in_part.as_slice() {
        [] => String::new(),
        [one] if report.processes.len() == 1 => {
            format!("; watched for {} of {}, and rates are of that", seconds(one.watched_s), seconds(report.elapsed_s))
        }
        some => {
            format!("; {} of {} processes watched in part, and rates are of that", some.len(), report.processes.len())
        }
    };
    let unwind = if report.mode.unwind == "fp" { "frame pointers" } else { "unwind information" };
    // Rounded down: not all is never told as all.
    let whole = report.walks.whole_share().map_or_else(String::new, |share| {
        let tenths = (share * 1000.0).floor() / 10.0;
        format!(", {tenths:.1} % whole")
    });
    format!("{which}{estimates}{in_part}; stacks by {unwind}{whole}")
}

fn heap(report: &Report) -> String {
    let totals = &report.totals;
    let errors = totals.errors.unwrap_or_default();
    let error = match errors.sums.outstanding_bytes_stderr {
        error if error >= 0.5 => format!(" ±{}", bytes(error.round() as u64)),
        _ => String::new(),
    };
    let unknown = match totals.unknown_bytes {
        0 => String::new(),
        unknown => format!(", {} of which it is not known", bytes(unknown)),
    };
    format!(
        "{}{error} outstanding in {}{unknown}; since attach allocated {}, freed {}",
        bytes(totals.outstanding_bytes),
        plural(totals.outstanding_count, "block"),
        bytes(totals.allocated_bytes),
        bytes(totals.freed_bytes)
    )
}

fn losses(loss: &Loss) -> String {
    let told = [
        (loss.allocations, "allocation", " that no figure counts"),
        (loss.frees, "free", ", so blocks counted as held may be long gone"),
        (loss.probes_missed, "gap", " in what the probes saw, so blocks may be missing or long gone"),
        (loss.stacks_truncated, "stack", " cut at the greatest depth"),
    ];
    let told: Vec<String> = told
        .into_iter()
        .filter(|(things, ..)| *things > 0)
        .map(|(things, one, what)| format!("{}{what}", plural(things, one)))
        .collect();
    match (told.is_empty(), loss.complete) {
        (true, true) => "nothing".to_owned(),
        (true, false) => "something that was not counted, so figures may be wrong".to_owned(),
        (false, _) => told.join("; "),
    }
}

fn cost(report: &Report) -> String {
    let cost = &report.cost;
    let slowed = match cost.target_slowdown_pct {
        Some(pct) => format!("target slowed by about {}", percent(pct)),
        None => "slowdown of the target not measured".to_owned(),
    };
    let budget = report.mode.budget_pct.map_or_else(String::new, |pct| format!(" (budget {})", percent(pct)));
    let hits = count(cost.events_per_s.round() as u64);
    let (cpu, memory) = (percent(cost.tracer_cpu_pct), bytes(cost.tracer_rss_bytes));
    format!("{slowed}{budget}, {hits} probe hits/s; leaktrace {cpu} CPU, {memory}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report,
        session::{Snapshot, sample},
    };

    fn told(view: &View, name: &str) -> String {
        let of = facts(view).into_iter().filter(|(fact, _)| *fact == name);
        of.map(|(_, text)| text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn it_says_who_when_and_how() {
        let view = sample::redis();
        assert!(
            told(&view, "process").starts_with("redis-server (pid 4242), /usr/local/bin/redis-server; RSS 45.2 MiB")
        );
        assert_eq!(told(&view, "when"), "2025-11-21T03:12:00Z to 2025-11-21T03:42:00Z (30 m 00 s), 61 snapshots");
        assert_eq!(told(&view, "mode"), "every allocation; stacks by unwind information, 99.9 % whole");
        assert_eq!(told(&view, "lost"), "nothing");
        assert!(told(&view, "cost").starts_with("target slowed by about 8.2 % (budget 5 %), 12,345 probe hits/s"));
    }

    #[test]
    fn estimates_bursts_and_losses_are_told_as_what_they_are() {
        let mut view = sample::redis();
        let mut report = report::sample::bursts();
        report.loss = Loss { frees: 2, complete: false, ..Loss::default() };
        view.snapshots.push(Snapshot { number: 62, report, memory: Vec::new() });
        assert!(told(&view, "mode").contains("a sample every 16.0 KiB on average, so figures are estimates"));
        assert!(told(&view, "mode").contains("; watched for 8 m 32 s of 2 h 10 m, and rates are of that"));
        assert!(told(&view, "heap").contains("±2.9 MiB outstanding"));
        assert!(told(&view, "budget").starts_with("at 0.3 s, redis-server: every allocation costs 61 %"));
        assert_eq!(told(&view, "lost"), "2 frees, so blocks counted as held may be long gone");
    }
}
