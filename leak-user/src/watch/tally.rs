//! What the watch has done so far, for its page of figures.
//!
//! Of looks the last ones are told, the newest of each process.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::reason::Reason;
use crate::{
    look::Finding,
    metrics::{Families, Family, Health, Labels, Unit, name},
    process::{
        own_use::own_use,
        who::{Names, Who},
    },
};

/// Looks that are told of.
const MOST_LOOKS: usize = 20;

/// What the watch has done. Every copy is the same tally.
#[derive(Clone, Debug)]
pub struct Tally {
    health: Health,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    processes: u64,
    rounds: u64,
    rounds_left_out: u64,
    last_round: Option<Duration>,
    under_way: u64,
    finished: u64,
    failed: u64,
    /// Sessions that are kept, and their bytes.
    kept: (u64, u64),
    passed: BTreeMap<&'static str, u64>,
    /// The newest first.
    looks: VecDeque<Seen>,
}

/// A look that has ended.
#[derive(Debug)]
struct Seen {
    labels: Labels,
    /// Bytes a second of the rise that led to it.
    rise: f64,
    ended: SystemTime,
    found: Option<Finding>,
}

impl Tally {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self { health: Health::new(), counts: Arc::default() }
    }

    /// A round over so many processes took so long.
    pub fn round(&self, processes: usize, time: Duration) {
        let mut counts = self.counts();
        counts.processes = processes as u64;
        counts.rounds += 1;
        counts.last_round = Some(time);
    }

    /// A round came to nothing.
    pub fn round_left_out(&self) {
        self.counts().rounds_left_out += 1;
    }

    /// A process was passed over.
    pub fn passed(&self, reason: Reason) {
        *self.counts().passed.entry(reason.name()).or_default() += 1;
    }

    /// So many looks are under way.
    pub fn under_way(&self, looks: usize) {
        self.counts().under_way = looks as u64;
    }

    /// So many sessions are kept, with so many bytes.
    pub fn kept(&self, sessions: u64, bytes: u64) {
        self.counts().kept = (sessions, bytes);
    }

    /// A look has failed of which nothing is known.
    pub fn lost(&self) {
        self.counts().failed += 1;
    }

    /// A look has ended, with what was found if it did not fail.
    pub fn ended(&self, who: Who, names: &Names, rise: f64, found: Option<Finding>) {
        let labels = vec![("pid", who.pid.to_string()), ("comm", name(&names.comm))];
        let mut counts = self.counts();
        if found.is_some() {
            counts.finished += 1;
        } else {
            counts.failed += 1;
        }
        counts.looks.retain(|seen| seen.labels != labels);
        counts.looks.push_front(Seen { labels, rise, ended: SystemTime::now(), found });
        counts.looks.truncate(MOST_LOOKS);
    }

    /// What the page says, for a server to ask.
    pub fn source(&self) -> Families {
        let tally = self.clone();
        Arc::new(move || tally.families())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Figures are right one by one.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn families(&self) -> Vec<Family> {
        let (cpu, resident) = own_use();
        let counts = self.counts();
        let mut passed =
            Family::counter("leaktrace_watch_passed_over", Unit::None, "Decisions not to look at a process that grows");
        // All from the start: what comes from nowhere has not increased.
        for reason in [Reason::Denied, Reason::NotAllowed, Reason::Busy(0)].map(Reason::name) {
            passed.push(&vec![("reason", reason.to_owned())], counts.passed.get(reason).copied().unwrap_or(0));
        }
        let mut families = self.health.families().to_vec();
        families.extend([
            Family::counter("leaktrace_cpu_seconds", Unit::Seconds, "Processor time of leaktrace, without its looks")
                .of(cpu.as_secs_f64()),
            Family::gauge("leaktrace_resident_bytes", Unit::Bytes, "Resident memory of leaktrace, without its looks")
                .of(resident),
            Family::gauge("leaktrace_watch_processes", Unit::None, "Processes in the last round").of(counts.processes),
            Family::counter("leaktrace_watch_rounds", Unit::None, "Rounds over all processes").of(counts.rounds),
            Family::counter("leaktrace_watch_rounds_left_out", Unit::None, "Rounds that came to nothing")
                .of(counts.rounds_left_out),
            Family::gauge("leaktrace_watch_round_seconds", Unit::Seconds, "How long the last round took")
                .of_known(counts.last_round.map(|time| time.as_secs_f64())),
            Family::gauge("leaktrace_watch_looks_under_way", Unit::None, "Looks that are under way")
                .of(counts.under_way),
            Family::counter("leaktrace_watch_looks_finished", Unit::None, "Looks that ended with a finding")
                .of(counts.finished),
            Family::counter("leaktrace_watch_looks_failed", Unit::None, "Looks that ended without a finding")
                .of(counts.failed),
            Family::gauge("leaktrace_watch_sessions", Unit::None, "Sessions that are kept").of(counts.kept.0),
            Family::gauge("leaktrace_watch_sessions_bytes", Unit::Bytes, "Bytes of the sessions that are kept")
                .of(counts.kept.1),
            passed,
        ]);
        families.extend(of_looks(&counts.looks));
        families
    }
}

