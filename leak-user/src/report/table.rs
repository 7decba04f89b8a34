//! The report for people: what a tired person reads at three in the morning.
//!
//! Promises one design at every width from 60 columns up (below that the figures may need more): a header of a few
//! lines, among them what was lost and what tracing cost, then a line of figures for each stack with its frames below
//! it, one a line. Names too long are shortened in their middle and never wrapped. Whatever the target chose is inert.
//! Leaves out what only programs want (stack and build IDs, start times, directories of source files), and never cuts
//! a stack: who wants less asks for less.

mod below;
mod groups;
pub(crate) mod header;
pub(crate) mod page;
pub(crate) mod python;

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use comfy_table::{CellAlignment, Table, presets};

use super::{Report, Stack, Verdict};
use crate::text::{columns, printable, shorten_middle};
use crate::units::{bytes, count, percent, plural, rate, seconds};
use below::{MARGIN, allocations, frames, why};
use header::{header, plus_minus};
pub use page::Style;
use page::{Ink, Page};

/// Writes the report as a header and its stacks.
pub fn write(report: &Report, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(style);
    header(&mut page, report);
    if let Some(told) = &report.groups {
        groups::groups(&mut page, told);
    }
    page.line("");
    if report.stacks.is_empty() {
        page.paragraph("", &no_stacks(report), Ink::Plain);
    } else {
        stacks(&mut page, report);
    }
    if let Some(told) = &report.python {
        python::python(&mut page, told);
    }
    if !report.last {
        // The next report follows.
        page.line("");
    }
    out.write_all(page.text.as_bytes())
}

fn no_stacks(report: &Report) -> String {
    let totals = &report.totals;
    match (totals.outstanding_bytes + totals.unknown_bytes, totals.outstanding_count + totals.unknown_count) {
        (0, 0) => "No stacks: nothing allocated since attach is outstanding.".to_owned(),
        (size, blocks) => format!(
            "No stacks: the filters keep out all that is outstanding, {} in {}.",
            bytes(size),
            plural(blocks, "block")
        ),
    }
}

fn stacks(page: &mut Page, report: &Report) {
    let told = plural(report.stacks.len() as u64, "stack");
    let sum = |of: fn(&Stack) -> u64| bytes(report.stacks.iter().map(of).fold(0, u64::saturating_add));
    let (outstanding, unknown) = (sum(|stack| stack.outstanding_bytes), sum(|stack| stack.unknown_bytes));
    let mut title = format!("{told} with {outstanding} of the {} outstanding", bytes(report.totals.outstanding_bytes));
    if has_unknown(report) {
        let _ = write!(title, ", {unknown} of the {} unknown", bytes(report.totals.unknown_bytes));
    }
    if report.mode.sorted_by != "size" {
        let _ = write!(title, ", by {}", report.mode.sorted_by);
    }
    page.paragraph("", &format!("{title}:"), Ink::Plain);
    page.line("");
    let (layout, rows) = fitting(report, page.width);
    let widest = rows.iter().map(|row| columns(row)).max().unwrap_or(0);
    let mut rows = rows.iter();
    if let Some(titles) = rows.next() {
        page.line(&page.painted(Ink::Bold, titles));
        page.line(&page.painted(Ink::Dim, &"─".repeat(widest)));
    }
    for (n, (row, stack)) in rows.zip(&report.stacks).enumerate() {
        if n > 0 {
            page.line("");
        }
        // The verdict stands last, so colour around it shifts nothing.
        let verdict = verdict(stack, layout);
        let figures = row.strip_suffix(&verdict).unwrap_or(row);
        page.line(&format!("{figures}{}", page.painted(Ink::of(stack.verdict), &verdict)));
        if report.processes.len() > 1 && !layout.pid {
            let comm = report.processes.iter().find(|p| p.pid == stack.pid).map_or("", |p| &p.comm);
            let line = format!("in pid {} {}", stack.pid, printable(comm));
            page.line(&format!("{MARGIN}{}", shorten_middle(line.trim_end(), page.width - MARGIN.len())));
        }
        why(page, stack);
        frames(page, stack);
        allocations(page, stack);
    }
}

/// What the rows show beyond what they always do.
#[derive(Clone, Copy)]
struct Layout {
    pid: bool,
    confidence: bool,
    errors: bool,
}

/// The richest layout whose rows fit the width, or else the narrowest, and the rows, titles first.
fn fitting(report: &Report, width: usize) -> (Layout, Vec<String>) {
    let pid = report.processes.len() > 1;
    let mut layout = Layout { pid, confidence: true, errors: true };
    let mut rows = table(report, layout);
    for poorer in [
        Layout { pid, confidence: false, errors: true },
        Layout { pid: false, confidence: false, errors: true },
        Layout { pid: false, confidence: false, errors: false },
    ] {
        if rows.iter().all(|row| columns(row) <= width) {
            break;
        }
        layout = poorer;
        rows = table(report, layout);
    }
    (layout, rows)
}

