//! Verdicts on made-up programs: which of them leak is known, and the verdicts must say so.
//!
//! Each is a stream of allocations and frees in virtual time, driven by a seed, that is replayed through the ledger; its
//! stacks are judged again and again, as a live trace and as a session would. A leak must be called one in time; at no
//! moment may anything healthy be.

mod bundled;
mod held_out;
mod label;
mod program;
mod random;
mod replay;
mod sweeps;

use label::Scenario;

/// Seeds that each scenario is tried with.
const SEEDS: u64 = 3;

fn check(scenarios: &[Scenario]) {
    check_each(scenarios, Scenario::check);
}

fn check_each(scenarios: &[Scenario], check: impl Fn(&Scenario, u64) -> Vec<String> + Copy + Send) {
    let jobs: Vec<(&Scenario, u64)> =
        scenarios.iter().flat_map(|scenario| (0..SEEDS).map(move |seed| (scenario, seed))).collect();
    let halves = [0, 1].map(|half| jobs.iter().skip(half).step_by(2).copied().collect::<Vec<_>>());
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads = halves.map(|half| {
            scope.spawn(move || half.into_iter().flat_map(|(scenario, seed)| check(scenario, seed)).collect::<Vec<_>>())
        });
        threads.into_iter().flat_map(|thread| thread.join().expect("a check")).collect()
    });
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), jobs.len(), wrong.join("\n"));
}

#[test]
fn every_bundled_leak_is_called_one_in_time_and_nothing_healthy_ever_is() {
    check(bundled::SCENARIOS);
}

#[test]
fn nor_is_anything_wrong_with_scenarios_that_were_held_out() {
    check(held_out::SCENARIOS);
}

#[test]
fn where_allocations_are_watched_in_bursts_leaks_are_told_later_and_nothing_healthy_ever_is() {
    for bursts in [(5.0, 5.0), (5.0, 20.0)] {
        check_each(bundled::SCENARIOS, |scenario, seed| scenario.check_in_bursts(bursts, 3.0, seed));
    }
}

#[test]
fn a_leak_is_told_from_its_twin_at_any_rate_under_any_churn_and_at_any_cadence() {
    let (wrong, tried) = sweeps::check();
    assert!(wrong.is_empty(), "{} of {tried} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
