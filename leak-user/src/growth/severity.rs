//! How bad it is as a whole.

use serde::{Deserialize, Serialize};

use super::Verdict;

/// A leak this sure is worth waking someone for.
const SURE: f64 = 0.9;

/// How bad a report or a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing grows.
    #[default]
    Good,
    /// Something grows, or may be leaking.
    Warning,
    /// Something leaks, for almost sure.
    Critical,
}

impl Severity {
    /// Of one stack.
    pub fn of(verdict: Verdict, confidence: f64) -> Self {
        match verdict {
            Verdict::Leak if confidence >= SURE => Self::Critical,
            Verdict::Leak | Verdict::Growing => Self::Warning,
            Verdict::Plateau | Verdict::Churn | Verdict::New => Self::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sure_leak_is_critical() {
        let of = Severity::of;
        assert_eq!([of(Verdict::Plateau, 0.99), of(Verdict::Churn, 0.99), of(Verdict::New, 0.0)], [Severity::Good; 3]);
        assert_eq!([of(Verdict::Growing, 0.99), of(Verdict::Leak, 0.89)], [Severity::Warning; 2]);
        assert_eq!(of(Verdict::Leak, 0.9), Severity::Critical);
        assert!(Severity::Good < Severity::Warning && Severity::Warning < Severity::Critical);
    }

    #[test]
    fn it_is_written_in_lower_case() {
        assert_eq!(serde_json::to_value(Severity::Critical).unwrap(), "critical");
    }
}
