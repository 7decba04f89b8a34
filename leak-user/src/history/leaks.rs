//! The leaks of a program over all its sessions: when each was first seen and last, how fast it was and is, and what became
//! of it.
//!
//! What leaks or grows is followed. That it does so no more is believed of a session that could have seen it: its
//! allocations were watched for almost as long as in the shortest session that did see it, and of samples so many would
//! have come that none is no chance.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use serde::Serialize;

use crate::{
    diff::{Builds, Calls, grows},
    growth::Verdict,
    session::{StackView, View},
    symbolize::Frame,
};

/// A session was watched for long enough if it was for this share of the shortest that saw the leak.
const LONG_ENOUGH: f64 = 0.8;

/// Where it would have taken so many samples, a leak is seen.
const SURE_SAMPLES: f64 = 10.0;

/// A rate is another if it is greater or less by this factor: trends are that unsure.
const OTHER_RATE: f64 = 1.5;

/// What became of a leak. What a person should look at first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was seen for the first time in the last session that could see it.
    New,
    /// It is faster than at first, or has come back.
    Worse,
    /// It goes on as before.
    Same,
    /// It is slower than at first; or it has come to rest, and holds what it did.
    Better,
    /// A session that could have seen it leak or grow has not.
    Fixed,
}

impl State {
    /// Its name, as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Better => "better",
            Self::Fixed => "fixed",
        }
    }
}

/// A stack that leaked or grew.
#[derive(Clone, Debug, Serialize)]
pub struct Leak {
    /// What became of it.
    pub state: State,
    /// The program's file: not to be printed raw.
    pub program: String,
    /// The worst verdict on it: `leak` or `growing`.
    pub verdict: Verdict,
    /// Where it was first seen.
    pub first: Sighting,
    /// Where it was last seen.
    pub last: Sighting,
    /// Bytes a second by which it grows now: as when last seen, or 0 where a later session has not seen it.
    pub bytes_per_s: f64,
    /// Sessions of the program that it was seen in.
    pub sessions: usize,
    /// Sessions of the program.
    pub of_sessions: usize,
    /// From the allocator's caller outwards, as last seen.
    pub frames: Vec<Frame>,
}

/// A session in which a leak was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Sighting {
    /// When tracing began, RFC 3339 in UTC.
    pub time: String,
    /// The session's file: not to be printed raw.
    pub file: String,
    /// The program's build ID, if one is known.
    pub build_id: Option<String>,
    /// Bytes a second by which it grew.
    pub bytes_per_s: f64,
    /// Bytes that it held at the end.
    pub held_bytes: u64,
}

/// What is to be known of a session beside its stacks.
#[derive(Clone, Copy)]
pub struct Session<'told> {
    pub time: &'told str,
    pub file: &'told str,
    pub build_id: Option<&'told str>,
    pub watched_s: f64,
    pub sample_bytes: u64,
}

/// What was seen so far.
#[derive(Default)]
pub struct Leaks {
    entries: Vec<Entry>,
    /// The entries that are known by the same key in every session.
    by_key: HashMap<String, usize>,
    sessions: usize,
}

struct Entry {
    frames: Vec<Frame>,
    has_key: bool,
    /// What the session knew that saw it last.
    builds: Rc<Builds>,
    verdict: Verdict,
    first: Sighting,
    last: Sighting,
    sessions: usize,
    /// Seconds that the shortest session watched that saw it.
    shortest_s: f64,
    /// The rate to hold later ones against: nothing, once it has come back.
    rate_before: f64,
    /// What a later session says that could have seen it and did not.
    missed: Option<State>,
}

/// By entry, its stacks of a session together, and the frames of one of them.
type Found<'view> = HashMap<usize, (Sum, &'view [Frame])>;

/// Equal stacks of a session together.
#[derive(Clone, Copy, Default)]
struct Sum {
    bytes_per_s: f64,
    held_bytes: u64,
    leaks: bool,
    is_young: bool,
}

impl Sum {
    fn add(&mut self, stack: &StackView) {
        self.bytes_per_s += stack.judgement.bytes_per_s;
        self.held_bytes = self.held_bytes.saturating_add(stack.last().held_bytes());
        self.leaks |= stack.judgement.verdict == Verdict::Leak;
        self.is_young |= stack.judgement.verdict == Verdict::New;
    }
}

impl Leaks {
    /// Takes the next session into account.
    pub fn add(&mut self, session: Session<'_>, view: &View) {
        self.sessions += 1;
        let builds = Rc::new(Builds::of(view));
        let growing = view.stacks.iter().filter(|stack| grows(stack.judgement.verdict)).collect();
        let all: Vec<usize> = (0..self.entries.len()).collect();
        let (seen, unknown) = self.find(&all, growing, &builds);
        let missing: Vec<usize> = all
            .into_iter()
            .filter(|place| !seen.contains_key(place))
            .filter(|place| self.entries[*place].missed.is_none() && self.entries[*place].would_be_seen(session))
            .collect();
        let (resting, _) = self.find(&missing, view.stacks.iter().collect(), &builds);
        for place in missing {
            self.entries[place].miss(resting.get(&place).map(|(sum, _)| *sum).unwrap_or_default());
        }
        for (place, (sum, frames)) in seen {
            self.entries[place].see(session, sum, frames, &builds);
        }
        let calls = Calls::between(&builds, &builds, false);
        let mut new: HashMap<_, (Sum, &[Frame])> = HashMap::new();
        for stack in unknown {
            new.entry(calls.after(&stack.frames)).or_insert((Sum::default(), &stack.frames)).0.add(stack);
        }
        for (sum, frames) in new.into_values() {
            let key = builds.key(frames);
            self.entries.push(Entry::new(session, sum, frames, &builds, key.is_some()));
            self.by_key.extend(key.map(|key| (key, self.entries.len() - 1)));
        }
    }

