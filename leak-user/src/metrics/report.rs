//! A report as families. Figures are the report's own, only that what is per cent there is a share here.
//!
//! Labels are bounded in number as well as in length: of very many processes those are there that hold the most.

use super::{Family, Labels, Unit, function_of, name};
use crate::{
    growth::Severity,
    report::{Limiter, Process, Report, Stack, Totals},
};

/// Processes on the page.
const MOST_PROCESSES: usize = 50;

/// What the page says of a report.
pub fn families(report: &Report) -> Vec<Family> {
    [of_all(report), of_processes(report), of_stacks(report), of_losses(report), of_costs(report)].concat()
}

fn of_all(report: &Report) -> Vec<Family> {
    let Report { outlook, .. } = report;
    let severity = match outlook.severity {
        Severity::Good => "good",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    let mut left = Family::gauge(
        "leaktrace_memory_left_seconds",
        Unit::Seconds,
        "Time until the limit that is reached first is reached at this rate",
    );
    if let Some(limit) = outlook.limit {
        let of = match limit.of {
            Limiter::Cgroup => "cgroup",
            Limiter::System => "system",
        };
        left.push(&vec![("of", of.to_owned())], limit.seconds_left);
    }
    vec![
        Family::gauge("leaktrace_elapsed_seconds", Unit::Seconds, "Time from the beginning of the trace to the report")
            .of(report.elapsed_s),
        Family::gauge("leaktrace_severity", Unit::None, "What all stacks amount to: 1 with the severity as a label")
            .with(&vec![("severity", severity.to_owned())], 1),
        Family::gauge("leaktrace_leaking_stacks", Unit::None, "Stacks that leak").of(outlook.leaking),
        Family::gauge("leaktrace_growing_stacks", Unit::None, "Stacks that grow and may come to rest")
            .of(outlook.growing),
        Family::gauge(
            "leaktrace_growth_bytes_per_second",
            Unit::None,
            "Rate of the stacks that leak or, where none does, of those that grow",
        )
        .of(outlook.bytes_per_s),
        left,
    ]
}

fn of_processes(report: &Report) -> Vec<Family> {
    let mut processes: Vec<&Process> = report.processes.iter().collect();
    // One that runs before one that is gone and had the same pid; then those that hold the most.
    processes.sort_by_key(|process| (!process.alive, std::cmp::Reverse(process.totals.outstanding_bytes)));
    processes.truncate(MOST_PROCESSES);
    let gauge =
        |name, unit, help, value: fn(&Process) -> u64| of_each(&processes, Family::gauge(name, unit, help), value);
    let counter = |name, unit, help, value: fn(&Totals) -> u64| {
        of_each(&processes, Family::counter(name, unit, help), |process| value(&process.totals))
    };
    let mut growth = Family::gauge(
        "leaktrace_process_growth_bytes_per_second",
        Unit::None,
        "Rate of the stacks of the process that leak or, where none does, of those that grow",
    );
    let mut error = Family::gauge(
        "leaktrace_process_outstanding_stderr_bytes",
        Unit::Bytes,
        "Standard error of the outstanding bytes where allocations were sampled",
    );
    for process in &processes {
        let labels = labels_of(process);
        if let Some(rate) = process.bytes_per_s {
            growth.push(&labels, rate);
        }
        if let Some(errors) = process.totals.errors {
            error.push(&labels, errors.sums.outstanding_bytes_stderr);
        }
    }
    vec![
        Family::gauge("leaktrace_processes", Unit::None, "Processes that are traced").of(report.processes.len() as u64),
        gauge("leaktrace_process_alive", Unit::None, "Whether the process runs", |process| process.alive.into()),
        gauge("leaktrace_process_resident_bytes", Unit::Bytes, "Resident memory of the process", |process| {
            process.rss_bytes
        }),
        gauge(
            "leaktrace_process_sample_bytes",
            Unit::Bytes,
            "Mean bytes between samples; 1 is every allocation",
            |process| process.sample_bytes,
        ),
        gauge(
            "leaktrace_process_outstanding_bytes",
            Unit::Bytes,
            "Allocated since attach and not given back",
            |process| process.totals.outstanding_bytes,
        ),
        gauge("leaktrace_process_outstanding_blocks", Unit::None, "Blocks of the outstanding bytes", |process| {
            process.totals.outstanding_count
        }),
        error,
        gauge(
            "leaktrace_process_unknown_bytes",
            Unit::Bytes,
            "Allocated since attach and not known to be given back, for a time without probes",
            |process| process.totals.unknown_bytes,
        ),
        growth,
        counter("leaktrace_process_allocated_bytes", Unit::Bytes, "Allocated since attach while watched", |totals| {
            totals.allocated_bytes
        }),
        counter("leaktrace_process_allocated_blocks", Unit::None, "Blocks of the allocated bytes", |totals| {
            totals.allocated_count
        }),
        counter("leaktrace_process_freed_bytes", Unit::Bytes, "Given back, of the allocated bytes", |totals| {
            totals.freed_bytes
        }),
        counter("leaktrace_process_freed_blocks", Unit::None, "Blocks of the freed bytes", |totals| totals.freed_count),
    ]
}

fn of_each(processes: &[&Process], family: Family, value: impl Fn(&Process) -> u64) -> Family {
    processes.iter().fold(family, |family, process| family.with(&labels_of(process), value(process)))
}

fn labels_of(process: &Process) -> Labels {
    vec![("pid", process.pid.to_string()), ("comm", name(&process.comm))]
}

fn of_stacks(report: &Report) -> Vec<Family> {
    let mut bytes = Family::gauge(
        "leaktrace_stack_outstanding_bytes",
        Unit::Bytes,
        "Allocated at this stack since attach and not given back",
    );
    let mut blocks =
        Family::gauge("leaktrace_stack_outstanding_blocks", Unit::None, "Blocks of the stack's outstanding bytes");
    let mut error = Family::gauge(
        "leaktrace_stack_outstanding_stderr_bytes",
        Unit::Bytes,
        "Standard error of the stack's outstanding bytes where allocations were sampled",
    );
    let mut growth =
        Family::gauge("leaktrace_stack_growth_bytes_per_second", Unit::None, "Trend of the bytes that the stack holds");
    let mut verdict = Family::gauge(
        "leaktrace_stack_verdict",
        Unit::None,
        "What the stack amounts to: 1 with the verdict as a label",
    );
    let mut confidence =
        Family::gauge("leaktrace_stack_confidence_ratio", Unit::Ratio, "How sure the stack's verdict is");
    for stack in &report.stacks {
        let labels = labels_of_stack(report, stack);
        bytes.push(&labels, stack.outstanding_bytes);
        blocks.push(&labels, stack.outstanding_count);
        if let Some(errors) = stack.errors {
            error.push(&labels, errors.outstanding_bytes_stderr);
        }
        growth.push(&labels, stack.bytes_per_s);
        confidence.push(&labels, stack.confidence);
        verdict.push(&[labels, vec![("verdict", stack.verdict.name().to_owned())]].concat(), 1);
    }
    vec![bytes, blocks, error, growth, verdict, confidence]
}

fn labels_of_stack(report: &Report, stack: &Stack) -> Labels {
    let comm = report.processes.iter().find(|process| process.pid == stack.pid).map(|process| name(&process.comm));
    vec![
        ("pid", stack.pid.to_string()),
        ("comm", comm.unwrap_or_default()),
        ("stack", stack.id.clone()),
        ("function", function_of(&stack.frames)),
    ]
}

fn of_losses(report: &Report) -> Vec<Family> {
    let loss = &report.loss;
    vec![
        Family::gauge("leaktrace_complete", Unit::None, "Whether nothing at all was lost").of(loss.complete),
        Family::counter("leaktrace_lost_allocations", Unit::None, "Allocations that are in no figure")
            .of(loss.allocations),
        Family::counter("leaktrace_lost_allocated_bytes", Unit::Bytes, "Bytes of the lost allocations")
            .of(loss.allocated_bytes),
        // Some turn out to have been set aside only.
        Family::gauge("leaktrace_lost_frees", Unit::None, "Frees that were not recorded, so far as is known now")
            .of(loss.frees),
        Family::counter("leaktrace_truncated_stacks", Unit::None, "Stacks cut at the greatest depth")
            .of(loss.stacks_truncated),
        Family::counter("leaktrace_missed_probes", Unit::None, "Gaps in what the probes saw").of(loss.probes_missed),
    ]
}

fn of_costs(report: &Report) -> Vec<Family> {
    let cost = &report.cost;
    let share = |per_cent: Option<f64>| per_cent.map(|per_cent| per_cent / 100.0);
    vec![
        Family::gauge("leaktrace_events_per_second", Unit::None, "Probe hits a second before the report")
            .of(cost.events_per_s),
        Family::gauge(
            "leaktrace_target_slowdown_ratio",
            Unit::Ratio,
            "Share by which the work of the traced processes is slowed, as reckoned",
        )
        .of_known(share(cost.target_slowdown_pct)),
        Family::gauge("leaktrace_target_core_ratio", Unit::Ratio, "The same as a share of one core")
            .of_known(share(cost.target_core_pct)),
        Family::gauge("leaktrace_tracer_cpu_ratio", Unit::Ratio, "Processor time of leaktrace as a share of one core")
            .of(cost.tracer_cpu_pct / 100.0),
        Family::gauge("leaktrace_tracer_resident_bytes", Unit::Bytes, "Resident memory of leaktrace")
            .of(cost.tracer_rss_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::exposition::Exposition;
    use super::*;
    use crate::report::sample;

    fn page(report: &Report) -> String {
        Exposition::Open.page(&families(report))
    }

    fn line<'p>(page: &'p str, beginning: &str) -> &'p str {
        page.lines().find(|line| line.starts_with(beginning)).unwrap_or_else(|| panic!("{beginning} in {page}"))
    }

    #[test]
    fn the_figures_are_those_of_the_report() {
        let mut report = sample::redis();
        report.processes[0].totals = report.totals.clone();
        let page = page(&report);
        let process = "{pid=\"4242\",comm=\"redis-server\"} ";
        assert!(line(&page, "leaktrace_process_outstanding_bytes{").ends_with(&format!("{process}802579757")));
        assert!(line(&page, "leaktrace_process_allocated_bytes_total{").ends_with(&format!("{process}5368709120")));
        assert!(line(&page, "leaktrace_process_growth_bytes_per_second{").ends_with(&format!("{process}101376")));
        let stack = line(&page, "leaktrace_stack_verdict{");
        assert!(stack.ends_with("stack=\"9f3c2a0011aa22bb\",function=\"je_malloc\",verdict=\"leak\"} 1"), "{stack}");
        assert_eq!(line(&page, "leaktrace_severity{"), "leaktrace_severity{severity=\"critical\"} 1");
        assert!(line(&page, "leaktrace_target_slowdown_ratio ").contains(" 0.08"));
        assert_eq!(line(&page, "leaktrace_complete "), "leaktrace_complete 1");
        assert!(!page.contains("stderr"), "{page}");
        assert_eq!(page.matches("leaktrace_stack_outstanding_bytes{").count(), 3);
    }

    #[test]
    fn what_is_estimated_has_its_error() {
        let mut report = sample::bursts();
        report.processes[0].totals = report.totals.clone();
        let page = page(&report);
        assert!(line(&page, "leaktrace_process_outstanding_stderr_bytes{").ends_with(" 3000000"));
        assert!(line(&page, "leaktrace_stack_outstanding_stderr_bytes{").ends_with(" 2500000"));
        assert!(line(&page, "leaktrace_process_sample_bytes{").ends_with(" 16384"));
    }

    #[test]
    fn no_name_ends_its_line_or_is_long_and_very_many_processes_are_not_all_there() {
        let mut report = sample::hostile();
        report.processes[0].comm = "} 1\nleaktrace_complete 0\n# EOF\n".into();
        report.stacks[0].frames[0].function = Some("\"".repeat(100_000));
        let one = report.processes[0].clone();
        report.processes.extend((0..500).map(|pid| Process { pid, ..one.clone() }));
        let page = page(&report);
        assert_eq!(page.matches("\n# EOF").count(), 1);
        assert_eq!(page.lines().filter(|line| line.starts_with("leaktrace_complete ")).count(), 1);
        assert!(page.lines().all(|line| line.len() < 1000));
        assert_eq!(page.matches("\nleaktrace_process_alive{").count(), MOST_PROCESSES);
        assert!(page.contains("leaktrace_processes 501\n"));
    }
}
