//! How a number goes from scan to scan, and whether that is a leak.
//!
//! Strict on purpose: what ever shrank, stands still, slows down, or is another thing at the same address is none.

/// Fewest scans that say anything.
const MIN_SCANS: u32 = 4;

/// Fewest scans for what is in doubt: chance makes so many rises once in thousands.
const MIN_SCANS_IN_DOUBT: u32 = 8;

/// Seconds that they span, at least: what a program reads in when it starts grows as steadily as a leak, and is mostly
/// complete by then.
const MIN_SECONDS: f64 = 20.0;

/// Least growth, in entries or objects.
const MIN_GROWTH: u64 = 16;

/// A cache that fills up slows down: in its second half what leaks still grows at this share of its rate in the first.
const MIN_LATE_SHARE: f64 = 0.75;

/// How much of the differences between moments a steady rate must explain of what is in doubt.
const MIN_STEADINESS_IN_DOUBT: f64 = 0.95;

/// How a number went from scan to scan.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trend {
    /// At the first of the scans.
    pub first: u64,
    /// At the last.
    pub last: u64,
    /// From the first to the last.
    pub seconds: f64,
    /// How many scans.
    pub scans: u32,
    /// Scans at which it was more than at the one before.
    pub rises: u32,
    /// Scans at which it was less.
    pub falls: u32,
    /// How much of the differences a steady rate explains: 0 nothing, 1 all.
    pub steadiness: f64,
    /// Rate in the second half of the time by that in the first.
    pub late_share: f64,
}

impl Trend {
    /// Of moments in seconds and numbers, in order.
    pub fn of(moments: &[(f64, u64)]) -> Self {
        let ([(begin, first), ..], [.., (end, last)]) = (moments, moments) else { return Self::default() };
        let steps = || moments.windows(2).map(|pair| (pair[0].1, pair[1].1));
        Self {
            first: *first,
            last: *last,
            seconds: end - begin,
            scans: moments.len() as u32,
            rises: steps().filter(|(before, after)| after > before).count() as u32,
            falls: steps().filter(|(before, after)| after < before).count() as u32,
            steadiness: steadiness(moments),
            late_share: late_share(moments),
        }
    }

    /// By how much it is more than it was.
    pub const fn growth(&self) -> u64 {
        self.last.saturating_sub(self.first)
    }

    /// Growth a second.
    pub fn per_second(&self) -> f64 {
        if self.seconds > 0.0 { (self.last as f64 - self.first as f64) / self.seconds } else { 0.0 }
    }

    /// Whether it grew at each scan.
    pub const fn always_grew(&self) -> bool {
        self.scans > 1 && self.rises + 1 == self.scans
    }

    /// How sure it is that this never ends, 0 to 1; nothing where it may well end.
    pub fn leak(&self, trust: Trust) -> Option<f64> {
        let (min_scans, min_steadiness) = match trust {
            Trust::Sure => (MIN_SCANS, 0.0),
            Trust::Doubtful => (MIN_SCANS_IN_DOUBT, MIN_STEADINESS_IN_DOUBT),
        };
        let is_leak = self.scans >= min_scans
            && self.seconds >= MIN_SECONDS
            && self.always_grew()
            && self.growth() >= MIN_GROWTH
            && self.late_share >= MIN_LATE_SHARE
            && self.steadiness >= min_steadiness;
        let by_scans = 1.0 - 2.0 / f64::from(self.scans.max(2));
        is_leak.then_some(by_scans * (0.7 + 0.3 * self.steadiness))
    }
}

/// How far growth is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It was the same thing all the time, and the program keeps it.
    Sure,
    /// It may have been another at each scan, or be let go of soon.
    Doubtful,
}

/// The square of the correlation of number and time.
fn steadiness(moments: &[(f64, u64)]) -> f64 {
    let count = moments.len() as f64;
    let mean = |of: fn(&(f64, u64)) -> f64| moments.iter().map(of).sum::<f64>() / count;
    let (time, number) = (mean(|moment| moment.0), mean(|moment| moment.1 as f64));
    let (mut together, mut of_time, mut of_number) = (0.0, 0.0, 0.0);
    for (at, value) in moments {
        let (at, value) = (at - time, *value as f64 - number);
        together += at * value;
        of_time += at * at;
        of_number += value * value;
    }
    if of_time > 0.0 && of_number > 0.0 { together * together / (of_time * of_number) } else { 0.0 }
}

