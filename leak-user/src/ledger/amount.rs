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
    bytes_spread: Spread,
    count_spread: Spread,
    /// Blocks that were seen.
    pub seen: u64,
}

/// How uncertain an estimate is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Spread {
    /// Its variance, estimated.
    variance: f64,
    /// Its third moment about the mean, estimated, but for a factor near 1.
    third: f64,
}

/// What an estimate's lopsidedness adds to its variance. An estimate that is too low believes itself too certain as well:
/// so the interval of 1.96 standard errors would hold the truth too seldom when samples are few. With this it does in
/// 94 to 96 % of cases from some ten samples on, found by simulation (`tests/cases/sampling.rs` checks it).
const FOR_LOPSIDEDNESS: f64 = 1.5;

impl Spread {
    fn new(weight: f64, chance: f64) -> Self {
        let variance = weight * weight * (1.0 - chance);
        Self { variance, third: variance * weight }
    }

    fn standard_error(&self) -> f64 {
        if self.variance <= 0.0 {
            return 0.0;
        }
        let lopsidedness = self.third * self.third / self.variance.powi(3);
        (self.variance * (1.0 + FOR_LOPSIDEDNESS * lopsidedness)).sqrt()
    }

    fn add(&mut self, other: &Self) {
        self.variance += other.variance;
        self.third += other.third;
    }

    fn subtract(&mut self, other: &Self) {
        self.variance = less(self.variance, other.variance);
        self.third = less(self.third, other.third);
    }
}

/// What is left of a sum. Rounding leaves no speck of what is gone.
fn less(sum: f64, part: f64) -> f64 {
    let rest = sum - part;
    if rest < 1e-9 * sum { 0.0 } else { rest }
}

impl Amount {
    /// What a block of `size` bytes stands for that was taken at this period.
    #[inline]
    pub fn of(size: u64, period: u64) -> Self {
        if period <= EXACT { Self::exact(size, 1) } else { Self::drawn(size, period) }
    }

    #[inline(never)]
    fn drawn(size: u64, period: u64) -> Self {
        // As the kernel side draws: see `leak_ebpf::Sampling::takes`.
        let drawn = size.max(1);
        if drawn / period >= ALWAYS {
            return Self::exact(size, 1);
        }
        let chance = -(-(drawn as f64) / period as f64).exp_m1();
        let count = 1.0 / chance;
        let bytes = size as f64 * count;
        let (bytes_spread, count_spread) = (Spread::new(bytes, chance), Spread::new(count, chance));
        Self { bytes, count, bytes_spread, count_spread, seen: 1 }
    }

    /// Whether it is an estimate.
    pub fn is_estimate(&self) -> bool {
        self.count_spread.variance > 0.0
    }

    /// How far off the bytes are likely to be.
    pub fn bytes_stderr(&self) -> f64 {
        self.bytes_spread.standard_error()
    }

    /// How far off the number of blocks is likely to be.
    pub fn count_stderr(&self) -> f64 {
        self.count_spread.standard_error()
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
        self.seen += other.seen;
        if other.is_estimate() {
            self.bytes_spread.add(&other.bytes_spread);
            self.count_spread.add(&other.count_spread);
        }
    }

    /// Takes from it what was added before.
    pub fn subtract(&mut self, other: &Self) {
        debug_assert!(self.seen >= other.seen);
        self.seen -= other.seen;
        self.bytes = less(self.bytes, other.bytes);
        self.count = less(self.count, other.count);
        self.bytes_spread.subtract(&other.bytes_spread);
        self.count_spread.subtract(&other.count_spread);
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
        assert!(amount.bytes_stderr() > amount.bytes, "one sample says little");
        assert!((amount.count - amount.bytes / 64.0).abs() < 1e-6);
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing() {
        let mut sum = Amount::default();
        let amounts: Vec<Amount> = (1..2000).map(|n| Amount::of(n * 37 % 5000, 4096)).collect();
        for amount in &amounts {
            sum.add(amount);
        }
        for amount in amounts.iter().rev() {
            sum.subtract(amount);
        }
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
