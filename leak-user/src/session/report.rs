//! A view as the report that tracing would have printed at its last snapshot.

use super::{Point, StackView, View};
use crate::report::{Outlook, Report, Stack, SumErrors, Told};

impl View {
    /// The report of the last snapshot with at most `top` of the stacks, those that hold most first.
    ///
    /// It leaves out single blocks, which a session does not keep.
    pub fn report(&self, top: usize) -> Report {
        let mut report = self.last().report.clone();
        report.mode.sorted_by = "size".into();
        let sampled = report.totals.errors.is_some();
        report.outlook = self.outlook();
        let told = self.stacks.iter().map(told);
        let rates = Outlook::rates(report.processes.iter().map(|process| process.pid), told);
        for (process, rate) in report.processes.iter_mut().zip(rates) {
            process.bytes_per_s = Some(rate);
        }
        report.stacks = self.stacks.iter().take(top).map(|stack| as_reported(stack, sampled)).collect();
        report
    }

    /// What all stacks amount to at the last snapshot.
    pub fn outlook(&self) -> Outlook {
        let outlook = Outlook::of(self.stacks.iter().map(told), || self.last().memory.clone());
        self.last().report.python.as_ref().map_or(outlook, |python| outlook.with_python(python))
    }
}

fn told(stack: &StackView) -> Told {
    let judgement = &stack.judgement;
    (stack.pid, judgement.verdict, judgement.confidence, judgement.bytes_per_s)
}

fn as_reported(stack: &StackView, sampled: bool) -> Stack {
    let point = stack.last();
    Stack {
        id: stack.id.clone(),
        pid: stack.pid,
        outstanding_bytes: point.outstanding_bytes,
        outstanding_count: point.outstanding_count,
        unknown_bytes: point.unknown_bytes,
        unknown_count: point.unknown_count,
        allocated_bytes: point.allocated_bytes(),
        allocated_count: point.allocated_count(),
        errors: (sampled || point.bytes_stderr > 0).then(|| errors(point)),
        bytes_per_s: stack.judgement.bytes_per_s,
        oldest_s: stack.oldest_s,
        verdict: stack.judgement.verdict,
        confidence: stack.judgement.confidence,
        why: stack.judgement.why.clone(),
        complete: stack.complete,
        frames: stack.frames.clone(),
        allocations: Vec::new(),
    }
}

/// Standard errors of a stack's sums.
///
/// A session keeps that of the outstanding bytes. The others follow from it as if all blocks had one size: each was
/// drawn by itself, so a variance grows with its sum, and the number of blocks is off by the same share as their bytes.
/// Where nothing is outstanding, a session says nothing of them: they are 0.
fn errors(point: Point) -> SumErrors {
    let error = point.bytes_stderr as f64;
    let (bytes, count) = (point.outstanding_bytes as f64, point.outstanding_count as f64);
    let of_sum = |sum: u64, outstanding: f64| {
        if outstanding > 0.0 { error / bytes.max(1.0) * (sum as f64 * outstanding).sqrt() } else { 0.0 }
    };
    SumErrors {
        outstanding_bytes_stderr: error,
        outstanding_count_stderr: of_sum(point.outstanding_count, count),
        unknown_bytes_stderr: of_sum(point.unknown_bytes, bytes),
        unknown_count_stderr: of_sum(point.unknown_count, count),
        allocated_bytes_stderr: of_sum(point.allocated_bytes(), bytes),
        allocated_count_stderr: of_sum(point.allocated_count(), count),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::report::TotalErrors;

    #[test]
    fn the_report_has_the_figures_of_the_last_snapshot() {
        let view = sample::redis();
        let report = view.report(usize::MAX);
        assert_eq!(report.time, view.last().report.time);
        assert_eq!(report.stacks.len(), view.stacks.len());
        for (told, kept) in report.stacks.iter().zip(&view.stacks) {
            assert_eq!((&told.id, &told.frames), (&kept.id, &kept.frames));
            assert_eq!(told.held_bytes(), kept.last().held_bytes());
            assert_eq!(told.allocated_bytes, told.held_bytes() + kept.last().freed_bytes);
            assert!(told.errors.is_none(), "every allocation was traced");
        }
    }

    #[test]
    fn the_top_are_those_that_hold_most() {
        let view = sample::redis();
        let ids = |top| view.report(top).stacks.into_iter().map(|stack| stack.id).collect::<Vec<_>>();
        assert_eq!(ids(2), [view.stacks[0].id.clone(), view.stacks[1].id.clone()]);
        assert!(ids(0).is_empty());
    }

    #[test]
    fn estimates_carry_their_errors() {
        let mut view = sample::redis();
        let last = view.snapshots.len() - 1;
        view.snapshots[last].report.totals.errors = Some(TotalErrors::default());
        view.stacks[0].points[last] = Point {
            outstanding_bytes: 1_000_000,
            outstanding_count: 100,
            freed_bytes: 3_000_000,
            freed_count: 300,
            bytes_stderr: 50_000,
            ..Point::default()
        };
        let errors = view.report(1).stacks[0].errors.unwrap();
        let near = |told: f64, known: f64| assert!((told - known).abs() < 1e-6 * known, "{told} is not {known}");
        near(errors.outstanding_bytes_stderr, 50_000.0);
        near(errors.outstanding_count_stderr, 5.0);
        near(errors.allocated_bytes_stderr, 100_000.0);
        near(errors.allocated_count_stderr, 10.0);
        assert!(errors.unknown_bytes_stderr.abs() < 1e-9, "there is nothing unknown");
    }

    #[test]
    fn a_stack_of_estimates_that_holds_nothing_has_errors_of_nothing() {
        let nothing = errors(Point { freed_bytes: 5, freed_count: 1, ..Point::default() });
        assert_eq!(nothing, SumErrors::default());
    }
}
