//! When memory in use comes to a limit, if it goes on as it does.

use serde::Serialize;

use super::trend::{At, RISING_Z, mann_kendall, slope};

/// Fewest points that a forecast is based on.
const MIN_POINTS: usize = 6;

/// When a limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// The rate that it is based on, bytes a second: the robust trend of the recent half.
    pub bytes_per_s: f64,
    /// Seconds from the last point until the limit is reached; 0 when it is already.
    pub seconds_left: f64,
}

/// Says when the limit is reached, from points of seconds and bytes in use, oldest first. None where the bytes do not grow
/// with confidence, over all of the time and of late.
pub fn forecast(points: &[(f64, f64)], limit_bytes: f64) -> Option<Forecast> {
    let points: Vec<At> =
        points.iter().map(|(seconds, value)| At { seconds: *seconds, value: *value, error: 0.0 }).collect();
    let recent = &points[points.len() / 2..];
    let recent = if recent.len() < MIN_POINTS { &points[..] } else { recent };
    let bytes_per_s = slope(recent);
    let grows = points.len() >= MIN_POINTS
        && mann_kendall(&points) > RISING_Z
        && mann_kendall(recent) > RISING_Z
        && bytes_per_s > 0.0;
    let last = points.last().filter(|_| grows)?;
    Some(Forecast { bytes_per_s, seconds_left: ((limit_bytes - last.value) / bytes_per_s).max(0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(bytes: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..40).map(|step| f64::from(step) * 10.0).map(|seconds| (seconds, bytes(seconds))).collect()
    }

    #[test]
    fn a_steady_rise_reaches_the_limit_when_the_line_does() {
        let told = forecast(&points(|seconds| 1e6 + 1000.0 * seconds), 2e6).unwrap();
        assert!((told.bytes_per_s - 1000.0).abs() < 1e-6 && (told.seconds_left - 610.0).abs() < 1e-6, "{told:?}");
    }

    #[test]
    fn a_limit_that_is_passed_is_reached_now() {
        assert!(forecast(&points(|seconds| 1000.0 * seconds), 10.0).unwrap().seconds_left.abs() < 1e-9);
    }

    #[test]
    fn what_is_level_falls_or_has_come_to_rest_reaches_no_limit() {
        assert_eq!(forecast(&points(|_| 5.0), 10.0), None);
        assert_eq!(forecast(&points(|seconds| 1e6 - seconds), 2e6), None);
        assert_eq!(forecast(&points(|seconds| seconds.min(100.0)), 1000.0), None);
        assert_eq!(forecast(&points(|seconds| seconds % 40.0), 1000.0), None);
    }

    #[test]
    fn a_few_points_foretell_nothing() {
        assert_eq!(forecast(&points(|seconds| seconds)[..5], 1000.0), None);
        assert_eq!(forecast(&[], 1000.0), None);
    }
}
