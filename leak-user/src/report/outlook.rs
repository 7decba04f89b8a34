//! What the stacks amount to together: how bad it is, how fast memory goes, and when it is used up.
//!
//! Pure. The rate is that of the stacks that leak or, where none does, of those that grow: of what comes and goes, the
//! trend is noise. The limits are those of the processes' control groups and the memory that the system has left.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{Stack, Verdict, python::Python};
use crate::{
    growth::Severity,
    process::memory_use::Memory,
    units::{bytes, plural, rate, seconds},
};

/// Farther off than this, memory running out is nobody's worry: 10 years in seconds.
const FAR: f64 = 10.0 * 365.25 * 86_400.0;

/// Slower than this nothing is said to run out, in bytes a second.
const SLOWEST: f64 = 1.0;

/// What all stacks amount to, also those that a report has no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// How bad it is.
    pub severity: Severity,
    /// Stacks that were judged.
    pub judged: u64,
    /// Stacks that are too young to be judged.
    pub young: u64,
    /// Stacks that leak.
    pub leaking: u64,
    /// Stacks that grow and may come to rest.
    pub growing: u64,
    /// Bytes a second by which those that leak do or, where none does, by which those that grow do.
    pub bytes_per_s: f64,
    /// Python containers, and types of objects that nothing holds, that leak.
    #[serde(default)]
    pub python_leaking: u64,
    /// Those that grow and may come to rest.
    #[serde(default)]
    pub python_growing: u64,
    /// Bytes a second by which those that leak do or, where none does, by which those that grow do. Not to be added to
    /// `bytes_per_s`: the same memory may be in a stack that has asked for it.
    #[serde(default)]
    pub python_bytes_per_s: f64,
    /// The limit that is reached first at this rate, if one is.
    pub limit: Option<Limit>,
}

/// A limit that is coming up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// Whose.
    pub of: Limiter,
    /// For a control group the bytes that it may use; for the system those that it has left.
    pub bytes: u64,
    /// Seconds until it is reached.
    pub seconds_left: f64,
}

/// What limits memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limiter {
    /// A control group.
    Cgroup,
    /// The system.
    System,
}

/// What the outlook takes of a stack: its process, its verdict, how sure that is, and its rate in bytes a second.
pub type Told = (u32, Verdict, f64, f64);

impl Stack {
    /// What an outlook takes of it.
    pub fn told(&self) -> Told {
        (self.pid, self.verdict, self.confidence, self.bytes_per_s)
    }
}

impl Outlook {
    /// Of these stacks. `memory` is asked for what is known of their processes' memory where any of it goes.
    pub fn of(stacks: impl Iterator<Item = Told> + Clone, memory: impl FnOnce() -> Vec<Memory>) -> Self {
        let number = |verdict| stacks.clone().filter(|(_, told, ..)| *told == verdict).count() as u64;
        let (leaking, growing, young) = (number(Verdict::Leak), number(Verdict::Growing), number(Verdict::New));
        let what = if leaking > 0 { Verdict::Leak } else { Verdict::Growing };
        let rising = stacks.clone().filter(|(_, verdict, ..)| *verdict == what);
        let rate_of = |is_in: &dyn Fn(u32) -> bool| -> f64 {
            let rates = rising.clone().filter(|(pid, ..)| is_in(*pid)).map(|(.., bytes_per_s)| bytes_per_s.max(0.0));
            rates.sum::<f64>().min(f64::MAX)
        };
        let bytes_per_s = rate_of(&|_| true);
        let limit = (bytes_per_s >= SLOWEST).then(|| soonest(&memory(), rate_of)).flatten();
        let severities = stacks.clone().map(|(_, verdict, confidence, _)| Severity::of(verdict, confidence));
        Self {
            severity: severities.max().unwrap_or_default(),
            judged: stacks.count() as u64 - young,
            young,
            leaking,
            growing,
            bytes_per_s,
            limit,
            ..Self::default()
        }
    }

    /// With what Python code holds, too.
    #[must_use]
    pub fn with_python(mut self, python: &Python) -> Self {
        let holders = python.holders.iter().map(|holder| (holder.verdict, holder.confidence, holder.bytes_per_s));
        let cycles = python.cycles.iter().map(|cycle| (cycle.verdict, cycle.confidence, cycle.bytes_per_s));
        let all: Vec<_> = holders.chain(cycles).collect();
        let number = |wanted| all.iter().filter(|(verdict, ..)| *verdict == wanted).count() as u64;
        (self.python_leaking, self.python_growing) = (number(Verdict::Leak), number(Verdict::Growing));
        let what = if self.python_leaking > 0 { Verdict::Leak } else { Verdict::Growing };
        let rising = all.iter().filter(|(verdict, ..)| *verdict == what);
        self.python_bytes_per_s = rising.map(|(.., rate)| rate.max(0.0)).sum::<f64>().min(f64::MAX);
        let severities = all.iter().map(|(verdict, confidence, _)| Severity::of(*verdict, *confidence));
        self.severity = severities.max().unwrap_or_default().max(self.severity);
        self
    }

