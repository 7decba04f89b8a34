//! Sums of allocations: exact ones, or estimates from samples with their uncertainty.
//!
//! Each sampled block stands for as many as one of its size is taken from on average, so that a sum over sampled blocks
//! is right on average whatever sizes are mixed; its variance is estimated likewise, each block by itself, since each was
//! drawn by itself. Without sampling the sums are exact: whole numbers below 2^53, and no variance.

use leak_ebpf::{ALWAYS, EXACT};

/// Bytes and blocks, and how uncertain both are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// Bytes asked for.
    pub bytes: f64,
    /// Blocks.
    pub count: f64,
    /// Variance of the bytes.
    pub bytes_variance: f64,
    /// Variance of the blocks.
    pub count_variance: f64,
    /// Blocks that were seen.
    pub seen: u64,
}

impl Amount {
    /// What a block of `size` bytes stands for that was taken at this period.
    pub fn of(size: u64, period: u64) -> Self {
        // As the kernel side draws: see `leak_ebpf::Sampling::takes`.
        let drawn = size.max(1);
        if period <= EXACT || drawn / period >= ALWAYS {
            return Self::exact(size, 1);
        }
        let chance = -(-(drawn as f64) / period as f64).exp_m1();
        let (count, spread) = (1.0 / chance, (1.0 - chance) / (chance * chance));
        Self {
            bytes: size as f64 * count,
            count,
            bytes_variance: (size as f64).powi(2) * spread,
            count_variance: spread,
            seen: 1,
        }
    }

    /// Blocks of which each was seen.
    pub fn exact(bytes: u64, count: u64) -> Self {
        Self { bytes: bytes as f64, count: count as f64, seen: count, ..Self::default() }
    }

    /// Whether nothing is left. A mapping that counts elsewhere can leave bytes without a block.
    pub fn is_nothing(&self) -> bool {
        self.seen == 0 && self.bytes < 0.5
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut sum = *self;
        sum.add(other);
        sum
    }

    /// Adds to it.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.count += other.count;
        self.bytes_variance += other.bytes_variance;
        self.count_variance += other.count_variance;
        self.seen += other.seen;
    }

    /// Takes from it what was added before.
    pub fn subtract(&mut self, other: &Self) {
        debug_assert!(self.seen >= other.seen);
        self.seen -= other.seen;
        // Rounding leaves no speck of what is gone.
        let less = |from: f64, what: f64| if from - what < 1e-3 { 0.0 } else { from - what };
        self.bytes = less(self.bytes, other.bytes);
        self.count = less(self.count, other.count);
        self.bytes_variance = less(self.bytes_variance, other.bytes_variance);
        self.count_variance = less(self.count_variance, other.count_variance);
    }
}

/// The periods at which blocks were taken, each by a small number that a block can carry.
#[derive(Debug)]
pub struct Periods(Vec<u64>);

impl Default for Periods {
    fn default() -> Self {
        Self(vec![EXACT])
    }
}

impl Periods {
    /// The number of a period.
    ///
    /// There is room for 256: each power of two, and as many again as a person gives.
    pub fn number(&mut self, period: u64) -> u8 {
        let place = self.0.iter().rposition(|known| *known == period).unwrap_or_else(|| {
            self.0.push(period);
            self.0.len() - 1
        });
        u8::try_from(place).unwrap_or(u8::MAX)
    }

    /// The period of this number.
    pub fn get(&self, number: u8) -> u64 {
        self.0.get(usize::from(number)).copied().unwrap_or(EXACT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_always_taken_stands_for_itself() {
        for (size, period) in [(0, EXACT), (64, EXACT), (64, 0), (8000, 1000), (u64::MAX >> 16, 2)] {
            assert_eq!(Amount::of(size, period), Amount::exact(size, 1));
        }
    }

    #[test]
    fn a_small_block_stands_for_about_a_period() {
        let amount = Amount::of(64, 524_288);
        assert!((amount.bytes - 524_320.0).abs() < 1.0, "{amount:?}");
        assert!((amount.bytes_variance.sqrt() / amount.bytes - 1.0).abs() < 1e-3);
        assert!((amount.count - amount.bytes / 64.0).abs() < 1e-6);
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing() {
        let mut sum = Amount::default();
        let amounts: Vec<Amount> = (1..2000).map(|n| Amount::of(n * 37 % 5000, 4096)).collect();
        amounts.iter().for_each(|amount| sum.add(amount));
        amounts.iter().rev().for_each(|amount| sum.subtract(amount));
        assert_eq!(sum, Amount::default());
    }

    #[test]
    fn a_period_is_known_by_its_number() {
        let mut periods = Periods::default();
        for (number, period) in [(0, EXACT), (1, 512), (2, 1024), (1, 512)] {
            assert_eq!((periods.number(period), periods.get(number)), (number, period));
        }
    }
}
