//! What stands above the stacks: whose memory, when, how traced, what was lost and what it cost.
//!
//! Promises a paragraph for each. Leaves out the stacks; tested with the table as a whole.

use std::fmt::Write as _;

use super::super::{Loss, Outlook, Process, Report, Watching};
use super::page::{Ink, KEY_WIDTH, Page};
use crate::growth::Severity;
use crate::text::{printable, shorten_middle};
use crate::units::{bytes, count, percent, plural, seconds};

/// Processes that the header tells of; of more it gives the number.
const PROCESSES_TOLD: usize = 8;

pub fn header(page: &mut Page, report: &Report) {
    let last = if report.last { "final " } else { "" };
    let mut title = format!("leaktrace {last}report, {}, {} after attach", report.time, seconds(report.elapsed_s));
    if let Some(label) = &report.label {
        let _ = write!(title, ", \"{}\"", printable(label));
    }
    page.paragraph("", &title, Ink::Bold);
    verdict(page, &report.outlook);
    trace(page, report);
    page.paragraph("cost:", &cost(report), Ink::Plain);
    budget(page, report);
}

/// What it all amounts to.
pub fn verdict(page: &mut Page, outlook: &Outlook) {
    let (how_bad, ink) = match outlook.severity {
        Severity::Good => ("", Ink::Plain),
        Severity::Warning => ("WARNING, ", Ink::Yellow),
        Severity::Critical => ("CRITICAL, ", Ink::Red),
    };
    if let Some(words) = outlook.words() {
        page.paragraph("verdict:", &format!("{how_bad}{words}"), ink);
    }
}

/// What holds for all that was traced up to this report: whose memory, how traced, how much, and what was lost.
pub fn trace(page: &mut Page, report: &Report) {
    // Groups tell more of many.
    let told = if report.groups.is_some() { 0 } else { PROCESSES_TOLD };
    for told in report.processes.iter().take(told) {
        process(page, told);
    }
    match report.processes.len().checked_sub(told) {
        Some(all @ 1..) if told == 0 => page.paragraph("", &plural(all as u64, "process"), Ink::Plain),
        Some(more @ 1..) => page.paragraph("", &format!("and {} more processes", count(more as u64)), Ink::Plain),
        _ => {}
    }
    page.paragraph("mode:", &mode(report), Ink::Plain);
    page.paragraph("heap:", &heap(report), Ink::Plain);
    let (told, ink) = losses(&report.loss);
    page.paragraph("lost:", &told, ink);
}

fn process(page: &mut Page, process: &Process) {
    let exe = printable(&process.exe);
    let exe = shorten_middle(&exe, page.width - KEY_WIDTH);
    let exited = if process.alive { "" } else { ", exited" };
    let who = format!("{} (pid {}){exited}, {exe}", printable(&process.comm), process.pid);
    page.paragraph("process:", &who, Ink::Plain);
    let (then, now) = (process.rss_at_attach_bytes, process.rss_bytes);
    let sign = if now < then { '-' } else { '+' };
    let when = if process.alive { "now" } else { "when last seen" };
    let rss = format!("RSS {} at attach, {} {when} ({sign}{})", bytes(then), bytes(now), bytes(now.abs_diff(then)));
    page.paragraph("memory:", &rss, Ink::Plain);
}

fn mode(report: &Report) -> String {
    let mode = &report.mode;
    let unwind = if mode.unwind == "fp" { "frame pointers" } else { "unwind information" };
    let whole = report.walks.whole_share().map_or_else(String::new, |share| {
        // Rounded down: not all is never told as all.
        format!(", {:.1} % whole", (share * 1000.0).floor() / 10.0)
    });
    let links = match &*mode.links {
        "session" => "session links",
        "multi" => "multi links",
        _ => "perf events",
    };
    let which = match mode.sample_bytes {
        0 | 1 => "every allocation".to_owned(),
        mean => format!("a sample every {} on average", bytes(mean)),
    };
    let estimates = if report.totals.errors.is_some() { ", so figures are estimates, ± a standard error" } else { "" };
    format!("{which}{estimates}; probes by {links}; stacks by {unwind}{whole}")
}

/// Changes that the header tells of; of more it gives the number.
const CHANGES_TOLD: usize = 4;

