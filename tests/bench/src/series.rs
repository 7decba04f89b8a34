//! Measurements of one contender, a round each, and what is told of them: medians, never means.

/// What was measured, in the order of the rounds.
#[derive(Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds the measurement of the next round.
    pub fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Median of what was measured.
    pub fn median(&self) -> f64 {
        median(self.0.clone())
    }

    /// Median of what was measured more than of another, round by round.
    pub fn median_above(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(own, other)| own - other).collect())
    }

    /// Median of the ratios round by round: what disturbs a round disturbs both.
    pub fn ratio_to(&self, other: &Self) -> f64 {
        median(self.0.iter().zip(&other.0).map(|(own, other)| own / other).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let (mut own, mut base) = (Series::default(), Series::default());
        for (one, other) in [(20.0, 10.0), (300.0, 100.0), (8.0, 4.0)] {
            own.add(one);
            base.add(other);
        }
        assert!((own.median() - 20.0).abs() < 1e-9);
        assert!((own.ratio_to(&base) - 2.0).abs() < 1e-9);
        assert!((own.median_above(&base) - 10.0).abs() < 1e-9);
    }
}
