//! What came, what went, and what is still there.
//!
//! Promises that allocated = outstanding + unknown + freed.

use super::Amount;

/// Sums since tracing began, of one stack or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Allocated and not given back: every free was watched for.
    pub outstanding: Amount,
    /// Allocated, and given back or not: for a time, frees were not watched for.
    pub unknown: Amount,
    /// Allocated while allocations were watched.
    pub allocated: Amount,
    /// Given back, of what is in `allocated`.
    pub freed: Amount,
}

impl Sums {
    /// What was not seen to be given back.
    pub fn held(&self) -> Amount {
        self.outstanding.and(&self.unknown)
    }

    /// Those of other blocks as well.
    pub fn add(&mut self, other: &Self) {
        let sides = [&mut self.outstanding, &mut self.unknown, &mut self.allocated, &mut self.freed];
        let more = [&other.outstanding, &other.unknown, &other.allocated, &other.freed];
        sides.into_iter().zip(more).for_each(|(side, more)| side.add(more));
    }

    /// Without those of some of the blocks.
    pub fn subtract(&mut self, other: &Self) {
        let sides = [&mut self.outstanding, &mut self.unknown, &mut self.allocated, &mut self.freed];
        let less = [&other.outstanding, &other.unknown, &other.allocated, &other.freed];
        sides.into_iter().zip(less).for_each(|(side, less)| side.subtract(less));
    }

    /// A block was allocated.
    pub fn came(&mut self, amount: &Amount, is_watched: bool) {
        self.allocated.add(amount);
        self.side(is_watched).add(amount);
    }

    /// It was given back.
    pub fn gone(&mut self, amount: &Amount, is_watched: bool) {
        self.side(is_watched).subtract(amount);
        self.freed.add(amount);
    }

    /// A block was allocated and given back.
    pub fn passed(&mut self, amount: &Amount) {
        self.allocated.add(amount);
        self.freed.add(amount);
    }

    /// It was not given back after all.
    pub fn back(&mut self, amount: &Amount, is_watched: bool) {
        self.freed.subtract(amount);
        self.side(is_watched).add(amount);
    }

    /// Of what is there, nobody watches any more whether it is given back. Gives what was outstanding.
    pub fn unwatch(&mut self) -> Amount {
        let outstanding = std::mem::take(&mut self.outstanding);
        self.unknown.add(&outstanding);
        outstanding
    }

    fn side(&mut self, is_watched: bool) -> &mut Amount {
        if is_watched { &mut self.outstanding } else { &mut self.unknown }
    }
}