/// What keeping to the budget has led to, if to anything.
fn budget(page: &mut Page, report: &Report) {
    let changes = &report.mode.changes;
    let untold = changes.len().saturating_sub(CHANGES_TOLD);
    for (place, change) in changes.iter().skip(untold).enumerate() {
        let who = if report.processes.len() > 1 { format!(", pid {}", change.pid) } else { String::new() };
        let earlier = if place == 0 && untold > 0 {
            format!("(after {}) ", plural(untold as u64, "earlier change"))
        } else {
            String::new()
        };
        let text = format!("{earlier}at {}{who}: {}", seconds(change.at_s), printable(&change.what));
        page.paragraph(if place == 0 { "budget:" } else { "" }, &text, Ink::Yellow);
    }
    let has_gap = |process: &&Process| process.watched_s < 0.99 * report.elapsed_s;
    for process in report.processes.iter().filter(has_gap).take(PROCESSES_TOLD) {
        let now = match process.watching {
            Watching::All => "now",
            Watching::Frees => "now only frees",
            Watching::Nothing => "not now",
            Watching::Ended => "no more",
        };
        let text = format!(
            "allocations of pid {} were watched for {} of {}, {now}; rates are of those times",
            process.pid,
            seconds(process.watched_s),
            seconds(report.elapsed_s)
        );
        if process.watching != Watching::Ended || process.alive {
            page.paragraph("watched:", &text, Ink::Plain);
        }
    }
}

fn heap(report: &Report) -> String {
    let t = &report.totals;
    let e = t.errors.unwrap_or_default();
    let part = |size, blocks, error| format!("{}{} in {}", bytes(size), plus_minus(error), plural(blocks, "block"));
    let unknown = if t.unknown_bytes > 0 {
        format!(", {} unknown", part(t.unknown_bytes, t.unknown_count, e.sums.unknown_bytes_stderr))
    } else {
        String::new()
    };
    format!(
        "{} outstanding{unknown}; since attach allocated {}, freed {}",
        part(t.outstanding_bytes, t.outstanding_count, e.sums.outstanding_bytes_stderr),
        part(t.allocated_bytes, t.allocated_count, e.sums.allocated_bytes_stderr),
        part(t.freed_bytes, t.freed_count, e.freed_bytes_stderr)
    )
}

/// How far off a figure is likely to be, if at all.
pub fn plus_minus(error: f64) -> String {
    if error >= 0.5 { format!(" ±{}", bytes(error.round() as u64)) } else { String::new() }
}

/// What was lost and what that means for the reader.
pub fn losses(loss: &Loss) -> (String, Ink) {
    let mut parts = Vec::new();
    let mut tell = |things: u64, one: &str, what: &str| {
        if things > 0 {
            parts.push(format!("{}{what}", plural(things, one)));
        }
    };
    tell(loss.allocations, "allocation", &format!(" ({}) that no figure counts", bytes(loss.allocated_bytes)));
    tell(loss.frees, "free", ", so blocks counted as outstanding may be long gone");
    tell(loss.probes_missed, "gap", " in what the probes saw, so blocks may be missing or long gone");
    if loss.stacks_truncated > 0 {
        let cut = plural(loss.stacks_truncated, "stack");
        parts.push(format!("the outermost callers of {cut}, cut at the greatest depth"));
    }
    match (parts.is_empty(), loss.complete) {
        (true, true) => ("nothing".to_owned(), Ink::Plain),
        (true, false) => ("something that was not counted, so figures may be wrong".to_owned(), Ink::Yellow),
        (false, _) => (parts.join("; "), Ink::Yellow),
    }
}

fn cost(report: &Report) -> String {
    let cost = &report.cost;
    let limit = report.mode.budget_pct.map_or_else(String::new, |pct| format!(" (budget {})", percent(pct)));
    let slowed = match cost.target_slowdown_pct {
        Some(pct) => {
            let core = cost.target_core_pct.map_or_else(String::new, |pct| format!(", {} of a core", percent(pct)));
            format!("target slowed by about {}{core}{limit}", percent(pct))
        }
        None => "slowdown of the target not measured yet".to_owned(),
    };
    format!(
        "{} probe hits/s, {slowed}, leaktrace {} CPU, {}",
        count(cost.events_per_s.round() as u64),
        percent(cost.tracer_cpu_pct),
        bytes(cost.tracer_rss_bytes)
    )
}
