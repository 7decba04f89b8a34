//! From "biggest" to "leaking": what a stack's history says.
//!
//! Pure: a history is points of time and outstanding bytes, and the same points give the same verdict. The trend is a
//! Theil-Sen slope, the median of the slopes between all pairs of points, which a spike does not bend; whether it is
//! one at all is asked of the Mann-Kendall test. It says nothing before [`MIN_POINTS`] points: then a stack is new.

mod history;

pub use history::{History, Point};

use serde::{Deserialize, Serialize};

/// Fewest points that a verdict is based on.
pub const MIN_POINTS: usize = 6;

/// Chance of seeing such a rise in noise below which it counts as growth (one-sided z of Mann-Kendall, 1 %).
const RISING_Z: f64 = 2.33;

/// A trace is a sample of a program's life: it makes nothing quite certain.
const MOST_CERTAIN: f64 = 0.99;

/// Growth over the second half of the history, as a share of the level, below which a stack has come to rest.
const AT_REST: f64 = 0.01;

/// What a stack's history amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It grows and nothing allocated here is given back.
    Leak,
    /// It grows, and some of it is given back.
    Growing,
    /// It grew and has stopped.
    Plateau,
    /// It comes and goes.
    Churn,
    /// Too young to say.
    #[default]
    New,
}

/// What a history amounts to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Trend in bytes a second.
    pub bytes_per_s: f64,
    /// Why, in one sentence without its full stop.
    pub why: String,
}

/// Judges a stack by its points and by how many of its blocks were allocated and freed.
pub fn judge(points: &[Point], allocated: u64, freed: u64) -> Judgement {
    let bytes_per_s = slope(points);
    if points.len() < MIN_POINTS {
        return Judgement { bytes_per_s, why: "too young to say".to_owned(), ..Judgement::default() };
    }
    let z = mann_kendall(points);
    let late = &points[points.len() / 2..];
    let level = late.last().map_or(0.0, |point| point.bytes);
    let late_growth = slope(late) * (span(late));
    let resting = late_growth.abs() <= AT_REST * level.max(1.0);
    let rising = z > RISING_Z && bytes_per_s > 0.0 && !resting;
    let freed_share = freed as f64 / allocated.max(1) as f64;
    let (verdict, confidence) = if rising && freed == 0 {
        (Verdict::Leak, certainty(z))
    } else if rising {
        // What is given back speaks against a leak, in proportion.
        (Verdict::Growing, certainty(z) * (1.0 - freed_share / 2.0))
    } else if resting && level > 0.0 && freed_share < 0.5 {
        (Verdict::Plateau, 1.0 - freed_share)
    } else {
        (Verdict::Churn, freed_share.max(0.5))
    };
    Judgement { verdict, confidence, bytes_per_s, why: String::new() }
}

/// Trend of the second half of a history in bytes a second, or of all where that is short: what fills up at first and then
/// comes to rest has none.
pub fn recent_trend(points: &[Point]) -> f64 {
    slope(if points.len() < MIN_POINTS { points } else { &points[points.len() / 2..] })
}

/// Median of the slopes between all pairs of points, bytes a second.
fn slope(points: &[Point]) -> f64 {
    let mut slopes: Vec<f64> = pairs(points)
        .filter(|(early, late)| late.seconds > early.seconds)
        .map(|(early, late)| (late.bytes - early.bytes) / (late.seconds - early.seconds))
        .collect();
    if slopes.is_empty() {
        return 0.0;
    }
    let middle = slopes.len() / 2;
    *slopes.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The Mann-Kendall statistic as a standard normal deviate: how surely the points rise (or, below 0, fall).
fn mann_kendall(points: &[Point]) -> f64 {
    let n = points.len() as f64;
    let score: f64 = pairs(points)
        .map(|(early, late)| match late.bytes.total_cmp(&early.bytes) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.0,
            std::cmp::Ordering::Less => -1.0,
        })
        .sum();
    let variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    if score == 0.0 { 0.0 } else { (score - score.signum()) / variance.sqrt() }
}

fn pairs(points: &[Point]) -> impl Iterator<Item = (&Point, &Point)> {
    points.iter().enumerate().flat_map(|(index, early)| points[index + 1..].iter().map(move |late| (early, late)))
}

fn span(points: &[Point]) -> f64 {
    match (points.first(), points.last()) {
        (Some(first), Some(last)) => last.seconds - first.seconds,
        _ => 0.0,
    }
}

/// One less the chance that noise rises like this: the normal distribution, by the logistic approximation.
fn certainty(z: f64) -> f64 {
    (1.0 / (1.0 + (-1.702 * z).exp())).min(MOST_CERTAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(bytes: impl IntoIterator<Item = f64>) -> Vec<Point> {
        (0_u32..).zip(bytes).map(|(second, bytes)| Point { seconds: f64::from(second), bytes }).collect()
    }

    #[test]
    fn a_steady_rise_without_a_free_is_a_leak_at_its_rate() {
        let judged = judge(&points((0..20).map(|second| f64::from(second) * 1000.0)), 20, 0);
        assert_eq!(judged.verdict, Verdict::Leak);
        assert!((judged.bytes_per_s - 1000.0).abs() < 1e-6);
        assert!((0.98..1.0).contains(&judged.confidence));
    }

    #[test]
    fn what_has_filled_up_has_no_recent_trend() {
        let filled = points((0..40).map(|second| 1e6 * (1.0 - (-f64::from(second) / 4.0).exp())));
        assert!(recent_trend(&filled) < 2000.0 && recent_trend(&filled[..4]) > 1e5);
    }

    #[test]
    fn a_rise_with_frees_is_growing() {
        assert_eq!(judge(&points((0..20).map(|second| f64::from(second) * 1000.0)), 40, 20).verdict, Verdict::Growing);
    }

    #[test]
    fn a_cache_that_filled_up_is_a_plateau() {
        let judged = judge(&points((0..20).map(|second| f64::from(second.min(5)) * 1000.0)), 5, 0);
        assert_eq!(judged.verdict, Verdict::Plateau);
    }

    #[test]
    fn what_comes_and_goes_is_churn() {
        let judged = judge(&points((0..20).map(|second| f64::from(second % 3) * 1000.0)), 2000, 1998);
        assert_eq!(judged.verdict, Verdict::Churn);
    }

    #[test]
    fn a_few_points_say_nothing_yet() {
        let judged = judge(&points((0..4).map(|second| f64::from(second) * 1000.0)), 4, 0);
        assert_eq!((judged.verdict, judged.confidence), (Verdict::New, 0.0));
    }

    #[test]
    fn no_points_at_all_are_no_trend() {
        assert!(judge(&[], 0, 0).bytes_per_s.abs() < 1e-9);
    }
}
