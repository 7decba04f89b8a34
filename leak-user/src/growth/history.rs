//! A stack's past in bounded room: dense near now, sparser the longer ago.
//!
//! It promises that of every stretch that ends now there are about as many moments, however long the stretch, so that what
//! began lately is seen as clearly as what began long ago; but none shorter than a five-hundredth of the whole is looked at.
//! Of a time in which nothing happened only the ends are kept.

use super::Moment;

/// Most moments that are kept.
const CAPACITY: usize = 48;

/// To so many they are thinned out when there is no more room.
const THINNED: usize = 36;

/// The least distance between two moments, as a share of the whole.
const FINEST: f64 = 1.0 / 512.0;

/// So many moments are kept in any case, still or not: verdicts want a few.
const FEW: usize = 8;

/// Moments from a stack's first appearance to now.
#[derive(Clone, Debug, Default)]
pub struct History {
    moments: Vec<Moment>,
}

impl History {
    /// One without a moment.
    pub const fn new() -> Self {
        Self { moments: Vec::new() }
    }

    /// Takes note of a moment, later than all before.
    pub fn tick(&mut self, moment: Moment) {
        if let [first, .., before, last] = self.moments.as_mut_slice() {
            let is_near = moment.seconds - before.seconds < FINEST * (moment.seconds - first.seconds);
            let is_still = before.is_still(last) && last.is_still(&moment);
            if is_near || is_still && self.moments.len() >= FEW {
                let last = self.moments.len() - 1;
                self.moments[last] = moment;
                return;
            }
        }
        if self.moments.len() == CAPACITY {
            self.thin_out(moment.seconds);
        }
        self.moments.push(moment);
    }

    /// The kept moments, oldest first.
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// Keeps as many moments as there is to be room for, at distances in proportion to how long ago they were.
    fn thin_out(&mut self, now: f64) {
        for density in (4..=20).rev().map(f64::from) {
            let kept = self.thinned(now, density);
            if kept.len() <= THINNED {
                self.moments = kept;
                return;
            }
        }
        // The distances that are left are those of long rests: there is nothing to tell between any two.
        let mut keep = false;
        self.moments.retain(|_| {
            keep = !keep;
            keep
        });
    }

    /// Those that are left when a moment stands for a `density`th of its age.
    fn thinned(&self, now: f64, density: f64) -> Vec<Moment> {
        let finest = FINEST * (now - self.moments[0].seconds);
        let mut kept = Vec::with_capacity(CAPACITY);
        let mut last = f64::NEG_INFINITY;
        for (place, moment) in self.moments.iter().enumerate() {
            let distance = finest.max((now - moment.seconds) / density);
            if moment.seconds - last >= distance || place + 1 == self.moments.len() {
                kept.push(*moment);
                last = moment.seconds;
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u32, bytes: impl Fn(u32) -> f64) -> History {
        let mut history = History::default();
        for second in 1..=seconds {
            history.tick(Moment { seconds: second.into(), held_bytes: bytes(second), ..Moment::default() });
        }
        history
    }

    #[test]
    fn a_long_history_stays_small_and_reaches_from_the_first_moment_to_the_last() {
        for seconds in [60, 1000, 86_400, 1_000_000] {
            let history = after(seconds, f64::from);
            let moments = history.moments();
            assert!(moments.len() <= CAPACITY && moments.len() >= 24, "{} after {seconds}", moments.len());
            assert!((moments[0].seconds - 1.0).abs() < 1e-9);
            assert!((moments[moments.len() - 1].seconds - f64::from(seconds)).abs() < 1e-9);
        }
    }

    #[test]
    fn of_every_stretch_that_ends_now_there_are_moments_enough() {
        let history = after(86_400, f64::from);
        for share in [1.0, 0.5, 0.2, 0.08] {
            let stretch = history.moments().iter().filter(|moment| moment.seconds >= 86_400.0 * (1.0 - share));
            assert!(stretch.count() >= 7, "{share}");
        }
    }

    #[test]
    fn a_rest_takes_two_moments() {
        let history = after(10_000, |second| f64::from(second.min(12)));
        assert!(history.moments().len() < 20);
        let last = history.moments()[history.moments().len() - 1];
        assert!((last.seconds - 10_000.0).abs() < 1e-9 && (last.held_bytes - 12.0).abs() < 1e-9);
    }
}
