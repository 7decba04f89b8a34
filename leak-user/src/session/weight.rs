//! The figure by which stacks are weighed where each can show but one, as in a flame graph.

use std::{fmt, str::FromStr};

use super::StackView;
use crate::text::printable;

/// A figure of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// Bytes held at the last snapshot.
    #[default]
    Outstanding,
    /// Bytes held more than at the first.
    Growth,
    /// Bytes allocated between the two.
    Allocated,
}

impl Weight {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Outstanding, Self::Growth, Self::Allocated];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outstanding => "outstanding",
            Self::Growth => "growth",
            Self::Allocated => "allocated",
        }
    }

    /// What the stack weighs, in bytes. What has shrunk has not grown: it weighs nothing by growth.
    pub fn of(self, stack: &StackView) -> u64 {
        match self {
            Self::Outstanding => stack.last().held_bytes(),
            Self::Growth => u64::try_from(stack.growth_bytes()).unwrap_or_default(),
            Self::Allocated => stack.allocated_bytes(),
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let weight = Self::ALL.into_iter().find(|weight| weight.name().eq_ignore_ascii_case(text));
        weight.ok_or_else(|| format!("\"{}\" is not a weight: type outstanding, growth or allocated", printable(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_stack_weighs_what_it_holds_what_it_gained_or_what_it_was_given() {
        let mut stack = sample::redis().stacks.remove(2);
        let (first, last) = (stack.first(), stack.last());
        assert_eq!(Weight::Outstanding.of(&stack), last.held_bytes());
        assert_eq!(Weight::Growth.of(&stack), last.held_bytes() - first.held_bytes());
        assert_eq!(Weight::Allocated.of(&stack), last.held_bytes() + last.freed_bytes);
        stack.points.reverse();
        assert_eq!(Weight::Growth.of(&stack), 0, "it shrank");
    }

    #[test]
    fn a_weight_is_known_by_its_name() {
        for weight in Weight::ALL {
            assert_eq!(weight.to_string().parse(), Ok(weight));
        }
        assert!("x\x1b".parse::<Weight>().unwrap_err().starts_with("\"x\\x1b\" is not a weight"));
    }
}
