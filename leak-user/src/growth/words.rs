//! Why a verdict was given, in plain words with figures: one sentence without its full stop.

use super::{Evidence, leak, leak::Leak, past::Past};
use crate::{
    ledger::Ages,
    units::{bytes, percent, seconds},
};

/// A rate in the unit that keeps it readable: `+1.2 MiB/s`, `+340 KiB/min`, `-80 B/h`.
pub fn pace(bytes_per_s: f64) -> String {
    let sign = if bytes_per_s < 0.0 { '-' } else { '+' };
    let a_second = bytes_per_s.abs();
    let (figure, unit) = match a_second {
        fast if fast >= 1_048_576.0 => (fast, "s"),
        slow if slow < 1.0 => (slow * 3600.0, "h"),
        middling => (middling * 60.0, "min"),
    };
    format!("{sign}{}/{unit}", bytes(figure.round() as u64))
}

/// Of a leak.
pub fn leaks(evidence: &Evidence<'_>, leak: &Leak) -> String {
    let past = Past::last(evidence.moments, leak.watched_s);
    let what = match leak.settled_s {
        none if none <= 0.0 => "nothing was ever freed".to_owned(),
        age => {
            let is_older = |part: usize| part >= Ages::part_of((age * 1e9) as u64);
            let few = evidence.lifetimes.0.iter().enumerate().any(|(part, blocks)| is_older(part) && *blocks > 0);
            format!("{} older than {} was ever freed", if few { "hardly anything" } else { "nothing" }, seconds(age))
        }
    };
    format!("{}, {}; {what}", grew(&past), pace(leak.bytes_per_s))
}

/// How steadily it grew.
pub fn grew(past: &Past<'_>) -> String {
    let (grew, of) = past.growing_intervals();
    format!("grew in {grew} of {of} intervals")
}

/// The share of its blocks that a stack has freed.
pub fn freed_share(evidence: &Evidence<'_>) -> f64 {
    let last = evidence.moments.last().copied().unwrap_or_default();
    let (held, freed) = (f64::from(last.held_count), f64::from(last.freed_count));
    if held + freed > 0.0 { freed / (held + freed) } else { 0.0 }
}

/// Of what grows and is no leak so far.
pub fn grows(evidence: &Evidence<'_>, past: &Past<'_>, bytes_per_s: f64) -> String {
    let freed = freed_share(evidence);
    let but = if freed > 0.0 {
        format!("{} of its blocks were freed", percent((freed * 100.0).min(99.9)))
    } else if evidence.clock_s < leak::SHORTEST {
        format!("nothing was freed so far, but {} is too short to tell", seconds(evidence.clock_s))
    } else {
        "nothing was freed so far, but it is uneven, slows down or is too little to tell".to_owned()
    };
    format!("{}, {}; {but}", grew(past), pace(bytes_per_s))
}

/// Of what has stopped growing.
pub fn rests(past: &Past<'_>) -> String {
    let (rest, _) = past.rests();
    if rest >= 1.0 { format!("has not grown for {}", seconds(rest)) } else { "hardly grows any more".to_owned() }
}

/// Of what comes and goes.
pub fn churns(evidence: &Evidence<'_>) -> String {
    let freed = freed_share(evidence);
    if freed <= 0.0 {
        return "neither grows nor rests".to_owned();
    }
    let all = evidence.lifetimes.total();
    let mut sum = 0_u64;
    let usual = evidence.lifetimes.0.iter().position(|blocks| {
        sum = sum.saturating_add(*blocks);
        sum.saturating_mul(10) >= all.saturating_mul(9)
    });
    let freed = percent((freed * 100.0).min(if freed < 1.0 { 99.9 } else { 100.0 }));
    match usual.filter(|_| all > 0) {
        Some(part) => format!("comes and goes: {freed} of its blocks were freed, most at ages {}", Ages::name(part)),
        None => format!("comes and goes: {freed} of its blocks were freed"),
    }
}
