//! Medians and ratios as a markdown table, with what is demanded of them.

use std::fmt;

use crate::{contender::Contender, series::Series};

/// A ratio that is demanded.
#[derive(Clone, Copy)]
pub struct Bar {
    /// Of whom.
    pub of: Contender,
    /// To whom.
    pub to: Contender,
    /// How much.
    pub limit: Limit,
}

/// How a ratio is bounded.
#[derive(Clone, Copy)]
pub enum Limit {
    /// From above.
    AtMost(f64),
    /// From below.
    AtLeast(f64),
}

/// What was measured of one contender.
pub struct Row {
    /// Who.
    pub contender: Contender,
    /// Its measurements, if it ran.
    pub series: Option<Series>,
    /// What is to be said of it.
    pub remark: Option<String>,
}

/// A comparison that was made.
pub struct Table {
    title: String,
    unit: &'static str,
    bases: Vec<Contender>,
    bars: Vec<Bar>,
    rows: Vec<Row>,
}

impl Table {
    /// Of these rows, with a column for each base.
    pub fn new(title: String, unit: &'static str, bases: Vec<Contender>, bars: &[Bar], rows: Vec<Row>) -> Self {
        Self { title, unit, bases, bars: bars.to_vec(), rows }
    }

    /// How each of the demands was met, a sentence each.
    pub fn verdicts(&self) -> Vec<String> {
        self.bars.iter().map(|bar| bar.verdict(self.ratio(bar.of, bar.to))).collect()
    }

    fn series(&self, contender: Contender) -> Option<&Series> {
        self.rows.iter().find(|row| row.contender == contender)?.series.as_ref()
    }

    fn ratio(&self, of: Contender, to: Contender) -> Option<f64> {
        Some(self.series(of)?.ratio_to(self.series(to)?))
    }
}

impl Bar {
    /// Whether this ratio, where there is one, is as demanded.
    pub fn verdict(&self, ratio: Option<f64>) -> String {
        let (of, to) = (self.of.short(), self.to.short());
        let (demand, is_met): (String, fn(f64, f64) -> bool) = match self.limit {
            Limit::AtMost(most) => (format!("at most {most:.2}"), |ratio, limit| ratio <= limit),
            Limit::AtLeast(least) => (format!("at least {least:.2}"), |ratio, limit| ratio >= limit),
        };
        let (Limit::AtMost(limit) | Limit::AtLeast(limit)) = self.limit;
        match ratio {
            Some(ratio) if is_met(ratio, limit) => format!("{of}: {ratio:.2} x {to}, {demand}: met"),
            Some(ratio) => format!("{of}: {ratio:.2} x {to}, {demand}: **not met**"),
            None => format!("{of} to {to}, {demand}: not measured"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.title)?;
        write!(f, "| | {} |", self.unit)?;
        self.bases.iter().try_for_each(|base| write!(f, " x {} |", base.short()))?;
        write!(f, "\n|---|---:|")?;
        self.bases.iter().try_for_each(|_| write!(f, "---:|"))?;
        writeln!(f)?;
        for Row { contender, series, remark } in &self.rows {
            let Some(series) = series else {
                let reason =
                    if contender.is_peer() { "did not run" } else { remark.as_deref().unwrap_or("did not run") };
                writeln!(f, "| {} | {reason} |{}", contender.name(), " |".repeat(self.bases.len()))?;
                continue;
            };
            write!(f, "| {} | {:.0} |", contender.name(), series.median())?;
            for base in &self.bases {
                match self.series(*base).map(|base| series.ratio_to(base)) {
                    Some(ratio) if ratio < 0.1 => write!(f, " {ratio:.3} |")?,
                    Some(ratio) => write!(f, " {ratio:.2} |")?,
                    None => write!(f, " |")?,
                }
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        for Row { contender, remark, .. } in &self.rows {
            if let Some(remark) = remark {
                writeln!(f, "- {}: {remark}.", contender.short())?;
            }
        }
        self.verdicts().iter().try_for_each(|verdict| writeln!(f, "- {verdict}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(limit: Limit) -> Bar {
        Bar { of: Contender::FloorB, to: Contender::FloorA, limit }
    }

    #[test]
    fn a_bar_says_whether_it_is_met() {
        assert_eq!(bar(Limit::AtMost(1.35)).verdict(Some(1.35)), "floor B: 1.35 x floor A, at most 1.35: met");
        assert_eq!(bar(Limit::AtMost(1.35)).verdict(Some(1.4)), "floor B: 1.40 x floor A, at most 1.35: **not met**");
        assert_eq!(bar(Limit::AtLeast(0.93)).verdict(Some(0.95)), "floor B: 0.95 x floor A, at least 0.93: met");
        assert_eq!(bar(Limit::AtLeast(0.93)).verdict(None), "floor B to floor A, at least 0.93: not measured");
    }
}
