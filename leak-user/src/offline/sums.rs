//! Sums over stacks.

use std::iter::Sum;

use crate::session::StackView;

/// What some stacks have together. Growth is signed; nothing overflows, it saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub held_bytes: u64,
    pub held_count: u64,
    pub growth_bytes: i64,
    /// Since tracing began.
    pub allocated_bytes: u64,
    pub allocated_count: u64,
    /// Of those.
    pub freed_bytes: u64,
    pub freed_count: u64,
}

impl Sums {
    pub fn of(stack: &StackView) -> Self {
        let last = stack.last();
        Self {
            held_bytes: last.held_bytes(),
            held_count: last.held_count(),
            growth_bytes: stack.growth_bytes(),
            allocated_bytes: last.allocated_bytes(),
            allocated_count: last.allocated_count(),
            freed_bytes: last.freed_bytes,
            freed_count: last.freed_count,
        }
    }

    pub fn add(&mut self, other: Self) {
        self.held_bytes = self.held_bytes.saturating_add(other.held_bytes);
        self.held_count = self.held_count.saturating_add(other.held_count);
        self.growth_bytes = self.growth_bytes.saturating_add(other.growth_bytes);
        self.allocated_bytes = self.allocated_bytes.saturating_add(other.allocated_bytes);
        self.allocated_count = self.allocated_count.saturating_add(other.allocated_count);
        self.freed_bytes = self.freed_bytes.saturating_add(other.freed_bytes);
        self.freed_count = self.freed_count.saturating_add(other.freed_count);
    }
}

impl Sum for Sums {
    fn sum<I: Iterator<Item = Self>>(sums: I) -> Self {
        sums.fold(Self::default(), |mut all, sums| {
            all.add(sums);
            all
        })
    }
}

impl<'view> FromIterator<&'view StackView> for Sums {
    fn from_iter<I: IntoIterator<Item = &'view StackView>>(stacks: I) -> Self {
        stacks.into_iter().map(Self::of).sum()
    }
}
