//! Whether figures that change with time have a trend, and which: statistics that a spike does not bend.
//!
//! Pure, and of any quantity. It leaves out what a trend means.

/// A figure at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct At {
    /// Seconds.
    pub seconds: f64,
    /// The figure.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

/// Chance of seeing such a rise in noise below which it counts as a rise (one-sided z of Mann-Kendall, 1 %).
pub const RISING_Z: f64 = 2.33;

/// Two estimates that are no farther apart than so many standard errors are equal.
const EQUAL: f64 = 0.5;

/// Median of the slopes between all pairs of points (Theil-Sen), in units a second; 0 where there is no pair.
pub fn slope(points: &[At]) -> f64 {
    let mut slopes: Vec<f64> = pairs(points)
        .filter(|(early, late)| late.seconds > early.seconds)
        .map(|(early, late)| (late.value - early.value) / (late.seconds - early.seconds))
        .collect();
    if slopes.is_empty() {
        return 0.0;
    }
    let middle = slopes.len() / 2;
    *slopes.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The Mann-Kendall statistic as a standard normal deviate: how surely the points rise (or, below 0, fall). Equal figures
/// speak for neither, and estimates are equal when they are nearer to each other than they are sure.
pub fn mann_kendall(points: &[At]) -> f64 {
    let n = points.len() as f64;
    let score: f64 = pairs(points).map(|(early, late)| f64::from(order(early, late))).sum();
    if score == 0.0 {
        return 0.0;
    }
    let ways = |n: f64| n * (n - 1.0) * (2.0 * n + 5.0);
    let mut values: Vec<f64> = points.iter().map(|point| point.value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let ties: f64 = values.chunk_by(|a, b| a.total_cmp(b).is_eq()).map(|tied| ways(tied.len() as f64)).sum();
    let variance = (ways(n) - ties) / 18.0;
    (score - score.signum()) / variance.sqrt().max(1.0)
}

/// 1 where the later figure is greater, -1 where it is less.
fn order(early: &At, late: &At) -> i8 {
    let noise = EQUAL * early.error.hypot(late.error);
    match late.value - early.value {
        rise if rise > noise => 1,
        fall if fall < -noise => -1,
        _ => 0,
    }
}

fn pairs(points: &[At]) -> impl Iterator<Item = (&At, &At)> {
    points.iter().enumerate().flat_map(|(index, early)| points[index + 1..].iter().map(move |late| (early, late)))
}

/// One less the chance that noise rises like this: the normal distribution, by the logistic approximation.
pub fn certainty(z: f64) -> f64 {
    1.0 / (1.0 + (-1.702 * z).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: impl IntoIterator<Item = f64>) -> Vec<At> {
        (0_u32..).zip(values).map(|(second, value)| At { seconds: f64::from(second), value, error: 0.0 }).collect()
    }

    #[test]
    fn a_spike_does_not_bend_a_slope() {
        let mut line = points((0..20).map(|second| f64::from(second) * 1000.0));
        line[7].value = 1e9;
        assert!((slope(&line) - 1000.0).abs() < 60.0, "{}", slope(&line));
    }

    #[test]
    fn what_rises_all_the_time_rises_for_sure_and_what_wavers_does_not() {
        assert!(mann_kendall(&points((0..12).map(f64::from))) > 4.0);
        assert!(mann_kendall(&points((0..12).map(|second| f64::from(second % 3)))) < RISING_Z);
        assert!(mann_kendall(&points((0..12).map(|second| -f64::from(second)))) < -4.0);
    }

    #[test]
    fn one_step_among_equals_is_no_sure_rise() {
        let step = points((0..12).map(|second| if second == 11 { 1.0 } else { 0.0 }));
        assert!(mann_kendall(&step) < RISING_Z, "{}", mann_kendall(&step));
    }

    #[test]
    fn a_rise_within_the_error_of_estimates_is_none() {
        let mut faint = points((0..12).map(f64::from));
        for point in &mut faint {
            point.error = 100.0;
        }
        assert!(mann_kendall(&faint).abs() < 1e-9);
    }

    #[test]
    fn no_points_have_no_trend() {
        assert!(slope(&[]).abs() < 1e-9 && mann_kendall(&[]).abs() < 1e-9);
    }
}
