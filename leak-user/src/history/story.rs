//! The story of one service: each of its sessions, what changed between them, and its leaks over all of them.

use std::time::SystemTime;

use serde::Serialize;

use super::{Kept, Leak, SCHEMA, series::Series};
use crate::{
    growth::{Severity, Verdict},
    process::who::file_name,
    session::{StackView, View},
    symbolize::Frame,
};

/// From the worst to what cannot be said yet.
const WORST_FIRST: [Verdict; 5] = [Verdict::Leak, Verdict::Growing, Verdict::Plateau, Verdict::Churn, Verdict::New];

/// What became of a service.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// The name that was asked for: not to be printed raw.
    pub name: String,
    /// Its sessions, the oldest first.
    pub sessions: Vec<Told>,
    /// What changed from the first session of each of its programs to the last.
    pub overall: Vec<Overall>,
    /// What leaked or grew in any of them: what is new first, what was fixed last.
    pub leaks: Vec<Leak>,
}

/// A session in a line.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// Its file: not to be printed raw.
    pub file: String,
    /// When tracing began, RFC 3339 in UTC.
    pub time: String,
    /// Seconds that tracing took.
    pub elapsed_s: f64,
    /// Seconds of these in which allocations were watched.
    pub watched_s: f64,
    /// Mean bytes between samples at the end; 1 is every allocation.
    pub sample_bytes: u64,
    /// The process.
    pub pid: u32,
    /// Its name: not to be printed raw.
    pub comm: String,
    /// Its program's path: not to be printed raw.
    pub exe: String,
    /// Its control group's path, if it was in one: not to be printed raw.
    pub cgroup: Option<String>,
    /// The program's build ID, if one is known.
    pub build_id: Option<String>,
    /// Whether the session of this program before it was of another build.
    pub is_other_build: bool,
    /// Resident bytes at the end.
    pub rss_bytes: u64,
    /// Bytes allocated since tracing began that were not seen to be given back.
    pub held_bytes: u64,
    /// Blocks of those.
    pub held_count: u64,
    /// Bytes a second by which stacks that leak do or, where none does, those that grow.
    pub bytes_per_s: f64,
    /// How bad it is.
    pub severity: Severity,
    /// The worst verdict on a stack, if there is a stack.
    pub verdict: Option<Verdict>,
    /// That stack, if it leaks or grows: from the allocator's caller outwards.
    pub frames: Vec<Frame>,
    /// What changed since the session of this program before it, in a sentence; or why that cannot be said.
    pub since_last: Option<String>,
}

/// What changed from the first session of a program to the last.
#[derive(Clone, Debug, Serialize)]
pub struct Overall {
    /// The program's file: not to be printed raw.
    pub program: String,
    /// When the first began, RFC 3339 in UTC.
    pub from: String,
    /// When the last began.
    pub to: String,
    /// How many there are.
    pub sessions: usize,
    /// What changed, in a sentence; or why that cannot be said.
    pub summary: String,
}

impl Story {
    /// The story of these sessions, the oldest first.
    pub fn of(name: &str, sessions: impl IntoIterator<Item = (Kept, View)>) -> Self {
        let mut told = Vec::new();
        let mut series: Vec<Series> = Vec::new();
        for (kept, view) in sessions {
            let mut session = Told::of(&kept, &view);
            let place = series.iter().position(|one| one.program == kept.program()).unwrap_or_else(|| {
                series.push(Series::new(kept.program()));
                series.len() - 1
            });
            series[place].add(&mut session, view);
            told.push(session);
        }
        let overall = series.iter().filter_map(Series::overall).collect();
        let mut leaks: Vec<Leak> = series.into_iter().flat_map(Series::leaks).collect();
        leaks.sort_by(|one, other| {
            one.state.cmp(&other.state).then_with(|| other.last.bytes_per_s.total_cmp(&one.last.bytes_per_s))
        });
        Self { schema: SCHEMA, name: name.to_owned(), sessions: told, overall, leaks }
    }
}

impl Told {
    fn of(kept: &Kept, view: &View) -> Self {
        let report = &view.last().report;
        let process = report.processes.first().unwrap_or(&kept.process);
        let outlook = view.outlook();
        let badness = |stack: &&StackView| {
            WORST_FIRST.iter().position(|verdict| *verdict == stack.judgement.verdict).unwrap_or(WORST_FIRST.len())
        };
        let rate = |stack: &StackView| stack.judgement.bytes_per_s;
        let by_badness = |one: &&StackView, other: &&StackView| {
            badness(one).cmp(&badness(other)).then_with(|| rate(other).total_cmp(&rate(one)))
        };
        let worst = view.stacks.iter().min_by(by_badness);
        let verdict = worst.map(|stack| stack.judgement.verdict);
        let is_bad = matches!(verdict, Some(Verdict::Leak | Verdict::Growing));
        Self {
            file: kept.path.to_string_lossy().into_owned(),
            time: rfc3339(kept.began),
            elapsed_s: report.elapsed_s,
            watched_s: process.watched_s,
            sample_bytes: process.sample_bytes,
            pid: process.pid,
            comm: process.comm.clone(),
            exe: process.exe.clone(),
            cgroup: kept.cgroup.clone(),
            build_id: build_id(view, file_name(&process.exe)),
            is_other_build: false,
            rss_bytes: process.rss_bytes,
            held_bytes: report.totals.outstanding_bytes.saturating_add(report.totals.unknown_bytes),
            held_count: report.totals.outstanding_count.saturating_add(report.totals.unknown_count),
            bytes_per_s: outlook.bytes_per_s,
            severity: outlook.severity,
            verdict,
            frames: worst.filter(|_| is_bad).map(|stack| stack.frames.clone()).unwrap_or_default(),
            since_last: None,
        }
    }
}

/// The build of the program, by the frames that are of its file.
fn build_id(view: &View, program: &str) -> Option<String> {
    let mut frames = view.stacks.iter().flat_map(|stack| &stack.frames);
    let own = |frame: &&Frame| frame.module.as_deref().is_some_and(|module| file_name(module) == program);
    frames.by_ref().filter(own).find_map(|frame| frame.build_id.as_deref().map(str::to_owned))
}

/// A time as JSON has it.
pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
