//! Whether a stack leaks: what it allocates grows old and stays, and there is steadily more of that.
//!
//! A leak is told by what becomes of old blocks rather than by the level, which traffic moves. In some stretch of time
//! that ends now,
//! - past some age, far below the stretch, blocks are freed no more, though others may be before that age;
//! - blocks of every part of the stretch have stayed so, at a rate that does not fall: what fills up slows down;
//! - they are many, or the stretch is long;
//! - the stretch is where this began: what grew faster before is slowing down;
//! - and it has not come to rest.
//!
//! One thing cannot be told from a leak by anything that is seen: what fills up evenly before it is full, and has freed
//! nothing so far. So nothing is called a leak before [`SHORTEST`], and a leak that was watched for little longer is an
//! unsure one. Blocks whose frees nobody watched for a time count as held, and make for [`UNSEEN`] times as long a look.

use super::{
    Evidence,
    past::Past,
    survival::{Stretch, Survival},
};

/// No stretch shorter than this shows a leak, seconds: most of what fills up has done so, or slows down.
pub const SHORTEST: f64 = 120.0;

/// Nor one shorter than this, when the stack was there before: it has changed its ways, and may again.
const SHORTEST_CHANGE: f64 = 300.0;

/// Nor one shorter than this share of the stack's life: what has rested often may rest again.
const SHORTEST_SHARE: f64 = 1.0 / 12.0;

/// So many blocks that stay make a leak as soon as can be. Of fewer, it takes longer to be sure that they stay.
const MANY: f64 = 60.0;

/// Fewer make none.
const FEWEST: f64 = 8.0;

/// Blocks must have settled within this share of the stretch.
const SETTLED: f64 = 0.25;

/// Where a stack once frees, its frees are seen before a stretch so many times as long is over.
const UNSEEN: f64 = 5.0;

/// More than this share of what is held makes it unseen.
const UNSEEN_SHARE: f64 = 0.2;

/// The rate of what stays may be less by this factor in the younger half, whatever the noise,
const SLOWER: f64 = 0.6;

/// and by this one when it is more than noise, which is less by so much with every doubling of the stretch: no traffic is quite
/// even, and what fills up has slowed down the more the longer it is watched,
const SURELY_SLOWER: f64 = 0.95;
const SLOWER_YET: f64 = 0.05;

/// of which so many standard errors are not: fewer where all stays, for so do things that fill up, than where most goes; and
/// fewest early on, when most of them are filling up. With every doubling of the stretch it is this much more.
const SURELY: f64 = 1.5;
const SURELY_OF_CHURN: f64 = 3.5;
const SURER: f64 = 0.7;

/// The unevenness of so few intervals as there are comes out greater than it is by up to this factor.
const CHANCE_UNEVENNESS: f64 = 1.7;

/// A floor is above the one before if it is by this share of what it would be if all rose alike.
const RISE: f64 = 0.25;

/// In the older half it is at least this share of that in the younger one: what has begun only now may be over soon.
const BEGUN: f64 = 0.25;

/// What grew faster than this before the stretch slows down,
const FASTER_BEFORE: f64 = 1.1;

/// what grew slower than this did not grow,
const AT_REST_BEFORE: f64 = 0.5;

/// and how fast it grew is told from at least this share of the stretch.
const BEFORE: f64 = 0.25;

/// What stays must have come in so many intervals: a few steps are a warm-up.
const STEPS: usize = 6;

/// Of a stack that frees more than this share of what it allocates, the level is mostly that of what comes and goes.
const CHURNS: f64 = 0.5;

/// A leak that was found.
#[derive(Clone, Copy, Debug)]
pub struct Leak {
    /// The stretch that shows it, in seconds in which allocations were watched.
    pub watched_s: f64,
    /// The age from which blocks stay; 0 where none was ever freed.
    pub settled_s: f64,
    /// Bytes that stay for good, a second.
    pub bytes_per_s: f64,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
}

/// Looks for a leak, in the longest stretch that shows one.
pub fn find(evidence: &Evidence<'_>) -> Option<Leak> {
    let last = evidence.moments.last()?;
    let life = evidence.clock_s;
    let stretches = Survival::edges().filter(|edge| (SHORTEST_CHANGE..life).contains(edge)).rev();
    let blocks = f64::from(last.held_count);
    let case = Case {
        evidence,
        survival: Survival::new(evidence.ages, evidence.lifetimes, blocks, life),
        seen_share: seen_share(evidence),
        patience: if evidence.unknown_bytes > UNSEEN_SHARE * last.held_bytes { UNSEEN } else { 1.0 },
        churns: f64::from(last.freed_count) > CHURNS * f64::from(last.held_count + last.freed_count),
    };
    std::iter::once(life)
        .chain(stretches)
        .take_while(|stretch| *stretch >= SHORTEST * case.patience && *stretch >= life * SHORTEST_SHARE)
        .find_map(|stretch| case.in_stretch(stretch))
}

/// How many samples there are for each block that they stand for, at most 1.
fn seen_share(evidence: &Evidence<'_>) -> f64 {
    evidence.moments.last().map_or(1.0, |last| {
        let error = f64::from(last.bytes_stderr) / last.held_bytes.max(1.0);
        if error > 0.0 { (1.0 / (error * error) / f64::from(last.held_count).max(1.0)).min(1.0) } else { 1.0 }
    })
}

struct Case<'a> {
    evidence: &'a Evidence<'a>,
    survival: Survival<'a>,
    seen_share: f64,
    patience: f64,
    churns: bool,
}

