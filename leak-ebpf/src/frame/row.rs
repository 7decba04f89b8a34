//! Where in a module which rule holds.

/// A stretch of a module's code: from its pc to that of the next row, one rule holds.
///
/// The pc is in the upper 32 bits, counted from the module's base, and the rule's index in the lowest 16, so that rows
/// sort by pc as the numbers they are. The bits between are 0.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row(u64);

/// In place of a rule's index: nothing is known of this stretch of code.
pub const NO_RULE: u16 = u16::MAX;

/// Most rules there can be: every index but [`NO_RULE`].
pub const MAX_RULES: usize = NO_RULE as usize;

/// Most rows of a module: what [`search`] can look through.
pub const MAX_ROWS: u32 = (1 << SEARCH_STEPS) - 1;

/// How often a search may halve what is left.
const SEARCH_STEPS: u32 = 24;

impl Row {
    /// From `pc`, counted in bytes from the module's base, the rule of this index holds.
    #[inline(always)]
    pub const fn new(pc: u32, rule: u16) -> Self {
        Self((pc as u64) << 32 | rule as u64)
    }

    /// The row from how a map or a file holds it.
    #[inline(always)]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The row as a map or a file holds it.
    #[inline(always)]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Where the stretch begins, in bytes from the module's base.
    #[inline(always)]
    pub const fn pc(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Index of the rule that holds there, or [`NO_RULE`].
    #[inline(always)]
    pub const fn rule(self) -> u16 {
        self.0 as u16
    }
}

/// Index of the rule that holds at `pc`, counted in bytes from the module's base.
///
/// `read` gives the row (see [`Row::raw`]) at an index below `count`; they are sorted. It is asked at most 25 times.
/// `None` when no rule is known for the pc, a row cannot be read, or there are more than [`MAX_ROWS`].
#[inline(always)]
pub fn search(count: u32, pc: u32, mut read: impl FnMut(u32) -> Option<u64>) -> Option<u16> {
    if count == 0 || count > MAX_ROWS {
        return None;
    }
    let mut first = 0;
    let mut left = count;
    let mut found = read(first)?;
    if Row(found).pc() > pc {
        return None;
    }
    for _ in 0..SEARCH_STEPS {
        if left < 2 {
            break;
        }
        let half = left / 2;
        let row = read(first + half)?;
        // All ones when the row begins at or below the pc, else 0. By arithmetic, for the verifier follows both sides of
        // every branch, and two at each step would be millions.
        let is_below = (i64::from(Row(row).pc()) - i64::from(pc) - 1) >> 63;
        first += half & is_below as u32;
        found ^= (found ^ row) & is_below as u64;
        left -= half;
    }
    let rule = Row(found).rule();
    if rule == NO_RULE { None } else { Some(rule) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    fn search_in(rows: &[Row], pc: u32) -> Option<u16> {
        search(rows.len() as u32, pc, |index| rows.get(index as usize).map(|row| row.raw()))
    }

    #[test]
    fn a_row_holds_from_its_pc_to_the_next_for_every_number_of_rows() {
        for count in 0..70_u16 {
            let rows: Vec<Row> = (0..count).map(|index| Row::new(10 + 5 * u32::from(index), index)).collect();
            for pc in 0..10 + 5 * u32::from(count) + 10 {
                let expected = rows.iter().rev().find(|row| row.pc() <= pc).map(|row| row.rule());
                assert_eq!(search_in(&rows, pc), expected, "{count} rows, {pc}");
            }
        }
    }

    #[test]
    fn the_last_row_of_the_largest_table_is_found() {
        let row = |index: u32| Some(Row::new(index * 2, (index % 1000) as u16).raw());
        for index in [0, 1, 1 << 23, (1 << 23) - 1, (1 << 23) + 1, MAX_ROWS - 2, MAX_ROWS - 1] {
            assert_eq!(search(MAX_ROWS, index * 2 + 1, row), Some((index % 1000) as u16));
        }
        assert_eq!(search(MAX_ROWS, u32::MAX, row), Some(((MAX_ROWS - 1) % 1000) as u16));
        assert_eq!(search(MAX_ROWS + 1, 0, row), None);
        assert_eq!(search(u32::MAX, 0, row), None);
    }

    #[test]
    fn a_gap_has_no_rule() {
        let rows = [Row::new(16, 3), Row::new(32, NO_RULE), Row::new(48, 4)];
        let found: Vec<Option<u16>> = [0, 15, 16, 31, 32, 47, 48, u32::MAX].map(|pc| search_in(&rows, pc)).into();
        assert_eq!(found, [None, None, Some(3), Some(3), None, None, Some(4), Some(4)]);
    }

    #[test]
    fn rows_sort_by_pc_and_keep_both_edges() {
        for (pc, rule) in [(0, 0), (u32::MAX, NO_RULE), (1, NO_RULE), (u32::MAX, 0)] {
            let row = Row::from_raw(Row::new(pc, rule).raw());
            assert_eq!((row.pc(), row.rule()), (pc, rule));
        }
        assert!(Row::new(1, NO_RULE) < Row::new(2, 0));
    }

    #[test]
    fn a_row_that_cannot_be_read_ends_the_search() {
        assert_eq!(search(1000, 5, |_| None), None);
    }
}
