//! The report by what processes have in common: their name, their control group, their program's build; or each by itself.
//!
//! Pure. Sums are over the stacks that the report's filters let through, also those that it has no room for; a rate is that of
//! the stacks that leak or grow, for of what comes and goes the trend is noise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Process, Stack, Verdict};

/// What processes are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Each is by itself.
    Process,
    /// The kernel's name for it.
    Comm,
    /// Its control group.
    Cgroup,
    /// Its program, by path and build ID.
    Build,
}

impl By {
    /// As a person types it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Comm => "comm",
            Self::Cgroup => "cgroup",
            Self::Build => "build",
        }
    }
}

/// All groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Groups {
    /// What processes are grouped by.
    pub by: By,
    /// The groups, those with the fastest growth first, then those that hold most.
    pub groups: Vec<Group>,
}

/// Processes that have something in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What they have in common; empty where it is not known. Not to be printed raw.
    pub name: String,
    /// How many there are.
    pub processes: u64,
    /// Resident bytes of all.
    pub rss_bytes: u64,
    /// As in the report's totals.
    pub outstanding_bytes: u64,
    /// Blocks of those.
    pub outstanding_count: u64,
    /// As in the report's totals.
    pub unknown_bytes: u64,
    /// Blocks of those.
    pub unknown_count: u64,
    /// Bytes a second by which the stacks that leak or grow do.
    pub bytes_per_s: f64,
    /// Stacks that leak.
    pub leaking: u64,
    /// Stacks that grow and may come to rest.
    pub growing: u64,
}

impl Groups {
    /// The groups of these processes, given their stacks. `names` tells what a process is of in the way that is asked for.
    pub fn of<'stacks>(
        by: By,
        processes: &[Process],
        stacks: impl Iterator<Item = &'stacks Stack>,
        names: impl Fn(&Process) -> String,
    ) -> Self {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        let mut name_of: BTreeMap<u32, String> = BTreeMap::new();
        for process in processes {
            let name = names(process);
            let group = groups.entry(name.clone()).or_insert_with(|| Group { name: name.clone(), ..Group::default() });
            group.processes += 1;
            group.rss_bytes = group.rss_bytes.saturating_add(process.rss_bytes);
            name_of.insert(process.pid, name);
        }
        for stack in stacks {
            if let Some(group) = name_of.get(&stack.pid).and_then(|name| groups.get_mut(name)) {
                group.add(stack);
            }
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by(|a, b| {
            let by_size = b.held_bytes().cmp(&a.held_bytes());
            b.bytes_per_s.total_cmp(&a.bytes_per_s).then(by_size).then(b.rss_bytes.cmp(&a.rss_bytes))
        });
        Self { by, groups }
    }
}

impl Group {
    fn add(&mut self, stack: &Stack) {
        for (sum, part) in [
            (&mut self.outstanding_bytes, stack.outstanding_bytes),
            (&mut self.outstanding_count, stack.outstanding_count),
            (&mut self.unknown_bytes, stack.unknown_bytes),
            (&mut self.unknown_count, stack.unknown_count),
        ] {
            *sum = sum.saturating_add(part);
        }
        match stack.verdict {
            Verdict::Leak => self.leaking += 1,
            Verdict::Growing => self.growing += 1,
            _ => return,
        }
        self.bytes_per_s += stack.bytes_per_s.max(0.0);
    }

    /// Bytes that were not seen to be given back.
    pub fn held_bytes(&self) -> u64 {
        self.outstanding_bytes.saturating_add(self.unknown_bytes)
    }

    /// Blocks of those.
    pub fn held_count(&self) -> u64 {
        self.outstanding_count.saturating_add(self.unknown_count)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn a_group_has_the_sums_of_its_processes_and_only_what_grows_has_a_rate() {
        let report = sample::redis();
        let mut other = report.processes[0].clone();
        (other.pid, other.comm) = (7, "worker".to_owned());
        let mut same = other.clone();
        same.pid = 8;
        let processes = [report.processes[0].clone(), other, same];
        let mut stacks = report.stacks.clone();
        for (place, stack) in stacks.iter_mut().enumerate() {
            stack.pid = [4242, 7, 8][place % 3];
        }
        let Groups { groups, .. } = Groups::of(By::Comm, &processes, stacks.iter(), |process| process.comm.clone());
        let total = |of: fn(&Group) -> u64| groups.iter().map(of).sum::<u64>();
        assert_eq!(groups.iter().map(|group| group.processes).sum::<u64>(), 3);
        assert_eq!(total(Group::held_bytes), stacks.iter().map(Stack::held_bytes).sum::<u64>());
        assert_eq!(total(|group| group.leaking), stacks.iter().filter(|it| it.verdict == Verdict::Leak).count() as u64);
        let rate: f64 = stacks
            .iter()
            .filter(|stack| matches!(stack.verdict, Verdict::Leak | Verdict::Growing))
            .map(|stack| stack.bytes_per_s)
            .sum();
        assert!((groups.iter().map(|group| group.bytes_per_s).sum::<f64>() - rate).abs() < 1e-6);
        assert!(groups.is_sorted_by(|a, b| a.bytes_per_s >= b.bytes_per_s));
    }
}
