//! Which allocations are sampled: a Poisson process over bytes, so that one of `size` bytes is taken with a probability of
//! `1 - exp(-size / period)`, whatever was taken before.
//!
//! The kernel side has no floating point and no 128-bit product: it computes in fixed point, to within a billionth of the
//! probability, which user space computes anew in floating point to weight what was taken. Nothing here
//! has a memory: no thread's draw depends on another's.
#![expect(
    clippy::inline_always,
    reason = "a call in BPF costs a frame of its 512-byte stack and hides bounds from the verifier"
)]

/// The period that takes every allocation.
pub const EXACT: u64 = 1;

/// An allocation of at least this many periods is always taken: the draw would leave out one of 3000.
pub const ALWAYS: u64 = 8;

/// The largest period.
pub const MAX_PERIOD: u64 = 1 << 40;

/// What is asked of the probes of one process, see [`Sampling::flags`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// Mean bytes between samples; 0 and [`EXACT`] take every allocation.
    pub period: u64,
    /// `2^64 / period`, rounded up.
    pub inverse: u64,
    /// Any of the flags.
    pub flags: u32,
    /// How often allocations began to be left out: a call from before is not seen to its end.
    pub pauses: u32,
}

impl Sampling {
    /// No allocation is taken; what becomes of blocks that are known is told.
    pub const NO_ALLOCATIONS: u32 = 1;
    /// Nothing is told.
    pub const OFF: u32 = 2;
    /// Frees are told only of blocks that were sampled.
    pub const KNOWN_FREES: u32 = 4;

    /// With this period and flags.
    pub const fn new(period: u64, flags: u32, pauses: u32) -> Self {
        let inverse = if period > EXACT { u64::MAX / period + 1 } else { 0 };
        Self { period, inverse, flags, pauses }
    }

    /// Whether every allocation is taken.
    #[inline(always)]
    pub const fn is_exact(&self) -> bool {
        self.period <= EXACT
    }

    /// Whether this flag is set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Draws whether an allocation of `size` bytes is taken. `random` gives 32 random bits.
    #[inline(always)]
    pub fn takes(&self, size: u64, mut random: impl FnMut() -> u32) -> bool {
        if self.is_exact() {
            return true;
        }
        // Every allocator gives out something for 0 bytes, which would never be seen.
        let size = if size == 0 { 1 } else { size };
        let draw = u64::from(random());
        if size < self.period {
            let share = size.wrapping_mul(self.inverse);
            // The probability is below the share: most draws end here.
            if draw > share >> 32 {
                return false;
            }
            let chance = times(share, mean_survival((share >> 32) as u32));
            let high = chance >> 32;
            return draw < high || draw == high && u64::from(random()) < chance & 0xffff_ffff;
        }
        let periods = size / self.period;
        if periods >= ALWAYS {
            return true;
        }
        let rest = (size % self.period).wrapping_mul(self.inverse) >> 32;
        let survival = (WHOLE_PERIODS[(periods % ALWAYS) as usize] * (ONE - chance_below_one(rest))) >> 32;
        draw >= survival
    }
}

/// 1 in fixed point of 32 bits.
const ONE: u64 = 1 << 32;

/// `exp(-n)` for n from 0 to 7, in fixed point of 32 bits.
const WHOLE_PERIODS: [u64; ALWAYS as usize] =
    [ONE, 1_580_030_169, 581_260_615, 213_833_830, 78_665_070, 28_939_262, 10_646_160, 3_916_503];

/// `1 - exp(-share)` for a share below 1, both in fixed point of 32 bits.
#[inline(always)]
const fn chance_below_one(share: u64) -> u64 {
    (share * mean_survival(share as u32)) >> 32
}

