//! What each site of a made-up program is, and whether the verdicts say so.

use leak_user::growth::Verdict;

use crate::{
    program::Program,
    replay::{Judged, Look, replay},
};

/// What a site is.
#[derive(Clone, Copy, Debug)]
pub enum Label {
    /// It is never to be called a leak.
    Healthy,
    /// It leaks from a time on and is to be called a leak so many seconds later, from then on mostly.
    Leaks { from: f64, within: f64 },
    /// It leaks from a time until another, and is not to be called a leak any more so many seconds after that.
    Stops { from: f64, until: f64, within: f64 },
}

impl Label {
    /// The same with so many times as long to be told.
    fn within(self, longer: f64) -> Self {
        match self {
            Self::Healthy => self,
            Self::Leaks { from, within } => Self::Leaks { from, within: within * longer },
            Self::Stops { from, until, within } => Self::Stops { from, until, within: within * longer },
        }
    }
}

/// Of the judgements after a leak was due, at least this share must say so.
const MOSTLY: f64 = 2.0 / 3.0;

/// If they are of so many seconds: within a shorter time they all come out alike.
const FOLLOWED: f64 = 300.0;

/// A program and what is said of it.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// For how long it is traced, seconds.
    pub horizon: f64,
    pub look: Look,
    pub build: fn(&mut Program),
    /// By site.
    pub labels: &'static [Label],
}

impl Scenario {
    /// What is wrong with the verdicts, if anything.
    pub fn check(&self, seed: u64) -> Vec<String> {
        self.check_by(self.look, self.labels, seed)
    }

    /// The same where allocations are watched in bursts only, and leaks may take this many times as long to tell.
    pub fn check_in_bursts(&self, bursts: (f64, f64), longer: f64, seed: u64) -> Vec<String> {
        let labels: Vec<Label> = self.labels.iter().map(|label| label.within(longer)).collect();
        self.check_by(Look { bursts: Some(bursts), ..self.look }, &labels, seed)
    }

    fn check_by(&self, look: Look, labels: &[Label], seed: u64) -> Vec<String> {
        let mut program = Program::new(seed, self.horizon);
        (self.build)(&mut program);
        complaints(self.name, program, look, labels, seed)
    }
}

/// What is wrong with the verdicts on a program, if anything.
pub fn complaints(name: &str, mut program: Program, look: Look, labels: &[Label], seed: u64) -> Vec<String> {
    let (live, recorded) = replay(&mut program, look);
    let mut complaints = Vec::new();
    for (site, label) in (0..).zip(labels) {
        for (how, judged) in [("live", &live), ("recorded", &recorded)] {
            let of_site: Vec<&Judged> = judged.iter().filter(|judged| judged.site == site).collect();
            if let Some(what) = wrong(*label, &of_site) {
                complaints.push(format!("{name} (seed {seed}, site {site}, {how}): {what}"));
            }
        }
    }
    complaints
}

fn wrong(label: Label, judged: &[&Judged]) -> Option<String> {
    let is_leak = |judged: &&&Judged| judged.judgement.verdict == Verdict::Leak;
    let told = |judged: &Judged| {
        let said = &judged.judgement;
        format!("{:?} {:.2} at {} s: {}", said.verdict, said.confidence, judged.seconds, said.why)
    };
    let (from, due, until) = match label {
        Label::Healthy => (f64::INFINITY, f64::INFINITY, f64::INFINITY),
        Label::Leaks { from, within } => (from, from + within, f64::INFINITY),
        Label::Stops { from, until, within } => (from, f64::INFINITY, until + within),
    };
    let leaks = |when: &dyn Fn(f64) -> bool| judged.iter().filter(|judged| when(judged.seconds)).find(is_leak).copied();
    if let Some(early) = leaks(&|seconds| seconds < from) {
        return Some(format!("called a leak and is none: {}", told(early)));
    }
    if let Some(late) = leaks(&|seconds| seconds > until) {
        return Some(format!("still called a leak: {}", told(late)));
    }
    let after: Vec<&&Judged> = judged.iter().filter(|judged| judged.seconds >= due).collect();
    let missed: Vec<&&&Judged> = after.iter().filter(|judged| !is_leak(judged)).collect();
    // What is due only after the end may as well not be called one.
    let is_late = !after.is_empty() && leaks(&|seconds| seconds <= due).is_none();
    if is_late {
        let first = after.first().map_or_else(|| "never judged".to_owned(), |judged| told(judged));
        let when = leaks(&|_| true).map_or_else(|| "never".to_owned(), |judged| format!("{} s", judged.seconds));
        return Some(format!("not called a leak by {due} s, but {when}; {first}"));
    }
    let followed = after.last().map_or(0.0, |last| last.seconds - due);
    if followed >= FOLLOWED && missed.len() as f64 > (1.0 - MOSTLY) * after.len() as f64 {
        let last = missed.last().map_or_else(String::new, |judged| told(judged));
        return Some(format!("called no leak in {} of {}: {last}", missed.len(), after.len()));
    }
    None
}
