//! What makes leaktrace end with 1 (`--fail-on`), for scripts and CI.

use std::str::FromStr;

use super::{Stack, Verdict};
use crate::{
    text::printable,
    units::{self, parse_rate, parse_size},
};

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Condition {
    /// A stack is called a leak.
    Leak,
    /// A stack grows by at least so many bytes a second, and is called a leak or growing.
    Growth(f64),
    /// At least so many bytes are held, by all stacks together.
    Bytes(u64),
}

impl Condition {
    /// The first of the conditions that holds, in a sentence.
    pub fn first_of<'a>(conditions: &[Self], stacks: impl Iterator<Item = &'a Stack> + Clone) -> Option<String> {
        conditions.iter().find_map(|condition| condition.holds(stacks.clone()))
    }

    fn holds<'a>(self, stacks: impl Iterator<Item = &'a Stack> + Clone) -> Option<String> {
        let fastest = |worst: &dyn Fn(&Stack) -> bool| {
            let worse = stacks.clone().filter(|stack| worst(stack));
            let count = worse.clone().count() as u64;
            let rate = worse.map(|stack| stack.bytes_per_s).fold(0.0, f64::max);
            (count > 0).then(|| (units::plural(count, "stack"), units::rate(rate)))
        };
        match self {
            Self::Leak => {
                let (count, rate) = fastest(&|stack| stack.verdict == Verdict::Leak)?;
                Some(format!("--fail-on leak: {count} found to leak, by up to {rate}"))
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
        let first = |conditions: &[Condition]| Condition::first_of(conditions, report.stacks.iter());
        let said = first(&[Condition::Growth(1e9), Condition::Leak, Condition::Bytes(1)]).unwrap();
        assert_eq!(said, "--fail-on leak: 1 stack found to leak, by up to +99.0 KiB/s");
        assert_eq!(first(&[Condition::Bytes(u64::MAX), Condition::Growth(1e9)]), None);
        assert!(first(&[Condition::Growth(1000.0)]).unwrap().starts_with("--fail-on growth: 2 stacks"));
        assert!(first(&[Condition::Bytes(1 << 20)]).unwrap().starts_with("--fail-on bytes: 765"));
        assert_eq!(Condition::first_of(&[Condition::Leak], [].iter()), None);
    }
}