fn late_share(moments: &[(f64, u64)]) -> f64 {
    let ([first, ..], [.., last]) = (moments, moments) else { return 0.0 };
    let rate = |from: &(f64, u64), to: &(f64, u64)| (to.1 as f64 - from.1 as f64) / (to.0 - from.0);
    // With an odd number of steps the one in the middle is in both halves.
    let (end_of_first, start_of_second) = (&moments[moments.len() / 2], &moments[(moments.len() - 1) / 2]);
    let share = rate(start_of_second, last) / rate(first, end_of_first);
    if share.is_finite() { share } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(numbers: &[u64]) -> Trend {
        let moments: Vec<(f64, u64)> =
            numbers.iter().enumerate().map(|(scan, number)| (scan as f64 * 10.0, *number)).collect();
        Trend::of(&moments)
    }

    #[test]
    fn what_grows_at_every_scan_is_a_leak_and_surer_with_more_of_them() {
        let few = trend(&[1000, 1100, 1200, 1300]).leak(Trust::Sure).expect("a leak");
        let many =
            trend(&[1000, 1100, 1200, 1300, 1400, 1500, 1600, 1700, 1800, 1900]).leak(Trust::Sure).expect("a leak");
        assert!(few < many && many < 1.0, "{few} {many}");
        assert!((trend(&[1000, 1100, 1200, 1300]).per_second() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn an_unsteady_leak_is_one_too() {
        let steady = trend(&[0, 500, 1000, 1500, 2000, 2500]).leak(Trust::Sure).expect("a leak");
        let unsteady = trend(&[0, 900, 950, 1400, 2300, 2500]).leak(Trust::Sure).expect("a leak");
        assert!(unsteady < steady);
    }

    #[test]
    fn three_scans_say_nothing() {
        assert_eq!(trend(&[1000, 2000, 3000]).leak(Trust::Sure), None);
        assert_eq!(trend(&[]).leak(Trust::Sure), None);
        assert_eq!(trend(&[5]).leak(Trust::Sure), None);
    }

    #[test]
    fn a_few_seconds_say_nothing_however_many_scans_there_were_in_them() {
        let in_seconds = |seconds: f64| {
            let moments: Vec<(f64, u64)> = (0..9).map(|scan| (scan as f64 * seconds / 8.0, scan * 1000)).collect();
            Trend::of(&moments).leak(Trust::Sure)
        };
        assert_eq!(in_seconds(16.0), None);
        assert!(in_seconds(21.0).is_some());
    }

    #[test]
    fn what_shrank_once_is_none() {
        assert_eq!(trend(&[1000, 2000, 3000, 2999, 4000, 5000, 6000]).leak(Trust::Sure), None);
    }

    #[test]
    fn a_warm_up_is_none() {
        assert_eq!(trend(&[0, 1000, 2000, 3000, 3000, 3000]).leak(Trust::Sure), None, "it came to rest");
        assert_eq!(trend(&[0, 500, 750, 875, 937, 968, 984]).leak(Trust::Sure), None, "it slows down");
        assert_eq!(trend(&[0, 500, 750, 875]).leak(Trust::Sure), None, "it slows down");
    }

    #[test]
    fn a_few_entries_are_none() {
        assert_eq!(trend(&[32, 33, 34, 35, 36]).leak(Trust::Sure), None);
    }

    #[test]
    fn what_may_be_another_at_each_scan_must_be_very_steady() {
        assert_eq!(trend(&[40, 90, 300, 310, 700]).leak(Trust::Doubtful), None);
        assert_eq!(trend(&[40, 90, 300, 310, 700, 720, 730, 1500, 1501]).leak(Trust::Doubtful), None);
        assert!(trend(&[100, 200, 300, 400, 500, 600, 700, 800, 900]).leak(Trust::Doubtful).is_some());
    }
}
