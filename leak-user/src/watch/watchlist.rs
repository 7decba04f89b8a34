//! What is known of each process over time, and who is to be looked at next.
//!
//! Pure: the time comes with each call, in seconds of any clock that does not go back. A process is looked at when its memory
//! rises ([`rise`]), the fastest first, no more than so many at a time; then not again for a while, which doubles each time.
//! Where processes take turns, as workers that are replaced, none of them rises for long and their control group does: then
//! the largest of it is looked at.

use std::collections::HashMap;

use super::reason::Reason;
use crate::{
    growth::{History, Moment, Rise, rise},
    process::who::{Names, Who},
};

/// What is demanded of a rise, and how often it leads to a look.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Shortest time in which it must show, in seconds.
    pub shortest_s: f64,
    /// Least bytes of it.
    pub least_bytes: f64,
    /// Processes that are looked at at a time.
    pub at_once: usize,
    /// Seconds after a first look in which there is no second.
    pub cool_down_s: f64,
}

/// No longer than a day a process goes without a look, if it goes on rising.
const LONGEST_COOL_DOWN_S: f64 = 86_400.0;

/// A process is asked for its control group when it has been seen so often: who starts one puts it there after that.
const SETTLED: u64 = 1;

/// What is to be done about a process that rises. Each is told once, until another is true.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Look at it.
    Look(Who, Names, Rise),
    /// Do not, for this reason.
    Pass(Who, Names, Rise, Reason),
}

/// All processes.
#[derive(Debug)]
pub struct Watchlist {
    terms: Terms,
    known: HashMap<Who, Entry>,
    /// By path, what all processes of a control group have for themselves.
    groups: HashMap<String, Group>,
    round: u64,
}

/// A control group.
#[derive(Debug, Default)]
struct Group {
    history: History,
    /// What its processes had in the last round.
    bytes: u64,
    has_members: bool,
    looks: Looks,
}

/// The looks at something.
#[derive(Clone, Copy, Debug, Default)]
struct Looks {
    number: u32,
    /// There is none before this time.
    rests_until: f64,
}

impl Looks {
    /// One more, after which there is none for so many seconds.
    fn add(&mut self, now: f64, cool_down_s: f64) -> f64 {
        let longest = LONGEST_COOL_DOWN_S.max(cool_down_s);
        let rest = (cool_down_s * 2_f64.powi(self.number.min(32) as i32)).min(longest);
        *self = Self { number: self.number + 1, rests_until: now + rest };
        rest
    }
}

#[derive(Debug)]
struct Entry {
    history: History,
    bytes: u64,
    group: String,
    /// Rounds in which it was seen, and the last one of them.
    rounds: u64,
    seen: u64,
    is_looked_at: bool,
    looks: Looks,
    /// Why it was passed over last.
    passed: Option<Reason>,
}

impl Watchlist {
    /// Of no process yet.
    pub fn new(terms: Terms) -> Self {
        Self { terms, known: HashMap::new(), groups: HashMap::new(), round: 0 }
    }

    /// Takes note of a process: what it has for itself now. `group` says in which control group it is.
    pub fn note(&mut self, now: f64, who: Who, bytes: u64, group: impl FnOnce(Who) -> String) {
        let entry = self.known.entry(who).or_insert_with(|| Entry {
            history: History::new(),
            bytes,
            group: String::new(),
            rounds: 0,
            seen: 0,
            is_looked_at: false,
            looks: Looks::default(),
            passed: None,
        });
        if entry.rounds == SETTLED {
            entry.group = group(who);
        }
        entry.rounds += 1;
        entry.seen = self.round;
        entry.bytes = bytes;
        entry.history.tick(level(now, bytes));
    }

