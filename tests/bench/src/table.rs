//! Medians and ratios as a markdown table.

use std::fmt;

/// One of those compared, with what was measured of it.
pub struct Contender {
    name: &'static str,
    nanoseconds: Vec<f64>,
}

impl Contender {
    /// One without measurements yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, nanoseconds: Vec::new() }
    }

    /// Adds a measurement, nanoseconds a pair.
    pub fn add(&mut self, nanoseconds: f64) {
        self.nanoseconds.push(nanoseconds);
    }

    /// Median of what was measured.
    pub fn median(&self) -> f64 {
        median(self.nanoseconds.clone())
    }

    /// Median of what it took longer than another, round by round.
    pub fn median_above(&self, other: &Self) -> f64 {
        median(self.nanoseconds.iter().zip(&other.nanoseconds).map(|(own, other)| own - other).collect())
    }

    /// Median of the ratios round by round: what disturbs a round disturbs both.
    fn ratio_to(&self, other: &Self) -> f64 {
        median(self.nanoseconds.iter().zip(&other.nanoseconds).map(|(own, other)| own / other).collect())
    }
}

/// The comparison: the first contender is untraced, the second is the floor.
pub struct Table<'a> {
    /// What was measured.
    pub title: String,
    /// Who.
    pub contenders: &'a [Contender],
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        writeln!(f, "| | ns a pair | x the floor |")?;
        writeln!(f, "|---|---:|---:|")?;
        for contender in self.contenders {
            let ratio = self.contenders.get(1).map_or(f64::NAN, |floor| contender.ratio_to(floor));
            writeln!(f, "| {} | {:.0} | {ratio:.2} |", contender.name, contender.median())?;
        }
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
