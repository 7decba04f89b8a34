//! What makes leaktrace end with 1 (`--fail-on`), for scripts and CI.

use std::str::FromStr;

use super::{Process, Stack, Verdict, python::Python};
use crate::{
    text::printable,
    units::{self, parse_rate, parse_size},
};

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// A stack is called a leak; or its program has ended, and until then it grew and gave nothing back.
    ///
    /// A leak takes minutes to be told from what fills up, and a test suite may be over in seconds.
    Leak,
    /// A stack grows by at least so many bytes a second, and is called a leak or growing.
    Growth(f64),
    /// At least so many bytes are held, by all stacks together.
    Bytes(u64),
}

impl Condition {
    /// The first of the conditions that holds, in a sentence. `processes` are those of the stacks, as they are now.
    pub fn first_of<'a>(
        conditions: &[Self],
        processes: &[Process],
        stacks: &(impl Iterator<Item = &'a Stack> + Clone),
    ) -> Option<String> {
        let has_ended = |pid| processes.iter().any(|process| process.pid == pid && !process.alive);
        conditions.iter().find_map(|condition| condition.holds(&has_ended, stacks.clone()))
    }

    /// The first of the conditions that holds for what Python code holds, in a sentence.
    pub fn first_of_python(conditions: &[Self], python: &Python) -> Option<String> {
        conditions.iter().find_map(|condition| condition.holds_for(python))
    }

    fn holds_for(self, python: &Python) -> Option<String> {
        let holders = python.holders.iter().map(|holder| (holder.verdict, holder.bytes_per_s));
        let all = holders.chain(python.cycles.iter().map(|cycle| (cycle.verdict, cycle.bytes_per_s)));
        let rates: Vec<f64> = match self {
            Self::Leak => all.filter(|(verdict, _)| *verdict == Verdict::Leak).map(|(_, rate)| rate).collect(),
            Self::Growth(limit) => all
                .filter(|(verdict, rate)| matches!(verdict, Verdict::Leak | Verdict::Growing) && *rate >= limit)
                .map(|(_, rate)| rate)
                .collect(),
            // The blocks that hold Python's objects are counted where they were allocated.
            Self::Bytes(_) => return None,
        };
        let fastest = units::rate(rates.iter().copied().fold(0.0, f64::max));
        let count = units::plural(rates.len() as u64, "Python container");
        match self {
            _ if rates.is_empty() => None,
            Self::Growth(limit) => Some(format!(
                "--fail-on growth: {count} found to grow by {} or more, up to {fastest}",
                units::rate(limit)
            )),
            _ => Some(format!("--fail-on leak: {count} found to leak, by up to {fastest}")),
        }
    }

    fn holds<'a>(
        self,
        has_ended: &dyn Fn(u32) -> bool,
        stacks: impl Iterator<Item = &'a Stack> + Clone,
    ) -> Option<String> {
        let fastest = |worst: &dyn Fn(&Stack) -> bool| {
            let worse = stacks.clone().filter(|stack| worst(stack));
            let count = worse.clone().count() as u64;
            let rate = worse.map(|stack| stack.bytes_per_s).fold(0.0, f64::max);
            (count > 0).then(|| (units::plural(count, "stack"), units::rate(rate)))
        };
        match self {
            Self::Leak => {
                let kept_all = |stack: &Stack| stack.held_count() > 0 && stack.held_count() == stack.allocated_count;
                let grew_to_the_end =
                    |stack: &Stack| stack.verdict == Verdict::Growing && has_ended(stack.pid) && kept_all(stack);
                if let Some((count, rate)) = fastest(&|stack| stack.verdict == Verdict::Leak) {
                    return Some(format!("--fail-on leak: {count} found to leak, by up to {rate}"));
                }
                let (count, rate) = fastest(&grew_to_the_end)?;
                let which = "grew until the program ended, and gave nothing back";
                Some(format!("--fail-on leak: {count} {which}, by up to {rate}"))
            }
            Self::Growth(limit) => {
                let grows = |stack: &Stack| matches!(stack.verdict, Verdict::Leak | Verdict::Growing);
                let (count, rate) = fastest(&|stack| grows(stack) && stack.bytes_per_s >= limit)?;
                Some(format!("--fail-on growth: {count} found to grow by {} or more, up to {rate}", units::rate(limit)))
            }
            Self::Bytes(limit) => {
                let held = stacks.fold(0, |sum: u64, stack| sum.saturating_add(stack.held_bytes()));
                let (held, limit) = (held >= limit).then(|| (units::bytes(held), units::bytes(limit)))?;
                Some(format!("--fail-on bytes: {held} are held, and {limit} was the limit"))
            }
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "leak" => Ok(Self::Leak),
            Some(("growth", rate)) => parse_rate(rate).map(Self::Growth),
            Some(("bytes", size)) => parse_size(size).map(Self::Bytes),
            _ => Err(format!(
                "\"{}\" is no condition; give leak, growth=RATE (such as 10K/s or 1M/min) or bytes=SIZE",
                printable(text)
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::sample, *};

    #[test]
    fn a_condition_is_read_as_it_is_typed() {
        assert_eq!("leak".parse(), Ok(Condition::Leak));
        assert_eq!("bytes=10M".parse(), Ok(Condition::Bytes(10 << 20)));
        assert_eq!("growth=60K/min".parse(), Ok(Condition::Growth(1024.0)));
        for wrong in ["", "Leak", "leak=1", "growth", "growth=", "growth=x", "bytes=-1", "bytes"] {
            assert!(wrong.parse::<Condition>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_first_condition_that_holds_is_said() {
        let report = sample::redis();
        let first =
            |conditions: &[Condition]| Condition::first_of(conditions, &report.processes, &report.stacks.iter());
        let said = first(&[Condition::Growth(1e9), Condition::Leak, Condition::Bytes(1)]).unwrap();
        assert_eq!(said, "--fail-on leak: 1 stack found to leak, by up to +99.0 KiB/s");
        assert_eq!(first(&[Condition::Bytes(u64::MAX), Condition::Growth(1e9)]), None);
        assert!(first(&[Condition::Growth(1000.0)]).unwrap().starts_with("--fail-on growth: 2 stacks"));
        assert!(first(&[Condition::Bytes(1 << 20)]).unwrap().starts_with("--fail-on bytes: 765"));
        assert_eq!(Condition::first_of(&[Condition::Leak], &[], &[].iter()), None);
    }

    #[test]
    fn what_grew_until_its_program_ended_and_gave_nothing_back_counts_as_a_leak() {
        let mut report = sample::redis();
        report.stacks[0].verdict = Verdict::Growing;
        let said = |report: &crate::report::Report| {
            Condition::first_of(&[Condition::Leak], &report.processes, &report.stacks.iter())
        };
        report.processes[0].alive = false;
        assert_eq!(said(&report), None, "some was given back");
        report.stacks[0].allocated_count = report.stacks[0].outstanding_count;
        assert!(said(&report).is_some_and(|said| said.contains("1 stack grew until the program ended")));
        report.processes[0].alive = true;
        assert_eq!(said(&report), None);
    }
}