    /// The stacks that are of these entries, by entry, and those that are of none.
    fn find<'view>(
        &self,
        places: &[usize],
        mut stacks: Vec<&'view StackView>,
        builds: &Builds,
    ) -> (Found<'view>, Vec<&'view StackView>) {
        if places.is_empty() {
            return (Found::new(), stacks);
        }
        let mut found = Found::new();
        let mut unknown = Vec::new();
        let wanted: HashSet<usize> = places.iter().copied().collect();
        stacks.retain(|stack| {
            let Some(key) = builds.key(&stack.frames) else { return true };
            match self.by_key.get(&key).filter(|place| wanted.contains(place)) {
                Some(place) => found.entry(*place).or_insert((Sum::default(), &stack.frames)).0.add(stack),
                None => unknown.push(*stack),
            }
            false
        });
        // What has frames without names is the same by the builds that both sessions know.
        let mut by_session: Vec<(&Rc<Builds>, Vec<usize>)> = Vec::new();
        for place in places.iter().filter(|place| !self.entries[**place].has_key) {
            let own = &self.entries[*place].builds;
            match by_session.iter_mut().find(|(known, _)| Rc::ptr_eq(known, own)) {
                Some((_, places)) => places.push(*place),
                None => by_session.push((own, vec![*place])),
            }
        }
        for (known, places) in by_session {
            let calls = Calls::between(known, builds, false);
            let by_calls: HashMap<_, usize> =
                places.into_iter().map(|place| (calls.before(&self.entries[place].frames), place)).collect();
            stacks.retain(|stack| {
                let place = by_calls.get(&calls.after(&stack.frames));
                if let Some(place) = place {
                    found.entry(*place).or_insert((Sum::default(), &stack.frames)).0.add(stack);
                }
                place.is_none()
            });
        }
        unknown.append(&mut stacks);
        (found, unknown)
    }

    /// What became of each.
    pub fn tell(self, program: &str) -> Vec<Leak> {
        let of_sessions = self.sessions;
        let tell = |entry: Entry| Leak {
            state: entry.state(),
            program: program.to_owned(),
            verdict: entry.verdict,
            bytes_per_s: if entry.missed.is_some() { 0.0 } else { entry.last.bytes_per_s },
            first: entry.first,
            last: entry.last,
            sessions: entry.sessions,
            of_sessions,
            frames: entry.frames,
        };
        let mut leaks: Vec<Leak> = self.entries.into_iter().map(tell).collect();
        // Equal ones have an order too, so that the same sessions always read the same.
        leaks.sort_by_cached_key(|leak| format!("{:?}", leak.frames));
        leaks
    }
}

impl Entry {
    fn new(session: Session<'_>, sum: Sum, frames: &[Frame], builds: &Rc<Builds>, has_key: bool) -> Self {
        let sighting = Sighting::of(session, sum);
        Self {
            frames: frames.to_vec(),
            has_key,
            builds: Rc::clone(builds),
            verdict: if sum.leaks { Verdict::Leak } else { Verdict::Growing },
            first: sighting.clone(),
            last: sighting,
            sessions: 1,
            shortest_s: session.watched_s,
            rate_before: sum.bytes_per_s,
            missed: None,
        }
    }

    fn see(&mut self, session: Session<'_>, sum: Sum, frames: &[Frame], builds: &Rc<Builds>) {
        if self.missed.take().is_some() {
            self.rate_before = 0.0;
        }
        if sum.leaks {
            self.verdict = Verdict::Leak;
        }
        self.frames = frames.to_vec();
        self.builds = Rc::clone(builds);
        self.last = Sighting::of(session, sum);
        self.sessions += 1;
        self.shortest_s = self.shortest_s.min(session.watched_s);
    }

    /// It was not seen to leak or grow, though it would have been; what its stack holds is this.
    fn miss(&mut self, sum: Sum) {
        let holds_on = sum.held_bytes >= self.last.held_bytes / 2 && sum.held_bytes > 0;
        self.missed = match self.verdict {
            _ if sum.is_young => None,
            Verdict::Growing if holds_on => Some(State::Better),
            _ => Some(State::Fixed),
        };
    }

    fn would_be_seen(&self, session: Session<'_>) -> bool {
        let samples = self.last.bytes_per_s * session.watched_s / session.sample_bytes.max(1) as f64;
        session.watched_s >= LONG_ENOUGH * self.shortest_s && (session.sample_bytes <= 1 || samples >= SURE_SAMPLES)
    }

    fn state(&self) -> State {
        let (before, now) = (self.rate_before, self.last.bytes_per_s);
        match self.missed {
            Some(state) => state,
            None if self.sessions == 1 => State::New,
            None if now > before * OTHER_RATE => State::Worse,
            None if now < before / OTHER_RATE => State::Better,
            None => State::Same,
        }
    }
}

impl Sighting {
    fn of(session: Session<'_>, sum: Sum) -> Self {
        Self {
            time: session.time.to_owned(),
            file: session.file.to_owned(),
            build_id: session.build_id.map(str::to_owned),
            bytes_per_s: sum.bytes_per_s,
            held_bytes: sum.held_bytes,
        }
    }
}
