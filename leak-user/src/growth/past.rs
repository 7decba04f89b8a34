//! A stretch of a stack's past that ends now, and the questions that are asked of it.

use super::{
    Moment,
    trend::{At, slope},
};

/// A stretch is looked at in at most so many intervals.
const INTERVALS: f64 = 20.0;

/// Moments, and since when they count.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    moments: &'a [Moment],
    start: f64,
}

impl<'a> Past<'a> {
    /// The last `seconds` of these moments.
    pub fn last(moments: &'a [Moment], seconds: f64) -> Self {
        let (first, end) = match moments {
            [first, .., last] => (first.seconds, last.seconds),
            _ => (0.0, 0.0),
        };
        let start = (end - seconds).max(first);
        // With the last moment before it, to tell what was held when it began.
        let before = moments.partition_point(|moment| moment.seconds <= start).saturating_sub(1);
        Self { moments: &moments[before..], start }
    }

    /// Seconds from its beginning to now.
    pub fn seconds(&self) -> f64 {
        self.moments.last().map_or(0.0, |last| last.seconds - self.start)
    }

    /// Bytes held at its moments, its beginning with them: at most so many as there are intervals, evenly chosen.
    pub fn levels(&self) -> Vec<At> {
        let Some(last) = self.moments.last() else { return Vec::new() };
        let distance = self.seconds() / INTERVALS * 0.999;
        let mut levels = vec![self.level_at(self.start)];
        for pair in self.moments.windows(2) {
            let since = levels[levels.len() - 1].seconds;
            if pair[1].seconds - since >= distance {
                // A rest begins where it does.
                if pair[0].seconds > since && pair[1].seconds - pair[0].seconds >= distance {
                    levels.push(level(&pair[0]));
                }
                levels.push(level(&pair[1]));
            }
        }
        // Now is always in it.
        if let [.., end] = levels.as_mut_slice()
            && end.seconds < last.seconds
            && self.moments.len() > 1
        {
            if levels.len() > 1 {
                levels.pop();
            }
            levels.push(level(last));
        }
        levels
    }

    /// Trend of the bytes held, a second.
    pub fn slope(&self) -> f64 {
        slope(&self.levels())
    }

    /// The least that was held in each of `N` equal parts.
    pub fn floors<const N: usize>(&self) -> [f64; N] {
        let part = self.seconds() / N as f64;
        std::array::from_fn(|number| {
            let (from, to) = (self.start + part * number as f64, self.start + part * (number + 1) as f64);
            let within = self.moments.iter().filter(|moment| (from..=to).contains(&moment.seconds));
            let ends = self.level_at(from).value.min(self.level_at(to).value);
            within.map(|moment| moment.held_bytes).fold(ends, f64::min)
        })
    }

    /// Seconds since it last grew for good, and the longest time for which it did not before that.
    pub fn rests(&self) -> (f64, f64) {
        // What is never given back again.
        let mut kept: Vec<At> = self.moments.iter().map(level).collect();
        let mut least = f64::INFINITY;
        for moment in kept.iter_mut().rev() {
            least = least.min(moment.value);
            moment.value = least;
        }
        let (mut rest, mut longest) = (0.0_f64, 0.0_f64);
        for pair in kept.windows(2) {
            if pair[1].value > pair[0].value {
                longest = longest.max(rest);
                rest = 0.0;
            } else {
                rest += pair[1].seconds - pair[0].seconds.max(self.start);
            }
        }
        (rest, longest)
    }

    /// In how many intervals more was held at the end than at the beginning, and of how many.
    pub fn growing_intervals(&self) -> (usize, usize) {
        let levels = self.levels();
        let grew = levels.windows(2).filter(|pair| pair[1].value > pair[0].value).count();
        (grew, levels.len().saturating_sub(1))
    }

    /// How unevenly it grows: the variance of the growth in an interval over its mean, bytes. Of blocks that come one by one at
    /// random, it is the size of one. A rate that changes slowly is not uneven.
    pub fn unevenness(&self) -> f64 {
        let levels = self.levels();
        let growth = |pair: &[At]| (pair[1].value - pair[0].value, pair[1].seconds - pair[0].seconds);
        let pairs: Vec<(f64, f64)> = levels.windows(2).map(growth).collect();
        let (mut variance, mut mean) = (0.0, 0.0);
        for pair in pairs.windows(2) {
            let ((early, early_s), (late, late_s)) = (pair[0], pair[1]);
            // Of each as if it were as long as the other, so that a steady rate makes no difference.
            let difference = (early / early_s - late / late_s) * (early_s * late_s / (early_s + late_s)).sqrt();
            variance += difference * difference;
            mean += ((early + late) / (early_s + late_s)).max(0.0);
        }
        if mean > 0.0 { variance / mean } else { 0.0 }
    }