impl Case<'_> {
    fn in_stretch(&self, clock_s: f64) -> Option<Leak> {
        let settled_s = self.survival.settled_from(clock_s * SETTLED, clock_s)?;
        let stayed = self.survival.stretch(settled_s, clock_s);
        let seen = self.seen(stayed.bytes);
        let long_enough = SHORTEST * self.patience * (MANY / seen.max(1.0)).clamp(1.0, UNSEEN);
        if seen < FEWEST || clock_s < long_enough {
            return None;
        }
        let watched_s = clock_s * self.evidence.watched_share();
        let past = Past::last(self.evidence.moments, watched_s);
        let goes_on = self.is_steady(settled_s, clock_s) && self.began_here(clock_s, stayed.rate());
        (goes_on && self.rises_throughout(&past, settled_s, clock_s) && !is_resting(&past)).then(|| Leak {
            watched_s,
            settled_s,
            bytes_per_s: stayed.rate() / self.evidence.watched_share(),
            confidence: self.confidence(clock_s, seen),
        })
    }

    /// Blocks that were seen of so many bytes.
    fn seen(&self, bytes: f64) -> f64 {
        self.survival.blocks(bytes) * self.seen_share
    }

    /// Whether as much stays of late as did before.
    fn is_steady(&self, settled_s: f64, clock_s: f64) -> bool {
        let middle = |edge: &f64| (edge - clock_s / 2.0).abs();
        let between = Survival::edges().filter(|edge| *edge > settled_s && *edge < clock_s);
        let Some(split) = between.min_by(|a, b| middle(a).total_cmp(&middle(b))) else { return false };
        let (young, old) = (self.survival.stretch(settled_s, split), self.survival.stretch(split, clock_s));
        let share = young.rate() / old.rate().max(f64::MIN_POSITIVE) / self.busier(&young, &old);
        if young.bytes <= 0.0 || share < SLOWER || share * BEGUN > 1.0 {
            return false;
        }
        let noise = (1.0 / self.seen(young.bytes).max(1.0) + 1.0 / self.seen(old.bytes).max(1.0)).sqrt();
        let past = Past::last(self.evidence.moments, clock_s * self.evidence.watched_share());
        let noise = if self.churns {
            SURELY_OF_CHURN * noise
        } else {
            let patience = (SURELY + SURER * (clock_s / SHORTEST).log2()).clamp(SURELY, SURELY_OF_CHURN);
            patience * noise * (self.seen(past.unevenness()) / CHANCE_UNEVENNESS).max(1.0).sqrt()
        };
        let even = (SURELY_SLOWER - SLOWER_YET * (clock_s / SHORTEST).log2()).clamp(0.75, SURELY_SLOWER);
        share >= even || -share.ln() < noise
    }

    /// How many times as much was allocated a second in the younger stretch. Where most is freed, traffic is told from what
    /// it leaves behind; where all stays, what slows down may do so because it fills up.
    fn busier(&self, young: &Stretch, old: &Stretch) -> f64 {
        if !self.churns {
            return 1.0;
        }
        let allocated = |stretch: &Stretch| {
            let share = self.evidence.watched_share();
            let since = |age: f64| Past::last(self.evidence.moments, age * share).allocated_count();
            (since(stretch.to) - since(stretch.from)) / stretch.seconds().max(1.0)
        };
        let (of_young, of_old) = (allocated(young), allocated(old));
        if of_young > 0.0 && of_old > 0.0 { of_young / of_old } else { 1.0 }
    }

    /// Whether the stretch is all there is, or what came before it did not grow faster, back to where it did not grow.
    fn began_here(&self, clock_s: f64, rate: f64) -> bool {
        for before in self.survival.parts().filter(|part| part.from >= clock_s) {
            if before.seconds() < BEFORE * clock_s || before.rate() > FASTER_BEFORE * rate {
                return false;
            }
            if before.rate() < AT_REST_BEFORE * rate {
                return true;
            }
        }
        true
    }

    /// Whether there is more and more in each part of the stretch: at its floors, or, where what comes and goes hides them, of
    /// what stays.
    fn rises_throughout(&self, past: &Past<'_>, settled_s: f64, clock_s: f64) -> bool {
        let floors = past.floors::<6>();
        let rise = (floors[floors.len() - 1] - floors[0]) / (floors.len() - 1) as f64;
        let (steps, _) = past.growing_intervals();
        if rise > 0.0 && steps >= STEPS && floors.windows(2).all(|pair| pair[1] - pair[0] > RISE * rise) {
            return true;
        }
        let expected = self.survival.stretch(settled_s, clock_s).rate();
        let parts = self.survival.parts().filter(|part| part.from >= settled_s && part.to <= clock_s);
        let mut wide = parts.filter(|part| part.seconds() >= clock_s * SHORTEST_SHARE).peekable();
        let stays_throughout =
            wide.peek().is_some() && wide.all(|part| part.rate() > expected / 4.0 && self.seen(part.bytes) >= 4.0);
        self.churns && rise > 0.0 && stays_throughout
    }

    fn confidence(&self, clock_s: f64, seen: f64) -> f64 {
        let by_time = 1.0 - 0.3 * (SHORTEST * self.patience / clock_s).powf(1.2);
        let by_blocks = 1.0 - 1.0 / seen;
        let by_sight = if self.patience > 1.0 { 0.85 } else { 1.0 };
        by_time * by_blocks * by_sight
    }
}

/// Whether it has not grown for longer than it ever took to.
fn is_resting(past: &Past<'_>) -> bool {
    let (rest, longest) = past.rests();
    rest > (2.5 * longest).max(past.seconds() / 12.0)
}