    /// Of each of these processes, the bytes a second by which its stacks that leak do or, where none does, by which those
    /// that grow do.
    pub fn rates(pids: impl Iterator<Item = u32>, stacks: impl Iterator<Item = Told>) -> Vec<f64> {
        let mut rates: HashMap<u32, (Option<f64>, f64)> = HashMap::new();
        for (pid, verdict, _, bytes_per_s) in stacks {
            let (leaking, growing) = rates.entry(pid).or_default();
            match verdict {
                Verdict::Leak => *leaking.get_or_insert_default() += bytes_per_s.max(0.0),
                Verdict::Growing => *growing += bytes_per_s.max(0.0),
                _ => {}
            }
        }
        let of = |pid| rates.get(&pid).map_or(0.0, |(leaking, growing)| leaking.unwrap_or(*growing));
        pids.map(|pid| of(pid).min(f64::MAX)).collect()
    }

    /// What it is, in words without a full stop, but for how bad; none where there is no stack.
    pub fn words(&self) -> Option<String> {
        let Some(python) = self.python_words() else { return self.stack_words() };
        let stacks = (self.leaking + self.growing > 0).then(|| self.stack_words()).flatten();
        Some(stacks.map_or_else(|| python.clone(), |stacks| format!("{python}; {stacks}")))
    }

    /// What Python code holds, in words.
    fn python_words(&self) -> Option<String> {
        let fast = rate(self.python_bytes_per_s);
        let fast = fast.trim_start_matches('+');
        match (self.python_leaking, self.python_growing) {
            (0, 0) => None,
            (0, 1) => Some(format!("1 Python container grows by {fast}")),
            (0, growing) => Some(format!("{} grow by {fast}", plural(growing, "Python container"))),
            (1, _) => Some(format!("1 Python container leaks {fast}")),
            (leaking, _) => Some(format!("{} leak {fast}", plural(leaking, "Python container"))),
        }
    }

    fn stack_words(&self) -> Option<String> {
        let fast = || rate(self.bytes_per_s).trim_start_matches('+').to_owned();
        let what = match (self.leaking, self.growing) {
            (0, 0) if self.judged > 0 => return Some(format!("nothing leaks or grows, of {}", self.of_judged())),
            (0, 0) if self.young > 0 => return Some("too early to say".to_owned()),
            (0, 0) => return None,
            (0, growing) => format!("{} by {}", number(growing, "grows", "grow"), fast()),
            (leaking, 0) => format!("{} {}", number(leaking, "leaks", "leak"), fast()),
            (leaking, growing) => {
                let more = if growing == 1 { "grows" } else { "grow" };
                format!("{} {}, {growing} more {more}", number(leaking, "leaks", "leak"), fast())
            }
        };
        Some(what + &self.end().map_or_else(String::new, |end| format!("; {end}")))
    }

    /// When memory is used up, in words.
    pub fn end(&self) -> Option<String> {
        let Limit { of, bytes: size, seconds_left } = self.limit?;
        let what = match of {
            Limiter::Cgroup => format!("the limit of {} is reached", bytes(size)),
            Limiter::System => format!("the {} that the system has left are used up", bytes(size)),
        };
        Some(format!("at this rate {what} in {}", seconds(seconds_left)))
    }

    fn of_judged(&self) -> String {
        let young = if self.young > 0 { format!(" and {} too young to say", self.young) } else { String::new() };
        format!("{} judged{young}", plural(self.judged, "stack"))
    }
}

fn number(stacks: u64, one: &str, more: &str) -> String {
    format!("{} {}", plural(stacks, "stack"), if stacks == 1 { one } else { more })
}

