//! What a change of a stack amounts to.

use serde::Serialize;

use super::Figures;
use crate::{
    growth::Verdict,
    session::{Point, StackView},
};

/// Below so many bytes two figures are the same.
const LEAST_BYTES: f64 = 1024.0;

/// Below this share of the greater two figures are the same.
const LEAST_SHARE: f64 = 0.05;

/// How far off a trend may be, as a share of it, and with it what was carried on.
const TREND_ERROR: f64 = 0.2;

/// What a change amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It holds memory and was not there before.
    New,
    /// It held memory and is not there any more.
    Gone,
    /// It holds more, or has begun to grow.
    Worse,
    /// It holds less, or has ceased to grow.
    Better,
    /// Neither.
    Same,
}

/// How far off the figures of a view are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    /// Bytes of the largest stack.
    pub largest_bytes: u64,
    /// Bytes that were carried on.
    carried_bytes: f64,
    /// Bytes between the most and the least that stacks held which come and go.
    swing_bytes: f64,
    /// Square of the standard error.
    variance: f64,
}

impl Noise {
    /// Takes a stack into account of which so much was carried on.
    pub fn add(&mut self, stack: &StackView, carried_bytes: u64) {
        self.carried_bytes += carried_bytes as f64;
        self.variance += (stack.last().bytes_stderr as f64).powi(2);
        if stack.judgement.verdict == Verdict::Churn {
            let held = || stack.points.iter().map(Point::held_bytes);
            self.swing_bytes += held().max().unwrap_or(0).abs_diff(held().min().unwrap_or(0)) as f64;
        }
    }
}

impl Change {
    /// What lies between the figures of a stack before and after.
    pub(super) fn of(before: Option<&Figures>, after: Option<&Figures>) -> Self {
        let held = |figures: Option<&Figures>| figures.map_or(0, |figures| figures.held_bytes);
        let (Some(was), Some(is)) = (before, after) else {
            return match (held(before), held(after)) {
                (0, 0) => Self::Same,
                (0, _) => Self::New,
                _ => Self::Gone,
            };
        };
        let difference = is.compared_bytes as f64 - was.compared_bytes as f64;
        if difference.abs() > tolerance(was, is) {
            return if difference > 0.0 { Self::Worse } else { Self::Better };
        }
        match (grows(was.verdict), grows(is.verdict)) {
            (false, true) if was.verdict != Verdict::New => Self::Worse,
            (true, false) if is.verdict != Verdict::New => Self::Better,
            _ => Self::Same,
        }
    }
}

/// Bytes by which two figures may differ and be the same.
fn tolerance(was: &Figures, is: &Figures) -> f64 {
    let greater = was.compared_bytes.max(is.compared_bytes) as f64;
    let (one, other) = (was.noise, is.noise);
    (LEAST_SHARE * greater)
        .max(LEAST_BYTES)
        .max(one.swing_bytes.max(other.swing_bytes))
        .max(2.0 * (one.variance + other.variance).sqrt())
        .max(TREND_ERROR * (one.carried_bytes + other.carried_bytes))
}

/// Whether a verdict says that a stack grows.
pub fn grows(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Leak | Verdict::Growing)
}
