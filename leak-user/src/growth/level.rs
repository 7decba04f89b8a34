//! Whether something rises of which only the level is known: a process or a control group, of whose blocks nobody has
//! told yet.
//!
//! Pure. Rising is less than leaking: what rises is worth a look at its stacks. A heap that is collected rises and falls, a
//! program that starts rises and comes to rest, and a batch is one step: none of these rises here. What rises slowly shows
//! in a longer stretch, so ever longer ones are looked at.

use super::{
    Moment,
    past::Past,
    trend::{At, certainty, mann_kendall},
    words::{grew, pace},
};

/// A rise, as far as the level tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Rise {
    /// Bytes that it rose by.
    pub bytes: f64,
    /// Seconds in which it did.
    pub seconds: f64,
    /// How sure it is that it is no noise, 0 to 1.
    pub confidence: f64,
    /// Why it is called a rise, in one sentence without its full stop.
    pub why: String,
}

impl Rise {
    /// Bytes a second.
    pub fn bytes_per_s(&self) -> f64 {
        self.bytes / self.seconds
    }
}

/// A stretch is so many times as long as the one before.
const LONGER: f64 = 3.0;

/// A stretch is looked at in so many parts, by the least of each.
const PARTS: usize = 6;

/// Of the steps from part to part, so many lead up.
const UPWARD: usize = 4;

/// Fewest levels that show a rise.
const FEWEST: usize = 8;

/// Noise rises as surely as this once in a thousand times (one-sided z of Mann-Kendall).
const SURE_Z: f64 = 3.1;

/// In its later half it rises by this share of what it does in the earlier one, or comes to rest.
const GOES_ON: f64 = 0.4;

/// The shortest stretch up to now, of at least so many seconds, in which the level rose by at least so many bytes.
pub fn rise(moments: &[Moment], shortest_s: f64, least_bytes: f64) -> Option<Rise> {
    let whole = Past::last(moments, f64::INFINITY).seconds();
    let stretches = std::iter::successors(Some(shortest_s), |seconds| Some(seconds * LONGER));
    stretches
        .take_while(|seconds| *seconds <= whole)
        .find_map(|seconds| rise_in(&Past::last(moments, seconds), least_bytes))
}

fn rise_in(past: &Past<'_>, least_bytes: f64) -> Option<Rise> {
    let levels = past.levels();
    let (first, last) = (levels.first()?, levels.last()?);
    let bytes = last.value - first.value;
    let z = mann_kendall(&levels);
    if levels.len() < FEWEST || bytes < least_bytes || z < SURE_Z {
        return None;
    }
    let floors = past.floors::<PARTS>();
    if floors.windows(2).filter(|step| step[1] > step[0]).count() < UPWARD {
        return None;
    }
    if !goes_on(&levels) {
        return None;
    }
    let rise = Rise { bytes, seconds: past.seconds(), confidence: certainty(z), why: String::new() };
    let why = format!("{}, {}", grew(past), pace(rise.bytes_per_s()));
    Some(Rise { why, ..rise })
}

/// Whether the later half of a rise is like the earlier one.
fn goes_on(levels: &[At]) -> bool {
    let (Some(first), Some(last)) = (levels.first(), levels.last()) else { return false };
    let half = f64::midpoint(first.seconds, last.seconds);
    let Some(middle) = levels.iter().find(|level| level.seconds >= half) else { return false };
    let pace = |from: &At, to: &At| (to.value - from.value) / (to.seconds - from.seconds).max(f64::MIN_POSITIVE);
    pace(middle, last) >= GOES_ON * pace(first, middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::History;

    const MIB: f64 = 1024.0 * 1024.0;
    const SHORTEST: f64 = 300.0;

    /// A look every 15 seconds, for so many minutes.
    fn seen(minutes: u32, bytes: impl Fn(f64) -> f64) -> Option<Rise> {
        let mut history = History::default();
        for look in 0..=minutes * 4 {
            let seconds = f64::from(look) * 15.0;
            history.tick(Moment { seconds, held_bytes: bytes(seconds), ..Moment::default() });
        }
        rise(history.moments(), SHORTEST, MIB)
    }

    /// Something between -1 and 1 that is another every time.
    fn noise(seconds: f64) -> f64 {
        ((seconds + 1.0) * 12.9898).sin() * 43_758.547 % 1.0
    }

    #[test]
    fn half_a_megabyte_a_minute_is_seen_after_five_minutes_and_not_before() {
        let leak = |seconds: f64| 80.0 * MIB + seconds / 60.0 * 500_000.0 + noise(seconds) * 100_000.0;
        assert_eq!(seen(4, leak), None);
        let rise = seen(6, leak).expect("a rise");
        assert!((rise.bytes_per_s() * 60.0 / 500_000.0 - 1.0).abs() < 0.2, "{rise:?}");
        assert!(rise.why.contains("grew in") && rise.why.contains("/min"), "{}", rise.why);
    }

    #[test]
    fn what_rises_slowly_is_seen_in_the_end() {
        let leak = |seconds: f64| 80.0 * MIB + seconds / 3600.0 * 1.5 * MIB;
        assert_eq!(seen(20, leak), None);
        assert!(seen(150, leak).is_some_and(|rise| rise.seconds > 2000.0));
    }

    #[test]
    fn a_leak_beside_waves_that_are_collected_is_seen() {
        let heap = |seconds: f64| 80.0 * MIB + seconds / 60.0 * MIB + (seconds % 60.0) / 60.0 * 4.0 * MIB;
        assert!(seen(20, heap).is_some());
    }

    #[test]
    fn what_is_steady_collected_full_or_one_step_does_not_rise() {
        let steady = |seconds: f64| 80.0 * MIB + noise(seconds) * 8.0 * MIB;
        let collected = |seconds: f64| 80.0 * MIB + (seconds % 240.0) / 240.0 * 64.0 * MIB;
        let slowly_collected = |seconds: f64| 80.0 * MIB + (seconds % 1500.0) / 1500.0 * 64.0 * MIB;
        let warms_up = |seconds: f64| 80.0 * MIB * (1.0 - (-seconds / 120.0).exp());
        let step = |seconds: f64| if seconds < 400.0 { 80.0 * MIB } else { 180.0 * MIB };
        let daily = |seconds: f64| 80.0 * MIB + 64.0 * MIB * (seconds / 86_400.0 * std::f64::consts::TAU).sin();
        for minutes in [8, 15, 40, 240, 1440] {
            assert_eq!(seen(minutes, steady), None, "steady, {minutes} min");
            assert_eq!(seen(minutes, collected), None, "collected, {minutes} min");
            assert_eq!(seen(minutes, warms_up), None, "warming up, {minutes} min");
            assert_eq!(seen(minutes, step), None, "a step, {minutes} min");
        }
        // These rise for a while, and are worth a look then; but not for good.
        assert_eq!(seen(1440, slowly_collected), None);
        assert_eq!(seen(840, daily), None);
    }

    #[test]
    fn no_moments_do_not_rise() {
        assert_eq!(rise(&[], SHORTEST, MIB), None);
        assert_eq!(rise(&[Moment::default()], SHORTEST, MIB), None);
    }
}