    /// All have been noted: forgets those that were not, and decides. `names` says what a process is known by, if it is still
    /// there, and `objection` why it may not be looked at.
    pub fn decide(
        &mut self,
        now: f64,
        names: impl Fn(Who) -> Option<Names>,
        objection: impl Fn(&Names) -> Option<Reason>,
    ) -> Vec<Decision> {
        let (round, terms) = (self.round, self.terms);
        self.round += 1;
        self.known.retain(|_, entry| entry.seen == round);
        self.sum_up(now);
        let mut free = terms.at_once.saturating_sub(self.known.values().filter(|entry| entry.is_looked_at).count());
        let mut rising = self.rising(now);
        rising.extend(self.rising_groups(now));
        rising.sort_by(|(_, one), (_, other)| other.bytes_per_s().total_cmp(&one.bytes_per_s()));
        let mut decisions = Vec::new();
        for (who, rise) in rising {
            let (Some(entry), Some(names)) = (self.known.get_mut(&who), names(who)) else { continue };
            let why = objection(&names).or_else(|| (free == 0).then_some(Reason::Busy(terms.at_once)));
            let Some(why) = why else {
                free -= 1;
                entry.is_looked_at = true;
                entry.passed = None;
                if let Some(group) = self.groups.get_mut(&entry.group) {
                    group.looks.add(now, terms.cool_down_s);
                }
                decisions.push(Decision::Look(who, names, rise));
                continue;
            };
            if entry.passed != Some(why) {
                entry.passed = Some(why);
                decisions.push(Decision::Pass(who, names, rise, why));
            }
        }
        decisions
    }

    /// A look has ended. Gives for how many seconds there will be none.
    pub fn looked(&mut self, now: f64, who: Who) -> f64 {
        let cool_down = self.terms.cool_down_s;
        self.known.get_mut(&who).map_or(cool_down, |entry| {
            entry.is_looked_at = false;
            entry.looks.add(now, cool_down)
        })
    }

    /// Adds up what the processes of each control group have.
    fn sum_up(&mut self, now: f64) {
        for group in self.groups.values_mut() {
            (group.bytes, group.has_members) = (0, false);
        }
        for entry in self.known.values().filter(|entry| !entry.group.is_empty()) {
            if !self.groups.contains_key(&entry.group) {
                self.groups.insert(entry.group.clone(), Group::default());
            }
            if let Some(group) = self.groups.get_mut(&entry.group) {
                group.bytes += entry.bytes;
                group.has_members = true;
            }
        }
        self.groups.retain(|_, group| group.has_members);
        for group in self.groups.values_mut() {
            group.history.tick(level(now, group.bytes));
        }
    }

    fn rise_of(&self, history: &History) -> Option<Rise> {
        rise(history.moments(), self.terms.shortest_s, self.terms.least_bytes)
    }

    /// The processes that rise and may be looked at.
    fn rising(&self, now: f64) -> Vec<(Who, Rise)> {
        let due = self.known.iter().filter(|(_, entry)| !entry.is_looked_at && entry.looks.rests_until <= now);
        due.filter_map(|(who, entry)| Some((*who, self.rise_of(&entry.history)?))).collect()
    }

    /// The largest process of each control group that rises and of which no process does.
    fn rising_groups(&self, now: f64) -> Vec<(Who, Rise)> {
        let due = self.groups.iter().filter(|(_, group)| group.looks.rests_until <= now);
        let largest = due.filter_map(|(path, group)| {
            let rise = self.rise_of(&group.history)?;
            let members = || self.known.iter().filter(|(_, entry)| entry.group == *path);
            if members().any(|(_, entry)| entry.is_looked_at || self.rise_of(&entry.history).is_some()) {
                return None;
            }
            let (who, _) = members().max_by_key(|(_, entry)| entry.bytes)?;
            Some((*who, Rise { why: format!("is the largest of a control group that {}", rise.why), ..rise }))
        });
        largest.collect()
    }

    /// How many processes there are.
    pub fn len(&self) -> usize {
        self.known.len()
    }
}

