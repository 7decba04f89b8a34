//! What the page of a trace says: the last report, and how it came to be there.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{Families, Family, Health, Unit, report};
use crate::report::{Frame, Report, json};

/// Stacks on the page.
const MOST_STACKS: usize = 20;

/// Where a trace leaves its last report for the page. Every copy is the same board.
#[derive(Clone, Debug)]
pub struct TraceBoard {
    health: Health,
    last: Arc<Mutex<Last>>,
}

#[derive(Debug, Default)]
struct Last {
    report: Option<Arc<Report>>,
    /// When it was put here, and how old it was then.
    since: Option<(Instant, Duration)>,
    /// Reports so far.
    number: u64,
}

impl TraceBoard {
    /// Without a report yet.
    pub fn new() -> Self {
        Self { health: Health::new(), last: Arc::default() }
    }

    /// Puts a report there that was written, so far as it is for the page.
    pub fn put(&self, mut report: Report) {
        report.stacks.truncate(MOST_STACKS);
        for stack in &mut report.stacks {
            stack.allocations = Vec::new();
            // What it is known by.
            let known_by = stack.frames.iter().position(|frame| frame.function.is_some()).unwrap_or(0);
            let frame: Option<Frame> = stack.frames.drain(..).nth(known_by);
            stack.frames = frame.into_iter().collect();
        }
        let report = json::finite(&report).into_owned();
        let made = humantime::parse_rfc3339(&report.time).ok();
        let age = made.and_then(|made| SystemTime::now().duration_since(made).ok()).unwrap_or_default();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Last { report: Some(Arc::new(report)), since: Some((Instant::now(), age)), number: last.number + 1 };
    }

    /// What the page says now.
    pub fn families(&self) -> Vec<Family> {
        let (report, age, number) = {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let age = last.since.map(|(since, age)| (since.elapsed() + age).as_secs_f64());
            (last.report.clone(), age, last.number)
        };
        let mut families = self.health.families().to_vec();
        families.push(Family::counter("leaktrace_reports", Unit::None, "Reports made so far").of(number));
        families.push(
            Family::gauge("leaktrace_report_age_seconds", Unit::Seconds, "Age of the report that this page shows")
                .of_known(age),
        );
        if let Some(report) = report {
            families.extend(report::families(&report));
        }
        families
    }

    /// The same, for a server to ask.
    pub fn source(&self) -> Families {
        let board = self.clone();
        Arc::new(move || board.families())
    }
}

impl Default for TraceBoard {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn value(families: &[Family], name: &str) -> String {
        let family = families.iter().find(|family| family.name == name);
        format!("{:?}", family.map(|family| family.samples().first()))
    }

    #[test]
    fn without_a_report_there_is_leaktrace_itself() {
        let families = TraceBoard::new().families();
        assert!(value(&families, "leaktrace_build").contains(env!("CARGO_PKG_VERSION")));
        assert!(value(&families, "leaktrace_reports").contains("Whole(0)"));
        assert!(families.iter().all(|family| !family.name.contains("process")));
    }

    #[test]
    fn the_last_report_is_there_with_its_age_and_little_of_its_stacks() {
        let board = TraceBoard::new();
        let mut report = sample::redis();
        let one = report.stacks[0].clone();
        report.stacks.extend((0..100).map(|n| crate::report::Stack { id: format!("{n:016x}"), ..one.clone() }));
        board.put(sample::redis());
        board.put(report);
        let families = board.families();
        assert!(value(&families, "leaktrace_reports").contains("Whole(2)"));
        assert!(!value(&families, "leaktrace_report_age_seconds").contains("Real(0.0)"));
        let stacks = families.iter().find(|family| family.name == "leaktrace_stack_outstanding_bytes").unwrap();
        assert_eq!(stacks.samples().len(), MOST_STACKS);
        assert!(format!("{:?}", stacks.samples()[0]).contains("je_malloc"));
    }
}