/// `(1 - exp(-share)) / share` for a share below 1, in fixed point of 32 bits: the series `sum of (-share)^k / (k + 1)!`.
#[inline(always)]
const fn mean_survival(share: u32) -> u64 {
    let share = share as u64;
    let mut sum = ONE;
    let mut divisor = TERMS;
    while divisor > 1 {
        sum = ONE - ((share * sum) >> 32) / divisor;
        divisor -= 1;
    }
    if sum >= ONE { ONE - 1 } else { sum }
}

/// The series' terms: what is left out is below `2^-36`.
const TERMS: u64 = 13;

/// The product of two fixed-point numbers, of 64 and of 32 bits behind the point; both are below 1.
#[inline(always)]
const fn times(wide: u64, narrow: u64) -> u64 {
    (wide >> 32) * narrow + (((wide & 0xffff_ffff) * narrow) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that repeat from run to run (splitmix64).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        }
    }

    /// The probability with which an allocation is taken, found by halving: the draw is compared with something fixed.
    fn probability(sampling: &Sampling, size: u64) -> f64 {
        let takes = |threshold: u64| {
            let mut words = [(threshold >> 32) as u32, threshold as u32].into_iter();
            sampling.takes(size, || words.next().unwrap())
        };
        // Below about 63 % small draws are taken, above it large ones: there the second word is not looked at.
        let small = takes(0);
        let (mut low, mut high) = (0_u64, u64::MAX);
        if takes(u64::MAX) == small {
            return if small { 1.0 } else { 0.0 };
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if takes(middle) == small { low = middle } else { high = middle }
        }
        let share = high as f64 / 2_f64.powi(64);
        if small { share } else { 1.0 - share }
    }

    #[test]
    fn the_chance_of_an_allocation_is_one_less_the_exponential_of_its_size_in_periods() {
        for period in [2, 3, 1000, 1024, 100_000, 512 << 10, 16 << 20, 1 << 32, MAX_PERIOD] {
            let sampling = Sampling::new(period, 0, 0);
            let sizes = [1, 2, 8, 24, 64, 100, 4096, 131_072, period / 3, period - 1, period, period + 1];
            let multiples = (1..8).flat_map(|times| [period * times - 1, period * times + period / 2]);
            for size in sizes.into_iter().chain(multiples).filter(|size| (1..period * ALWAYS).contains(size)) {
                let (found, right) = (probability(&sampling, size), -(-(size as f64) / period as f64).exp_m1());
                // Rounding the inverse up is what is left at the largest periods.
                let tolerance = 1e-6 + period as f64 / 2_f64.powi(63);
                assert!((found / right - 1.0).abs() < tolerance, "{size} of {period}: {found} and not {right}");
            }
        }
    }

    #[test]
    fn what_is_many_periods_long_is_always_taken() {
        let sampling = Sampling::new(1000, 0, 0);
        assert!(sampling.takes(8000, || 0) && sampling.takes(u64::MAX, || 0) && sampling.takes(8000, || u32::MAX));
    }

    #[test]
    fn every_allocation_is_taken_without_a_draw_when_tracing_is_exact() {
        for period in [0, EXACT] {
            assert!(Sampling::new(period, 0, 0).takes(1, || unreachable!()));
        }
    }

    #[test]
    fn the_estimate_of_many_mixed_sizes_is_right_on_average() {
        let sampling = Sampling::new(4096, 0, 0);
        let mut random = Random(7);
        let (mut truth, mut estimate, mut variance) = (0.0, 0.0, 0.0);
        for _ in 0..400_000 {
            let size = 1 << (random.next() % 15);
            truth += size as f64;
            if sampling.takes(size, || (random.next() >> 32) as u32) {
                let chance = if size >= ALWAYS * 4096 { 1.0 } else { -(-(size as f64) / 4096.0).exp_m1() };
                estimate += size as f64 / chance;
                variance += (size as f64 / chance).powi(2) * (1.0 - chance);
            }
        }
        let off = (estimate - truth) / variance.sqrt();
        assert!(off.abs() < 4.0, "{estimate} and not {truth}: {off} standard errors");
    }
}