/// Whether anything was out of sight for a time.
fn has_unknown(report: &Report) -> bool {
    report.totals.unknown_bytes > 0 || report.stacks.iter().any(|stack| stack.unknown_count > 0)
}

/// The figures of all stacks as aligned lines, titles first. One line a stack: no cell is ever wrapped.
fn table(report: &Report, layout: Layout) -> Vec<String> {
    let pid = |cell: String| layout.pid.then_some(cell);
    let unknown = |cell: String| has_unknown(report).then_some(cell);
    let titles = ["BLOCKS", "RATE", "OLDEST", "VERDICT"].map(str::to_owned);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let first = ["#".to_owned()].into_iter().chain(pid("PID".to_owned()));
    let sizes = ["OUTSTANDING".to_owned()].into_iter().chain(unknown("UNKNOWN".to_owned()));
    table.set_header(first.chain(sizes).chain(titles));
    for (n, stack) in report.stacks.iter().enumerate() {
        let oldest = match stack.held_count() {
            0 => "-".to_owned(),
            _ => seconds(stack.oldest_s),
        };
        let errors = stack.errors.filter(|_| layout.errors).unwrap_or_default();
        let outstanding = bytes(stack.outstanding_bytes) + &plus_minus(errors.outstanding_bytes_stderr);
        let not_known = bytes(stack.unknown_bytes) + &plus_minus(errors.unknown_bytes_stderr);
        let figures = [count(stack.held_count()), rate(stack.bytes_per_s), oldest, verdict(stack, layout)];
        let first = [(n + 1).to_string()].into_iter().chain(pid(stack.pid.to_string()));
        table.add_row(first.chain([outstanding]).chain(unknown(not_known)).chain(figures));
    }
    let last = table.column_count() - 1;
    for (n, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if n == last { 0 } else { 2 }));
        column.set_cell_alignment(if n == last { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn verdict(stack: &Stack, layout: Layout) -> String {
    let name = stack.verdict.name();
    if layout.confidence && stack.verdict != Verdict::New {
        format!("{name} {}", percent(stack.confidence * 100.0))
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Loss;
    use super::super::render::sample;
    use super::*;
    use crate::text::is_hostile;

    fn written(report: &Report, width: u16, colour: bool) -> String {
        let mut out = Vec::new();
        write(report, Style { width, colour }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The page in one line, so that a sentence is found wherever it was folded.
    fn unfolded(report: &Report) -> String {
        written(report, 80, false).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn two_processes() -> Report {
        let mut report = sample::redis();
        let mut worker = report.processes[0].clone();
        worker.pid = 1_234_567;
        worker.comm = "redis-aof".into();
        report.processes.push(worker);
        report.stacks[1].pid = 1_234_567;
        report
    }

    #[test]
    fn every_line_fits_every_width_from_sixty_up() {
        for report in [sample::redis(), sample::hostile(), two_processes()] {
            for width in 60..=200 {
                for line in written(&report, width, false).lines() {
                    assert!(columns(line) <= width.into(), "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn colour_moves_nothing() {
        for report in [sample::redis(), two_processes()] {
            let mut text = written(&report, 80, true);
            assert!(text.contains("\x1b[1;31mleak 97 %\x1b[0m"));
            for code in ["0", "1", "2", "33", "1;31"] {
                text = text.replace(&format!("\x1b[{code}m"), "");
            }
            assert_eq!(text, written(&report, 80, false));
        }
    }

    #[test]
    fn a_hostile_name_reaches_the_terminal_written_out() {
        let text = written(&sample::hostile(), 200, false);
        assert!(text.lines().all(|line| !line.contains(is_hostile)));
        assert!(text.contains("\\x1b]0;x\\x07\\x0d\\x0a\\x9b2J\\u{202e}"));
    }

    #[test]
    fn the_header_tells_process_mode_memory_and_heap() {
        let text = unfolded(&sample::redis());
        for said in [
            "leaktrace report, 2025-11-21T03:12:44Z, 2 h 10 m after attach",
            "process: redis-server (pid 4242), /usr/local/bin/redis-server",
            "memory: RSS 45.2 MiB at attach, 812.0 MiB now (+766.8 MiB)",
            "mode: every allocation; probes by session links; stacks by unwind information, 99.9 % whole",
            "heap: 765.4 MiB in 1,234,970 blocks outstanding; since attach allocated 5.0 GiB in",
            "cost: 12,345 probe hits/s, target slowed by about 8.2 %, 4.1 % of a core (budget 5 %), leaktrace 0.4 % CPU,",
        ] {
            assert!(text.contains(said), "{said}");
        }
    }

    #[test]
    fn the_final_report_and_an_exited_process_are_called_so() {
        let mut report = sample::redis();
        report.last = true;
        report.processes[0].alive = false;
        let text = unfolded(&report);
        assert!(text.contains("leaktrace final report") && text.contains("(pid 4242), exited"));
        assert!(text.contains("812.0 MiB when last seen"));
    }

    #[test]
    fn what_was_lost_is_told_with_what_it_means() {
        let mut report = sample::redis();
        assert!(unfolded(&report).contains("lost: nothing cost:"));
        report.loss.complete = false;
        assert!(unfolded(&report).contains("lost: something that was not counted"));
        report.loss = Loss { allocations: 1234, allocated_bytes: 2048, frees: 1, stacks_truncated: 7, ..report.loss };
        assert!(unfolded(&report).contains(
            "lost: 1,234 allocations (2.0 KiB) that no figure counts; 1 free, so blocks counted as outstanding may be \
             long gone; the outermost callers of 7 stacks, cut at the greatest depth cost:"
        ));
    }

    #[test]
    fn what_is_estimated_or_not_measured_is_called_so() {
        let mut report = sample::bursts();
        report.cost.target_slowdown_pct = None;
        let text = unfolded(&report);
        assert!(text.contains("a sample every 16.0 KiB on average, so figures are estimates, ± a standard error"));
        assert!(text.contains("slowdown of the target not measured yet"));
    }

    #[test]
    fn what_was_out_of_sight_is_unknown_and_why_is_said() {
        let text = unfolded(&sample::bursts());
        for said in [
            "765.4 MiB ±2.9 MiB in 1,234,970 blocks outstanding, 667.6 MiB in 1,100,000 blocks unknown;",
            "budget: at 0.3 s: every allocation costs 61 % of its CPU time, the probes alone too much: bursts",
            "watched: allocations of pid 4242 were watched for 8 m 32 s of 2 h 10 m, not now; rates are of those times",
            "of the 765.4 MiB outstanding, 658.0 MiB of the 667.6 MiB unknown, by growth:",
            "# OUTSTANDING UNKNOWN BLOCKS RATE OLDEST VERDICT",
        ] {
            assert!(text.contains(said), "{said} in {text}");
        }
        let rows = written(&sample::bursts(), 120, false);
        assert!(rows.contains("1  753.1 MiB ±2.4 MiB  658.0 MiB ±7.6 MiB  2,234,567"), "{rows}");
        let narrow = written(&sample::bursts(), 80, false);
        assert!(narrow.lines().all(|line| columns(line) <= 80), "{narrow}");
    }

    #[test]
    fn a_report_without_stacks_says_why_in_a_sentence() {
        let mut report = sample::redis();
        report.stacks.clear();
        assert!(
            unfolded(&report).ends_with("the filters keep out all that is outstanding, 765.4 MiB in 1,234,970 blocks.")
        );
        (report.totals.outstanding_bytes, report.totals.outstanding_count) = (0, 0);
        assert!(unfolded(&report).ends_with("No stacks: nothing allocated since attach is outstanding."));
    }

    #[test]
    fn a_stack_is_a_line_of_figures_above_why_and_its_frames() {
        let text = written(&sample::redis(), 80, false);
        let at = text.find("\n1  ").unwrap();
        let lines: Vec<_> = text[at..].lines().skip(1).take(4).collect();
        assert_eq!(lines[0], "1    753.1 MiB  1,234,567  +99.0 KiB/s  2 h 09 m  leak 97 %");
        assert_eq!(lines[1], "    nothing older than 30 s was ever freed");
        assert_eq!(lines[2], "    je_malloc                       libjemalloc.so.2+0x1f2c");
        assert_eq!(lines[3], "    zmalloc_usable                  zmalloc.c:134 (inlined)");
        assert!(text.contains("\n    libluajit-5.1.so.2.1.0+0x18f3a\n    0x7f3a91c02210\n"));
        assert!(text.contains("(no frames were recorded)"));
        assert!(text.contains("outstanding blocks, largest first:\n    0x7f3a91c02210     1.0 MiB   2 h 09 m\n"));
    }

    #[test]
    fn a_long_name_loses_its_middle_and_keeps_its_line() {
        let text = written(&sample::redis(), 80, false);
        assert!(text.contains("    std::__1::__function::__func…rocksdb::ReadOptions const&)  functional.h:1774\n"));
    }

    #[test]
    fn of_several_processes_each_stack_names_its_own() {
        let report = two_processes();
        assert!(written(&report, 80, false).contains("\n2  1234567     12.3 MiB"));
        let narrow = written(&report, 60, false);
        assert!(!narrow.contains("PID") && narrow.contains("growing\n    in pid 1234567 redis-aof\n"));
    }

    #[test]
    fn a_stack_with_nothing_outstanding_has_no_oldest_block() {
        let mut report = sample::redis();
        report.stacks[2].outstanding_bytes = 0;
        report.stacks[2].outstanding_count = 0;
        assert!(unfolded(&report).contains("3 0 B 0 0 B/s - new"));
    }
}
