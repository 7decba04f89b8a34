//! Putting rows together: in order, no two neighbours alike.

use leak_ebpf::frame::{MAX_ROWS, NO_RULE, Row};

/// Rows under construction, in order of pc.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<u64>,
    /// Whether a row was left out because there were too many. Code from there on has no rule.
    pub is_cut: bool,
}

impl Rows {
    /// From `pc` on, which is nowhere below the last one, this rule holds.
    pub fn push(&mut self, pc: u32, rule: u16) {
        if self.rows.last().is_some_and(|last| Row::from_raw(*last).pc() == pc) {
            self.rows.pop();
        }
        if self.rows.last().map_or(NO_RULE, |last| Row::from_raw(*last).rule()) == rule {
            return;
        }
        // The last one there is room for has to say that nothing is known from there on.
        let room = MAX_ROWS as usize - self.rows.len();
        match room {
            0 => self.is_cut = true,
            1 if rule != NO_RULE => {
                self.is_cut = true;
                self.rows.push(Row::new(pc, NO_RULE).raw());
            }
            _ => self.rows.push(Row::new(pc, rule).raw()),
        }
    }

    /// The rows, without room for more.
    pub fn finish(mut self) -> Vec<u64> {
        self.rows.shrink_to_fit();
        self.rows
    }
}

/// The rows of `first`, and where those know nothing, the rows of `second`.
pub fn overlay(first: Vec<u64>, second: &[u64]) -> Rows {
    if second.is_empty() {
        return Rows { rows: first, is_cut: false };
    }
    let mut merged = Rows::default();
    let mut sources = [first.iter().copied().peekable(), second.iter().copied().peekable()];
    let mut rules = [NO_RULE; 2];
    while let Some(pc) = sources.iter_mut().filter_map(|rows| rows.peek()).map(|row| Row::from_raw(*row).pc()).min() {
        for (rows, rule) in sources.iter_mut().zip(&mut rules) {
            while let Some(row) = rows.next_if(|row| Row::from_raw(*row).pc() == pc) {
                *rule = Row::from_raw(row).rule();
            }
        }
        merged.push(pc, if rules[0] == NO_RULE { rules[1] } else { rules[0] });
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(pairs: &[(u32, u16)]) -> Vec<u64> {
        pairs.iter().map(|(pc, rule)| Row::new(*pc, *rule).raw()).collect()
    }

    fn pushed(pairs: &[(u32, u16)]) -> Vec<u64> {
        let mut rows = Rows::default();
        for (pc, rule) in pairs {
            rows.push(*pc, *rule);
        }
        rows.finish()
    }

    #[test]
    fn equal_neighbours_become_one_and_the_last_word_on_a_pc_counts() {
        assert_eq!(pushed(&[(1, 5), (2, 5), (3, 6)]), rows(&[(1, 5), (3, 6)]));
        assert_eq!(pushed(&[(1, 5), (4, NO_RULE), (4, 5), (6, NO_RULE)]), rows(&[(1, 5), (6, NO_RULE)]));
        assert_eq!(pushed(&[(1, 5), (1, 6), (1, 7)]), rows(&[(1, 7)]));
        assert_eq!(pushed(&[(1, NO_RULE), (2, 3)]), rows(&[(2, 3)]));
    }

    #[test]
    fn the_second_shows_where_the_first_knows_nothing() {
        let first = rows(&[(10, 1), (20, NO_RULE), (30, 2), (40, NO_RULE)]);
        let second = rows(&[(5, 7), (15, 8), (25, 9), (35, NO_RULE), (50, 7), (60, NO_RULE)]);
        let expected = [(5, 7), (10, 1), (20, 8), (25, 9), (30, 2), (40, NO_RULE), (50, 7), (60, NO_RULE)];
        assert_eq!(overlay(first.clone(), &second).finish(), rows(&expected));
        assert_eq!(overlay(first.clone(), &[]).finish(), first);
        assert_eq!(overlay(vec![], &second).finish(), second);
    }

    #[test]
    fn too_many_rows_are_cut_where_nothing_is_known_from_then_on() {
        let mut rows = Rows::default();
        for pc in 0..MAX_ROWS + 10 {
            rows.push(pc, (pc % 7) as u16);
        }
        assert!(rows.is_cut);
        let rows = rows.finish();
        assert_eq!(rows.len(), MAX_ROWS as usize);
        assert_eq!(rows.last(), Some(&Row::new(MAX_ROWS - 1, NO_RULE).raw()));
    }
}