fn soonest(memory: &[Memory], rate_of: impl Fn(&dyn Fn(u32) -> bool) -> f64) -> Option<Limit> {
    let reached = |of, bytes, room: u64, bytes_per_s: f64| {
        let seconds_left = room as f64 / bytes_per_s;
        (bytes_per_s >= SLOWEST && seconds_left < FAR).then_some(Limit { of, bytes, seconds_left })
    };
    let groups = memory.iter().filter_map(|one| {
        let group = one.cgroup.as_ref()?;
        let limit = group.limit_bytes?;
        let is_in = |pid: u32| memory.iter().any(|other| other.pid == pid && other.is_in(group));
        reached(Limiter::Cgroup, limit, limit.saturating_sub(group.bytes), rate_of(&is_in))
    });
    let left = memory.iter().filter_map(|one| one.system_available_bytes).min();
    let system = left.and_then(|left| reached(Limiter::System, left, left, rate_of(&|_| true)));
    groups.chain(system).min_by(|a, b| a.seconds_left.total_cmp(&b.seconds_left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::cgroup::Cgroup;

    const MIB: u64 = 1 << 20;

    fn memory(pid: u32, group: &str, left: u64) -> Memory {
        let limit_bytes = (!group.is_empty()).then_some(512 * MIB);
        let cgroup = Cgroup { path: group.into(), bytes: 412 * MIB, limit_bytes };
        Memory { pid, cgroup: Some(cgroup), system_available_bytes: Some(left), ..Memory::default() }
    }

    fn of(stacks: &[Told], memory: &[Memory]) -> Outlook {
        Outlook::of(stacks.iter().copied(), || memory.to_vec())
    }

    const LEAK: Told = (1, Verdict::Leak, 0.95, MIB as f64);
    const GROWING: Told = (2, Verdict::Growing, 0.99, 4.0 * MIB as f64);
    const CHURN: Told = (1, Verdict::Churn, 0.9, 9e9);

    #[test]
    fn what_leaks_counts_and_what_may_only_where_nothing_does() {
        let both = of(&[LEAK, CHURN, GROWING], &[]);
        assert_eq!((both.severity, both.leaking, both.growing), (Severity::Critical, 1, 1));
        assert_eq!(both.words().unwrap(), "1 stack leaks 1.0 MiB/s, 1 more grows");
        let one = of(&[GROWING, GROWING], &[]);
        assert_eq!((one.severity, one.words().unwrap()), (Severity::Warning, "2 stacks grow by 8.0 MiB/s".to_owned()));
    }

    #[test]
    fn a_container_that_leaks_is_as_bad_as_a_stack() {
        let python = crate::report::python::sample::sessions();
        let quiet = of(&[CHURN], &[]).with_python(&python);
        assert_eq!(quiet.severity, Severity::Critical);
        assert_eq!(quiet.words().unwrap(), "1 Python container leaks 310.0 KiB/s");
        let both = of(&[LEAK], &[]).with_python(&python);
        assert_eq!(both.words().unwrap(), "1 Python container leaks 310.0 KiB/s; 1 stack leaks 1.0 MiB/s");
        assert_eq!(of(&[LEAK], &[]).with_python(&Python::default()), of(&[LEAK], &[]));
    }

    #[test]
    fn each_process_has_the_rate_of_what_leaks_in_it_and_else_of_what_grows() {
        let told = [LEAK, CHURN, GROWING, (1, Verdict::Growing, 0.9, 5.0), (3, Verdict::Leak, 0.9, -7.0)];
        let rates = Outlook::rates([2, 1, 3, 4].into_iter(), told.into_iter());
        assert_eq!(rates, [4.0 * MIB as f64, MIB as f64, 0.0, 0.0]);
    }

    #[test]
    fn the_limit_that_is_reached_first_is_told() {
        let outlook = of(&[LEAK], &[memory(1, "/a", 10_000 * MIB)]);
        assert_eq!(outlook.end().unwrap(), "at this rate the limit of 512.0 MiB is reached in 1 m 40 s");
        let outlook = of(&[LEAK], &[memory(1, "/a", 10 * MIB)]);
        assert_eq!(outlook.end().unwrap(), "at this rate the 10.0 MiB that the system has left are used up in 10 s");
        assert_eq!(of(&[LEAK], &[]).limit, None);
    }

    #[test]
    fn a_control_group_fills_by_what_is_in_it_alone() {
        let leak_of_two = (2, Verdict::Leak, 0.95, 9.0 * MIB as f64);
        let apart = of(&[LEAK, leak_of_two], &[memory(1, "/a", u64::MAX), memory(2, "", u64::MAX)]);
        let together = of(&[LEAK, leak_of_two], &[memory(1, "/a", u64::MAX), memory(2, "/a", u64::MAX)]);
        let left = |outlook: Outlook| outlook.limit.unwrap().seconds_left;
        assert!((left(apart) - 100.0).abs() < 1e-6 && (left(together) - 10.0).abs() < 1e-6);
    }

    #[test]
    fn where_nothing_grows_nobody_is_asked_and_it_is_good() {
        let outlook = Outlook::of([CHURN].into_iter(), || unreachable!());
        assert_eq!(outlook.words().unwrap(), "nothing leaks or grows, of 1 stack judged");
        assert_eq!(outlook.severity, Severity::Good);
        let young = of(&[(1, Verdict::New, 0.0, 1e9)], &[]);
        assert_eq!((young.words().unwrap(), young.judged), ("too early to say".to_owned(), 0));
        assert_eq!(of(&[], &[]).words(), None);
    }

    #[test]
    fn what_takes_longer_than_a_machine_lives_is_not_foretold() {
        assert_eq!(of(&[(1, Verdict::Leak, 0.9, 1.5)], &[memory(1, "", 1 << 40)]).limit, None);
        assert_eq!(of(&[(1, Verdict::Leak, 0.9, 0.5)], &[memory(1, "", 10)]).limit, None);
    }
}
