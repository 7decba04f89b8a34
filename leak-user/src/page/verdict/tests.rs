use super::*;
use crate::session::sample;

fn judged(verdict: Verdict, confidence: f64) -> View {
    let mut view = sample::redis();
    for stack in &mut view.stacks {
        stack.judgement.verdict = Verdict::Churn;
    }
    view.stacks[0].judgement.verdict = verdict;
    view.stacks[0].judgement.confidence = confidence;
    view
}

#[test]
fn a_sure_leak_is_critical_and_an_unsure_one_a_warning() {
    let severities = [(Verdict::Leak, 0.9), (Verdict::Leak, 0.89), (Verdict::Growing, 0.99), (Verdict::New, 0.0)]
        .map(|(verdict, confidence)| headline(&judged(verdict, confidence)).severity);
    assert_eq!(severities, [Severity::Critical, Severity::Warning, Severity::Warning, Severity::Good]);
}

#[test]
fn the_sentence_says_how_fast_where_how_sure_and_how_long() {
    let said = headline(&sample::redis());
    assert_eq!(
        said.sentence,
        "1 stack leaks 99.0 KiB/s in redis-server: je_malloc ← zmalloc_usable ← _sdsnewlen ← …; 97 % sure; at this \
         rate the limit of 512.0 MiB is reached in 47 m 06 s"
    );
    assert!(said.next[0].starts_with("Look at /build/redis-7.2/src/zmalloc.c:134, zmalloc_usable: "), "{said:?}");
    assert!(said.next.iter().any(|next| next.starts_with("Compare two snapshots, by their labels")), "{said:?}");
}

#[test]
fn of_several_leaks_all_are_summed_and_the_fastest_is_named() {
    let mut view = sample::redis();
    view.stacks[1].judgement.verdict = Verdict::Leak;
    view.stacks[1].judgement.bytes_per_s = 1024.0;
    let said = headline(&view).sentence;
    assert!(said.starts_with("2 stacks leak 100.0 KiB/s in redis-server, the fastest by 99.0 KiB/s: je_malloc ← "));
}

#[test]
fn the_soonest_end_is_told() {
    let mut view = sample::redis();
    for snapshot in &mut view.snapshots {
        snapshot.memory[0].system_available_bytes = Some(10 << 20);
    }
    assert!(headline(&view).sentence.ends_with("the 10.0 MiB that the system has left are used up in 1 m 43 s"));
    for snapshot in &mut view.snapshots {
        snapshot.memory.clear();
    }
    assert!(headline(&view).sentence.ends_with("97 % sure"));
}

#[test]
fn a_view_where_nothing_grows_is_good_and_says_what_it_saw() {
    let mut view = judged(Verdict::Plateau, 0.9);
    assert_eq!(headline(&view).sentence, "Nothing leaks: in 30 m 00 s of 5 stacks none kept growing");
    view.stacks.truncate(1);
    view.stacks[0].judgement.verdict = Verdict::New;
    let said = headline(&view);
    assert!(said.sentence.starts_with("Too early to say"));
    assert!(said.next[0].starts_with("Trace for longer") && !said.judged, "{said:?}");
    view.stacks.clear();
    assert!(headline(&view).sentence.starts_with("No stacks to judge") && !headline(&view).judged);
}

#[test]
fn memory_that_is_not_held_is_told_of() {
    let mut view = judged(Verdict::Plateau, 0.9);
    view.snapshots[60].memory[0].rss_bytes = 4 << 30;
    assert!(headline(&view).next.iter().any(|next| next.starts_with("RSS grew by 4.0 GiB")));
}

#[test]
fn a_hostile_name_is_written_out_and_short() {
    let said = headline(&sample::hostile());
    for text in said.next.iter().chain([&said.sentence]) {
        assert!(!text.contains(crate::text::is_hostile) && text.len() < 1000, "{text}");
    }
}
