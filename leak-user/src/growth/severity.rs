//! How bad it is as a whole.

use serde::Serialize;

use super::{Judgement, Verdict};

/// A leak this sure is worth waking someone for.
const SURE: f64 = 0.9;

/// How bad a report or a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

    /// Of all stacks together: the worst of each.
    pub fn of_all<'a>(judgements: impl IntoIterator<Item = &'a Judgement>) -> Self {
        let each = judgements.into_iter().map(|judgement| Self::of(judgement.verdict, judgement.confidence));
        each.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(verdict: Verdict, confidence: f64) -> Judgement {
        Judgement { verdict, confidence, ..Judgement::default() }
    }

    #[test]
    fn only_a_sure_leak_is_critical_and_the_worst_stack_counts() {
        let healthy = [judged(Verdict::Plateau, 0.99), judged(Verdict::Churn, 0.99), judged(Verdict::New, 0.0)];
        assert_eq!(Severity::of_all(&healthy), Severity::Good);
        assert_eq!(Severity::of_all(&[]), Severity::Good);
        let growing = [healthy[0].clone(), judged(Verdict::Growing, 0.99), judged(Verdict::Leak, 0.89)];
        assert_eq!(Severity::of_all(&growing), Severity::Warning);
        let leaks = [growing[1].clone(), judged(Verdict::Leak, 0.9)];
        assert_eq!(Severity::of_all(&leaks), Severity::Critical);
    }

    #[test]
    fn it_is_written_in_lower_case() {
        assert_eq!(serde_json::to_value(Severity::Critical).unwrap(), "critical");
    }
}
