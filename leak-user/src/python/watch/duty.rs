//! When a word is watched, so that watching all of them costs no more than a share of a processor's time.
//!
//! A write that traps costs microseconds, and a program may write a hundred thousand times a second. So a word is watched
//! in turns: as long as it is cheap, all the time; else for a while that ends when enough was seen, and then not until
//! the cost, spread over all of that time, is within the share. Pauses vary, so that no rhythm of the program's hides.

use std::time::Duration;

/// The share of a processor's time that all words may cost together.
pub const BUDGET: f64 = 0.01;

/// A turn lasts as long at most, where it costs more than the word's share.
const TURN: Duration = Duration::from_millis(50);

/// So many writes are enough for a turn.
const ENOUGH: u64 = 200;

/// How soon to look again, while it is not known yet whether a word is cheap, and where it is.
const SOON: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(100);

/// A word that is cheap for as long begins anew: time in which little was written is no credit.
const SPELL: Duration = Duration::from_secs(1);

/// Longest pause.
const LONGEST: Duration = Duration::from_secs(10);

/// What to do with a word that is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Watch on, and look again after this time.
    Watch(Duration),
    /// The same, in a new turn.
    WatchAnew(Duration),
    /// Pause for this time.
    Pause(Duration),
}

/// What comes after so long a turn with so many writes, each of which costs so many seconds, where the word may cost this
/// share. `chance` is between 0 and 1.
pub fn next(turn: Duration, writes: u64, cost: f64, share: f64, chance: f64) -> Next {
    let (spent, allowed) = (writes as f64 * cost, turn.as_secs_f64() * share);
    if spent <= allowed {
        return if turn >= SPELL {
            Next::WatchAnew(LATER)
        } else {
            Next::Watch(if turn < TURN { SOON } else { LATER })
        };
    }
    if turn < TURN && writes < ENOUGH {
        return Next::Watch(SOON);
    }
    let pause = (spent / share - turn.as_secs_f64()) * (0.75 + chance / 2.0);
    Next::Pause(Duration::try_from_secs_f64(pause).unwrap_or(LONGEST).min(LONGEST))
}

/// How a budget is divided among words that would cost these shares if they were watched all the time: the cheap ones
/// take what they need, and the others the same part each of what is left.
pub fn divide(budget: f64, costs: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by(|one, other| costs[*one].total_cmp(&costs[*other]));
    let mut shares = vec![0.0; costs.len()];
    let mut left = budget;
    for (place, word) in order.iter().enumerate() {
        let part = left / (costs.len() - place) as f64;
        shares[*word] = part;
        left -= costs[*word].min(part);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: f64 = 11e-6;

    /// What share of the time a word is watched, and what that costs, at so many writes a second.
    fn simulate(writes_per_s: f64, share: f64) -> (f64, f64) {
        let (mut now, mut watched, mut writes, mut random) = (0.0, 0.0, 0.0, 0_u32);
        let mut turn = 0.0;
        while now < 300.0 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let chance = f64::from(random) / f64::from(u32::MAX);
            let seen = (turn * writes_per_s) as u64;
            let (watch, ends) = match next(Duration::from_secs_f64(turn), seen, COST, share, chance) {
                Next::Watch(wait) => (wait, false),
                Next::WatchAnew(wait) => {
                    turn = 0.0;
                    (wait, false)
                }
                Next::Pause(wait) => (wait, true),
            };
            now += watch.as_secs_f64();
            if ends {
                turn = 0.0;
            } else {
                turn += watch.as_secs_f64();
                watched += watch.as_secs_f64();
                writes += watch.as_secs_f64() * writes_per_s;
            }
        }
        (watched / now, writes * COST / now)
    }

    #[test]
    fn what_is_cheap_is_watched_all_the_time() {
        for rate in [0.0, 1.0, 100.0, 850.0] {
            assert!(simulate(rate, 0.01).0 > 0.999, "{rate}");
        }
    }

    #[test]
    fn what_is_dear_costs_its_share() {
        for rate in [1000.0, 1700.0, 10_000.0, 90_000.0] {
            let (watched, cost) = simulate(rate, 0.01);
            assert!(cost < 0.011 && cost > 0.007, "{rate}: {cost}");
            assert!(watched > 0.0, "{rate}");
        }
    }

    #[test]
    fn calm_is_no_credit() {
        // An hour of calm is an hour of turns, each of which begins anew.
        assert_eq!(next(SPELL, 3, COST, 0.01, 0.5), Next::WatchAnew(LATER));
        assert!(matches!(next(LATER, 5000, COST, 0.01, 0.5), Next::Pause(pause) if pause > Duration::from_secs(5)));
    }

    #[test]
    fn cheap_words_leave_what_they_do_not_need() {
        assert_eq!(divide(0.01, &[0.5]), [0.01]);
        let shares = divide(0.01, &[0.5, 0.001, 0.3, 0.0]);
        assert!((shares[0] - 0.0045).abs() < 1e-9 && (shares[2] - 0.0045).abs() < 1e-9, "{shares:?}");
        assert!(shares[1] >= 0.001 && shares[3] > 0.0, "{shares:?}");
    }
}