fn level(now: f64, bytes: u64) -> Moment {
    Moment { seconds: now, held_bytes: bytes as f64, ..Moment::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { shortest_s: 300.0, least_bytes: 1_048_576.0, at_once: 1, cool_down_s: 1800.0 };

    fn who(pid: u32) -> Who {
        Who { pid, start_ticks: 1 }
    }

    /// In a control group of its own.
    fn alone(who: Who) -> String {
        format!("/{}-{}", who.pid, who.start_ticks)
    }

    fn named(who: Who) -> Names {
        Names { comm: format!("program-{}", who.pid), ..Names::default() }
    }

    /// Rounds of 15 seconds, of processes with so many bytes a second more each; gives the decisions with their seconds.
    fn rounds(list: &mut Watchlist, from: u32, to: u32, rates: &[(u32, f64)]) -> Vec<(f64, Decision)> {
        let mut decisions = Vec::new();
        for round in from..to {
            let now = f64::from(round) * 15.0;
            for (pid, rate) in rates {
                list.note(now, who(*pid), (1e8 + rate * now) as u64, alone);
            }
            decisions
                .extend(list.decide(now, |who| Some(named(who)), |_| None).into_iter().map(|decision| (now, decision)));
        }
        decisions
    }

    #[test]
    fn the_one_that_leaks_among_three_hundred_is_looked_at_within_six_minutes() {
        let mut rates: Vec<(u32, f64)> = (1..300).map(|pid| (pid, 0.0)).collect();
        rates.push((300, 500_000.0 / 60.0));
        let decisions = rounds(&mut Watchlist::new(TERMS), 0, 24, &rates);
        let [(when, Decision::Look(looked_at, ..))] = decisions.as_slice() else { panic!("{decisions:?}") };
        assert_eq!(looked_at.pid, 300);
        assert!(*when <= 360.0, "{when}");
    }

    #[test]
    fn the_fastest_goes_first_and_the_next_is_told_once_that_it_waits() {
        let mut list = Watchlist::new(TERMS);
        let decisions = rounds(&mut list, 0, 40, &[(1, 20_000.0), (2, 90_000.0)]);
        let told: Vec<_> = decisions
            .iter()
            .map(|(_, decision)| match decision {
                Decision::Look(who, ..) => (who.pid, "look"),
                Decision::Pass(who, _, _, why) => (who.pid, if *why == Reason::Busy(1) { "wait" } else { "?" }),
            })
            .collect();
        assert_eq!(told, [(2, "look"), (1, "wait")]);
        list.looked(600.0, who(2));
        let decisions = rounds(&mut list, 40, 42, &[(1, 20_000.0), (2, 90_000.0)]);
        assert!(matches!(decisions.as_slice(), [(_, Decision::Look(who, ..))] if who.pid == 1), "{decisions:?}");
    }

    #[test]
    fn after_a_look_there_is_none_for_a_while_that_doubles() {
        let mut list = Watchlist::new(TERMS);
        let mut looks = Vec::new();
        for round in 0..4000 {
            for (now, decision) in rounds(&mut list, round, round + 1, &[(1, 20_000.0)]) {
                assert!(matches!(decision, Decision::Look(..)));
                looks.push(now);
                list.looked(now, who(1));
            }
        }
        let waits: Vec<f64> = looks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.len() >= 4 && waits.windows(2).all(|pair| pair[1] > 1.9 * pair[0]), "{waits:?}");
    }

    #[test]
    fn one_that_is_denied_or_gone_is_not_looked_at() {
        let mut list = Watchlist::new(TERMS);
        let mut told = Vec::new();
        for round in 0..40 {
            let now = f64::from(round) * 15.0;
            list.note(now, who(1), 100_000_000 + round as u64 * 1_000_000, alone);
            list.note(now, who(2), 100_000_000 + round as u64 * 1_000_000, alone);
            let names = |who: Who| (who.pid == 1).then(|| named(who));
            told.extend(list.decide(now, names, |_| Some(Reason::Denied)));
        }
        assert!(
            matches!(told.as_slice(), [Decision::Pass(who, .., why)] if who.pid == 1 && *why == Reason::Denied),
            "{told:?}"
        );
    }

    #[test]
    fn a_control_group_whose_workers_take_turns_is_looked_at_through_its_largest() {
        let mut list = Watchlist::new(TERMS);
        let mut looks = Vec::new();
        for round in 0..100_u32 {
            let now = f64::from(round) * 15.0;
            // Each lives for four rounds, and is larger than the one before by what that left behind.
            for worker in 0..3 {
                let who = Who { pid: 10 + worker, start_ticks: u64::from(round + worker) / 4 };
                list.note(now, who, 50_000_000 + u64::from(worker) + u64::from(round) * 200_000, |_| "/workers".into());
            }
            looks.extend(list.decide(now, |who| Some(named(who)), |_| None));
        }
        let [Decision::Look(who, _, rise)] = looks.as_slice() else { panic!("{looks:?}") };
        assert_eq!(who.pid, 12);
        assert!(rise.why.starts_with("is the largest of a control group that grew in"), "{}", rise.why);
    }

    #[test]
    fn another_process_with_the_same_pid_begins_anew() {
        let mut list = Watchlist::new(TERMS);
        for round in 0..100_u64 {
            let now = round as f64 * 15.0;
            let who = Who { pid: 1, start_ticks: round / 10 };
            list.note(now, who, 100_000_000 + round * 1_000_000, alone);
            assert_eq!(list.decide(now, |who| Some(named(who)), |_| None), []);
        }
        assert_eq!(list.len(), 1);
    }
}
