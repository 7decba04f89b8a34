//! From "biggest" to "leaking": what a stack's past and the ages of its blocks say.
//!
//! Pure: the same [`Evidence`] gives the same [`Judgement`], in a live trace and from a session. Most memory that is held is
//! not leaking: caches and what warms up come first in every list. So a leak is told by what becomes of old blocks
//! ([`leak`]), and by the level only whether it grows at all ([`trend`], [`past`]). It says nothing before
//! [`MIN_MOMENTS`] and [`MIN_SECONDS`]: then a stack is new.

mod evidence;
mod history;
mod leak;
mod level;
mod past;
mod severity;
mod survival;
mod trend;
mod words;

use serde::{Deserialize, Serialize};

pub use evidence::{Evidence, Moment, Recorded};
pub use history::History;
pub use leak::SHORTEST as SHORTEST_LEAK_S;
pub use level::{Rise, rise};
pub use severity::Severity;

use past::Past;
use trend::{RISING_Z, certainty, mann_kendall};

/// Fewest moments that a verdict is based on.
pub const MIN_MOMENTS: usize = 6;

/// Shortest time that a verdict is based on, in seconds.
pub const MIN_SECONDS: f64 = 4.0;

/// A trace is a sample of a program's life: it makes nothing quite certain.
const MOST_CERTAIN: f64 = 0.99;

/// Growth over the recent half of the past, as a share of the level, below which a stack has come to rest.
const AT_REST: f64 = 0.01;

/// What a stack's past amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// There is steadily more of what is never given back.
    Leak,
    /// It grows, but may come to rest: it is young, slows down, or old blocks are given back.
    Growing,
    /// It grew and has stopped.
    Plateau,
    /// It comes and goes.
    Churn,
    /// Too young to say.
    #[default]
    New,
}

impl Verdict {
    /// Its name, as the JSON report spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Growing => "growing",
            Self::Plateau => "plateau",
            Self::Churn => "churn",
            Self::New => "new",
        }
    }

    /// Whether it is known not to grow.
    pub const fn is_at_rest(self) -> bool {
        matches!(self, Self::Plateau | Self::Churn)
    }
}

/// What a stack's past amounts to, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Trend in bytes a second of watched time: of the stretch that shows a leak, or else of the recent half.
    pub bytes_per_s: f64,
    /// Why, in one sentence without its full stop.
    pub why: String,
}

/// Judges a stack.
pub fn judge(evidence: &Evidence<'_>) -> Judgement {
    let all = Past::last(evidence.moments, f64::INFINITY);
    let recent = Past::last(evidence.moments, all.seconds() / 2.0);
    let too_few = evidence.moments.len() < MIN_MOMENTS;
    let bytes_per_s = if too_few { all.slope() } else { recent.slope() };
    if too_few || all.seconds() < MIN_SECONDS {
        return Judgement { bytes_per_s, why: "too young to say".to_owned(), ..Judgement::default() };
    }
    if let Some(leak) = leak::find(evidence) {
        let (bytes_per_s, why) = (leak.bytes_per_s, words::leaks(evidence, &leak));
        return Judgement { verdict: Verdict::Leak, confidence: leak.confidence.min(MOST_CERTAIN), bytes_per_s, why };
    }
    let last = evidence.moments[evidence.moments.len() - 1];
    let growth = bytes_per_s * recent.seconds();
    let is_resting = growth.abs() <= AT_REST * last.held_bytes.max(1.0);
    let z = mann_kendall(&all.levels()).max(mann_kendall(&recent.levels()));
    let freed_share = words::freed_share(evidence);
    let (verdict, confidence, why) = if z > RISING_Z && growth > 0.0 && !is_resting {
        // What is given back speaks against growth without end, in proportion.
        let confidence = certainty(z) * (1.0 - freed_share / 2.0);
        (Verdict::Growing, confidence, words::grows(evidence, &recent, bytes_per_s))
    } else if last.held_bytes > 0.0 && is_resting && recent.freed_bytes() < last.held_bytes / 2.0 {
        (Verdict::Plateau, 1.0 - freed_share / 2.0, words::rests(&all))
    } else {
        (Verdict::Churn, freed_share.max(0.5), words::churns(evidence))
    };
    Judgement { verdict, confidence: confidence.min(MOST_CERTAIN), bytes_per_s, why }
}

#[cfg(test)]
mod tests;