    /// Blocks that were allocated in it.
    pub fn allocated_count(&self) -> f64 {
        let allocated = |moment: &Moment| f64::from(moment.held_count) + f64::from(moment.freed_count);
        let Some(last) = self.moments.last() else { return 0.0 };
        let (before, after) = (&self.moments[0], self.moments.get(1).unwrap_or(last));
        let share = (self.start - before.seconds) / (after.seconds - before.seconds).max(f64::MIN_POSITIVE);
        let first = allocated(before) + share.clamp(0.0, 1.0) * (allocated(after) - allocated(before));
        (allocated(last) - first).max(0.0)
    }

    /// Bytes that were given back in it.
    pub fn freed_bytes(&self) -> f64 {
        match self.moments {
            [first, .., last] => f64::from(last.freed_bytes - first.freed_bytes).max(0.0),
            _ => 0.0,
        }
    }

    /// Bytes held at a time, on the straight line between the moments around it.
    fn level_at(&self, seconds: f64) -> At {
        let after = self.moments.partition_point(|moment| moment.seconds < seconds);
        match (after.checked_sub(1).map(|before| &self.moments[before]), self.moments.get(after)) {
            (Some(before), Some(after)) => {
                let share = (seconds - before.seconds) / (after.seconds - before.seconds);
                let value = before.held_bytes + share * (after.held_bytes - before.held_bytes);
                At { seconds, value, error: before.bytes_stderr.into() }
            }
            (Some(moment), None) | (None, Some(moment)) => At { seconds, ..level(moment) },
            (None, None) => At { seconds, ..At::default() },
        }
    }
}

fn level(moment: &Moment) -> At {
    At { seconds: moment.seconds, value: moment.held_bytes, error: moment.bytes_stderr.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(bytes: impl IntoIterator<Item = f64>) -> Vec<Moment> {
        let at = |(second, held_bytes): (u32, f64)| Moment { seconds: second.into(), held_bytes, ..Moment::default() };
        (0..).zip(bytes).map(at).collect()
    }

    #[test]
    fn a_stretch_begins_between_moments_if_it_must() {
        let line = moments((0..=10).map(f64::from));
        let past = Past::last(&line, 2.5);
        assert!((past.seconds() - 2.5).abs() < 1e-9);
        assert!((past.levels()[0].value - 7.5).abs() < 1e-9 && past.levels().len() == 4);
        assert_eq!(past.growing_intervals(), (3, 3));
    }

    #[test]
    fn the_floors_of_a_sawtooth_are_level_and_those_of_a_rise_rise() {
        let teeth = moments((0..=120).map(|second| f64::from(second % 10)));
        assert_eq!(Past::last(&teeth, 120.0).floors::<6>().map(|floor| floor as u64), [0; 6]);
        let rise = moments((0..=120).map(f64::from));
        assert_eq!(Past::last(&rise, 120.0).floors::<6>().map(|floor| floor as u64), [0, 20, 40, 60, 80, 100]);
    }

    #[test]
    fn a_rest_is_counted_from_the_last_growth_for_good() {
        let bursts = moments((0..=100).map(|second| f64::from(second.min(75) / 20)));
        let (rest, longest) = Past::last(&bursts, 100.0).rests();
        assert!((rest - 40.0).abs() < 1e-9 && (longest - 19.0).abs() < 1e-9, "{rest} {longest}");
    }

    #[test]
    fn many_moments_make_twenty_intervals() {
        let line = moments((0..=1000).map(f64::from));
        assert_eq!(Past::last(&line, 1000.0).growing_intervals(), (20, 20));
    }

    #[test]
    fn growth_in_bursts_is_uneven_and_a_rate_that_changes_slowly_is_not() {
        let even = moments((0..=200).map(|second| f64::from(second) * (400.0 - f64::from(second))));
        let bursts = moments((0..=200).map(|second| f64::from(second / 25) * 7500.0));
        let [even, bursts] = [even, bursts].map(|moments| Past::last(&moments, 200.0).unevenness());
        assert!(even < 200.0 && bursts > 5000.0, "{even} {bursts}");
    }

    #[test]
    fn without_moments_there_is_nothing_to_tell() {
        let past = Past::last(&[], 60.0);
        assert!(past.seconds().abs() < 1e-9 && past.levels().is_empty() && past.slope().abs() < 1e-9);
        assert_eq!(past.growing_intervals(), (0, 0));
    }
}
