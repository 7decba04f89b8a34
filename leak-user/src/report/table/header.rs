//! What stands above the stacks: whose memory, when, how traced, what was lost and what it cost.
//!
//! Promises a paragraph for each. Leaves out the stacks; tested with the table as a whole.

use std::fmt::Write as _;

use super::super::{Loss, Process, Report};
use super::page::{Ink, KEY_WIDTH, Page};
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
    for told in report.processes.iter().take(PROCESSES_TOLD) {
        process(page, told);
    }
    if let Some(more @ 1..) = report.processes.len().checked_sub(PROCESSES_TOLD) {
        page.paragraph("", &format!("and {} more processes", count(more as u64)), Ink::Plain);
    }
    page.paragraph("mode:", &mode(report), Ink::Plain);
    page.paragraph("heap:", &heap(report), Ink::Plain);
    let (told, ink) = losses(&report.loss);
    page.paragraph("lost:", &told, ink);
    page.paragraph("cost:", &cost(report), Ink::Plain);
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
    let unwind = if report.mode.unwind == "fp" { "frame pointers" } else { "unwind information" };
    let whole = report.walks.whole_share().map_or_else(String::new, |share| {
        // Rounded down: not all is never told as all.
        format!(", {:.1} % whole", (share * 1000.0).floor() / 10.0)
    });
    match report.mode.sample_bytes {
        0 | 1 => format!("every allocation, stacks by {unwind}{whole}"),
        mean => {
            format!("one sample every {} on average, so figures are estimates; stacks by {unwind}{whole}", bytes(mean))
        }
    }
}

fn heap(report: &Report) -> String {
    let t = &report.totals;
    let part = |size, blocks| format!("{} in {}", bytes(size), plural(blocks, "block"));
    format!(
        "{} outstanding; since attach allocated {}, freed {}",
        part(t.outstanding_bytes, t.outstanding_count),
        part(t.allocated_bytes, t.allocated_count),
        part(t.freed_bytes, t.freed_count)
    )
}

/// What was lost and what that means for the reader.
fn losses(loss: &Loss) -> (String, Ink) {
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
    let slowed = match cost.target_slowdown_pct {
        Some(pct) => format!("target slowed by about {}", percent(pct)),
        None => "slowdown of the target not measured yet".to_owned(),
    };
    format!(
        "{} probe hits/s, {slowed}, leaktrace {} CPU, {}",
        count(cost.events_per_s.round() as u64),
        percent(cost.tracer_cpu_pct),
        bytes(cost.tracer_rss_bytes)
    )
}
