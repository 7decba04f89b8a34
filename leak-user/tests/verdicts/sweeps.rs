//! The same two programs over and over, one that leaks and one that does not, with other rates, churn, lifetimes, durations
//! and ways to look.

use crate::{
    label::{Label, complaints},
    program::{NEVER, Program},
    replay::Look,
};

/// Tries all of them. Gives what is wrong, and how many were tried.
pub fn check() -> (Vec<String>, usize) {
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for every in [1.0, 7.0, 30.0] {
        for (minutes, rate) in [(1.0, 20.0), (5.0, 5.0), (10.0, 1.0), (60.0, 0.3), (1440.0, 0.02)] {
            for times_churn in [0.0, 3.0, 30.0] {
                for life in [0.2, 5.0, 40.0] {
                    let horizon = minutes * 60.0;
                    // Fewer of what takes long.
                    if minutes > 60.0 && every < 30.0 || minutes >= 60.0 && times_churn > 20.0 {
                        continue;
                    }
                    tried += 1;
                    wrong.extend(pair(horizon, Look { every, ..Look::EXACT }, rate, times_churn, life, tried));
                }
            }
        }
    }
    (wrong, tried as usize)
}

/// A leak at this rate beside so many times as much churn of this mean lifetime; and at another site the churn alone, and as much
/// again that stays for a minute.
fn pair(horizon: f64, look: Look, rate: f64, times_churn: f64, life: f64, seed: u64) -> Vec<String> {
    let name = format!(
        "a leak of {rate}/s under {times_churn} times churn of {life} s, for {horizon} s every {} s",
        look.every
    );
    let mut program = Program::new(seed, horizon);
    program.leak(0.0, NEVER, rate, 300);
    for site in [0, 1] {
        program.site = site;
        if times_churn > 0.0 {
            program.churn(0.0, NEVER, rate * times_churn, 300, |random| random.wait(life));
        }
    }
    program.churn(0.0, NEVER, rate, 300, |_| 60.0);
    let leak = match horizon {
        short if short <= 120.0 => Label::Healthy,
        _ => Label::Leaks { from: 0.0, within: 2.5 * due(rate, times_churn, life) + look.every },
    };
    complaints(&name, program, look, &[leak, Label::Healthy], seed)
}

/// When the leak is due: when it has been seen for long enough, some sixty blocks or ten minutes; when four times the age
/// that none of the churn reaches has passed; and when it stands out from the churn.
fn due(rate: f64, times_churn: f64, life: f64) -> f64 {
    let shortest = (120.0_f64 * 60.0 / rate).sqrt().clamp(140.0, 620.0);
    if times_churn == 0.0 {
        return shortest.max(14.0 / rate);
    }
    let settled = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0].into_iter();
    let settled = settled.filter(|edge| *edge >= life * 12.0).fold(f64::INFINITY, f64::min);
    shortest.max(5.0 * settled).max(12.0 * (times_churn * life / rate).sqrt()).max(20.0 / rate)
}
