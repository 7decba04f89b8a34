//! Allocations by size, in powers of two.

use super::Amount;

/// Classes: one for 0 bytes, and one for each power of two.
const CLASSES: usize = u64::BITS as usize + 1;

/// What there is of a size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Class {
    /// Smallest number of bytes: a power of two, or 0. The next class begins at the next power.
    pub from_bytes: u64,
    /// Blocks. An estimate where allocations were sampled.
    pub count: f64,
    /// Bytes of those.
    pub bytes: f64,
}

/// Sums by size.
#[derive(Clone, Debug)]
pub struct Classes([(f64, f64); CLASSES]);

impl Default for Classes {
    fn default() -> Self {
        Self([(0.0, 0.0); CLASSES])
    }
}

impl Classes {
    /// Adds what a block of this size stands for.
    pub fn add(&mut self, size: u64, amount: &Amount) {
        let (count, bytes) = &mut self.0[(u64::BITS - size.leading_zeros()) as usize];
        *count += amount.count;
        *bytes += amount.bytes;
    }

    /// Those in which there is anything, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = Class> + '_ {
        self.0.iter().enumerate().filter(|(_, (count, bytes))| *count > 0.0 || *bytes > 0.0).map(
            |(place, (count, bytes))| Class {
                from_bytes: place.checked_sub(1).map_or(0, |power| 1 << power),
                count: *count,
                bytes: *bytes,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_falls_into_the_class_of_the_power_that_it_reaches() {
        let mut classes = Classes::default();
        for size in [0, 1, 64, 100, 127, 128, u64::MAX] {
            classes.add(size, &Amount::exact(size, 1));
        }
        let told: Vec<(u64, f64)> = classes.iter().map(|class| (class.from_bytes, class.count)).collect();
        assert_eq!(told, [(0, 1.0), (1, 1.0), (64, 3.0), (128, 1.0), (1 << 63, 1.0)]);
    }

    #[test]
    fn a_sampled_block_counts_for_those_that_it_stands_for() {
        let mut classes = Classes::default();
        classes.add(64, &Amount::of(64, 6400));
        let class = classes.iter().next().unwrap();
        assert!((class.count - 100.0).abs() < 1.0 && (class.bytes - 6400.0).abs() < 64.0);
    }
}
