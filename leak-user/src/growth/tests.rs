use super::*;
use crate::ledger::Ages;

/// A stack that holds so many bytes in blocks of a hundred at each second, and what was freed by then.
fn moments(held: impl IntoIterator<Item = f64>, freed: impl Fn(f64) -> f64) -> Vec<Moment> {
    (0_u32..)
        .zip(held)
        .map(|(second, held_bytes)| {
            let freed_bytes = freed(second.into()) as f32;
            let (held_count, freed_count) = ((held_bytes / 100.0) as f32, freed_bytes / 100.0);
            Moment { seconds: second.into(), held_bytes, held_count, freed_bytes, freed_count, bytes_stderr: 0.0 }
        })
        .collect()
}

/// So many bytes held of every second up to this age.
fn evenly(bytes_per_s: u64, seconds: u64) -> Ages {
    let mut ages = Ages::default();
    (0..seconds).for_each(|second| ages.add(second * 1_000_000_000, bytes_per_s));
    ages
}

fn judged(moments: &[Moment], ages: &Ages, lifetimes: &Ages) -> Judgement {
    let clock_s = moments.last().map_or(0.0, |last| last.seconds);
    judge(&Evidence { moments, ages, lifetimes, clock_s, unknown_bytes: 0.0 })
}

fn line(seconds: u32) -> Vec<Moment> {
    moments((0..=seconds).map(|second| f64::from(second) * 1000.0), |_| 0.0)
}

#[test]
fn a_steady_rise_without_a_free_is_a_leak_at_its_rate_when_it_was_watched_for_long_enough() {
    let leak = judged(&line(600), &evenly(1000, 600), &Ages::default());
    assert_eq!(leak.verdict, Verdict::Leak);
    assert!((leak.bytes_per_s - 1000.0).abs() < 1.0 && (0.9..1.0).contains(&leak.confidence), "{leak:?}");
    assert_eq!(leak.why, "grew in 20 of 20 intervals, +58.6 KiB/min; nothing was ever freed");
}

#[test]
fn in_a_short_look_it_only_grows() {
    let young = judged(&line(60), &evenly(1000, 60), &Ages::default());
    assert_eq!(young.verdict, Verdict::Growing);
    assert!(young.why.ends_with("nothing was freed so far, but 1 m 00 s is too short to tell"));
    let hardly_older = judged(&line(125), &evenly(1000, 125), &Ages::default());
    assert!(hardly_older.verdict == Verdict::Leak && hardly_older.confidence < 0.9, "{hardly_older:?}");
}

#[test]
fn a_leak_may_have_most_of_its_blocks_freed_young() {
    let moments = moments((0..=600).map(|second| f64::from(second) * 1000.0), |second| second * 100_000.0);
    let mut lifetimes = Ages::default();
    lifetimes.0[..3].copy_from_slice(&[500_000, 99_000, 1000]);
    let leak = judged(&moments, &evenly(1000, 600), &lifetimes);
    assert_eq!(leak.verdict, Verdict::Leak);
    assert!(leak.why.ends_with("nothing older than 15 s was ever freed"), "{}", leak.why);
}

#[test]
fn a_rise_of_which_old_blocks_are_freed_is_growing() {
    let moments = moments((0..=600).map(|second| f64::from(second) * 1000.0), |second| second * 100.0);
    let mut lifetimes = Ages::default();
    lifetimes.0[6..9].copy_from_slice(&[200, 200, 200]);
    assert_eq!(judged(&moments, &evenly(1000, 600), &lifetimes).verdict, Verdict::Growing);
}

#[test]
fn a_cache_that_filled_up_is_a_plateau_and_says_for_how_long() {
    let moments = moments((0..=600).map(|second| f64::from(second.min(150)) * 1000.0), |_| 0.0);
    let mut ages = Ages::default();
    ages.add(500_000_000_000, 150_000);
    let full = judged(&moments, &ages, &Ages::default());
    assert_eq!((full.verdict, full.why.as_str()), (Verdict::Plateau, "has not grown for 7 m 30 s"));
    assert!(full.bytes_per_s.abs() < 1e-9);
}

#[test]
fn what_comes_and_goes_is_churn_and_says_how_fast() {
    let moments = moments((0..=60).map(|second| f64::from(second % 3) * 1000.0), |second| second * 1000.0);
    let mut lifetimes = Ages::default();
    lifetimes.0[1] = 600;
    let churn = judged(&moments, &evenly(1000, 2), &lifetimes);
    assert_eq!(churn.verdict, Verdict::Churn);
    assert_eq!(churn.why, "comes and goes: 100 % of its blocks were freed, most at ages 1 s to 5 s");
}

#[test]
fn a_few_moments_say_nothing_yet() {
    let young = judged(&line(4), &evenly(1000, 4), &Ages::default());
    assert_eq!((young.verdict, young.confidence), (Verdict::New, 0.0));
    assert!(judged(&[], &Ages::default(), &Ages::default()).bytes_per_s.abs() < 1e-9);
}

#[test]
fn the_same_evidence_gives_the_same_verdict_live_and_from_a_session() {
    let view = crate::session::sample::redis();
    for stack in &view.stacks {
        let recorded = Recorded::of(stack, &view);
        let once = judge(&recorded.evidence(stack));
        assert_eq!(once, judge(&Recorded::of(stack, &view).evidence(stack)));
    }
    let strict: Vec<bool> =
        view.stacks.iter().map(|stack| Recorded::of(stack, &view).evidence(stack).gave_nothing_back()).collect();
    assert_eq!(strict, [true, false, false, false, true]);
}

#[test]
fn figures_from_nowhere_make_no_panic() {
    let wild = [f64::NAN, f64::INFINITY, -1.0, 0.0, f64::MAX];
    for seconds in wild {
        for held_bytes in wild {
            let moments = vec![Moment { seconds, held_bytes, ..Moment::default() }; 12];
            for clock_s in wild {
                let ages = Ages([u64::MAX; crate::ledger::AGE_PARTS]);
                judge(&Evidence { moments: &moments, ages: &ages, lifetimes: &ages, clock_s, unknown_bytes: clock_s });
            }
        }
    }
}
