//! The rules of all modules, each once.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use leak_ebpf::frame::{MAX_RULES, Rule, Unsupported};

/// A table of different rules, which only grows. Modules share most of theirs: a few thousand serve a large system.
#[derive(Clone, Debug)]
pub struct Rules {
    all: Vec<Rule>,
    // The hash needs no secret: at most MAX_RULES keys can collide.
    indices: HashMap<Rule, u16, FixedState>,
    refused: u64,
}

impl Rules {
    /// Index of the rule that stands for all that found the table full.
    pub const FULL: u16 = 0;

    /// A table with nothing but the rule at [`Rules::FULL`].
    pub fn new() -> Self {
        let mut rules = Self { all: Vec::new(), indices: HashMap::default(), refused: 0 };
        rules.intern(Rule::unsupported(Unsupported::TableFull));
        rules
    }

    /// The rule's index, [`Rules::FULL`] when it is not in the table and the table has no more room.
    pub fn intern(&mut self, rule: Rule) -> u16 {
        if let Some(index) = self.indices.get(&rule) {
            return *index;
        }
        if self.all.len() >= MAX_RULES {
            self.refused += 1;
            return Self::FULL;
        }
        let index = self.all.len() as u16;
        self.all.push(rule);
        self.indices.insert(rule, index);
        index
    }

    /// All rules by index. New ones come at the end; those that are there stay as they are.
    pub fn all(&self) -> &[Rule] {
        &self.all
    }

    /// How many times a rule was refused because the table was full.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use leak_ebpf::frame::{Cfa, NO_RULE, Saved};

    use super::*;

    #[test]
    fn each_rule_is_stored_once_and_a_full_table_refuses_and_counts() {
        let mut rules = Rules::new();
        let nth = |n: usize| Rule::new(Cfa::Sp(n as i32), Saved::Kept, Saved::Kept).expect("it fits");
        for n in 0..MAX_RULES - 1 {
            assert_eq!(usize::from(rules.intern(nth(n))), n + 1);
        }
        assert_eq!((rules.intern(nth(0)), rules.all().len(), rules.refused()), (1, MAX_RULES, 0));
        assert_eq!((rules.intern(nth(MAX_RULES)), rules.refused()), (Rules::FULL, 1));
        assert_eq!(rules.all()[usize::from(Rules::FULL)], Rule::unsupported(Unsupported::TableFull));
        assert!(rules.intern(nth(MAX_RULES - 2)) < NO_RULE);
    }
}