fn of_looks(looks: &VecDeque<Seen>) -> [Family; 4] {
    let mut rise = Family::gauge(
        "leaktrace_watch_look_rise_bytes_per_second",
        Unit::None,
        "Rise that led to a look at the process, one of the last looks",
    );
    let mut ended = Family::gauge(
        "leaktrace_watch_look_end_time_seconds",
        Unit::Seconds,
        "When the look ended, in seconds since 1970",
    );
    let mut growth = Family::gauge(
        "leaktrace_watch_look_growth_bytes_per_second",
        Unit::None,
        "Trend of the stack that the look found to grow the most",
    );
    let mut verdict = Family::gauge(
        "leaktrace_watch_look_verdict",
        Unit::None,
        "What that stack amounts to: 1 with the verdict as a label",
    );
    for look in looks {
        rise.push(&look.labels, look.rise);
        ended.push(&look.labels, look.ended.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        let Some(top) = look.found.as_ref().and_then(|found| found.top.as_ref()) else { continue };
        let labels = [&look.labels[..], &[("function", name(&top.function))]].concat();
        growth.push(&labels, top.bytes_per_s);
        verdict.push(&[labels, vec![("verdict", name(&top.verdict))]].concat(), 1);
    }
    [rise, ended, growth, verdict]
}

#[cfg(test)]
mod tests {
    use super::{super::look::Top, *};

    fn figures(tally: &Tally, of: &str) -> String {
        let families = tally.families();
        format!("{:?}", families.iter().find(|family| family.name == of).map(Family::samples))
    }

    #[test]
    fn each_process_is_there_with_its_newest_look_and_only_so_many() {
        let tally = Tally::new();
        let found = |function: &str| {
            let top = Top { verdict: "leak".to_owned(), bytes_per_s: 8.0, function: function.to_owned() };
            Some(Finding { words: String::new(), condition: None, top: Some(top) })
        };
        let names = Names { comm: "a\u{1b}[2J".to_owned(), ..Names::default() };
        for pid in 0..100 {
            tally.ended(Who { pid, start_ticks: 0 }, &names, 1.0, found("old"));
        }
        tally.ended(Who { pid: 99, start_ticks: 0 }, &names, 2.0, found("new"));
        tally.ended(Who { pid: 98, start_ticks: 0 }, &names, 3.0, None);
        let rises = figures(&tally, "leaktrace_watch_look_rise_bytes_per_second");
        assert_eq!(rises.matches("\"pid\"").count(), MOST_LOOKS);
        assert!(rises.contains("Real(3.0)") && rises.contains("a\\\\x1b[2J"), "{rises}");
        let verdicts = figures(&tally, "leaktrace_watch_look_verdict");
        assert_eq!((verdicts.matches("new").count(), verdicts.matches("old").count()), (1, MOST_LOOKS - 2));
        assert!(figures(&tally, "leaktrace_watch_looks_finished").contains("Whole(101)"));
        assert!(figures(&tally, "leaktrace_watch_looks_failed").contains("Whole(1)"));
    }

    #[test]
    fn each_reason_is_counted_by_itself() {
        let tally = Tally::new();
        for reason in [Reason::Denied, Reason::Busy(1), Reason::Busy(2)] {
            tally.passed(reason);
        }
        let passed = figures(&tally, "leaktrace_watch_passed_over");
        let count = |reason, number| passed.contains(&format!("(\"reason\", \"{reason}\")], Whole({number})"));
        assert!(count("denied", 1) && count("not_allowed", 0) && count("busy", 2), "{passed}");
    }
}
