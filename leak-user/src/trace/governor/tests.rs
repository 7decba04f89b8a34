use super::*;

const PRICE: HitCost =
    HitCost { call: 3000.0, skipped_call: 1000.0, free: 1500.0, skipped_free: 1000.0, stepped_extra: 10_000.0 };

/// A process with work for the whole of a core, which slows down by what tracing it costs.
struct Process {
    /// Pairs of allocations and frees of 100 bytes that it makes in a second of work of its own.
    pairs: f64,
    governor: Governor,
    now: Reading,
    spent: f64,
    decisions: Vec<Decision>,
    watched: f64,
}

impl Process {
    fn new(pairs: f64, sample: Sample, budget: f64) -> Self {
        Self {
            pairs,
            governor: Governor::new(sample, Some(budget), PRICE),
            now: Reading::default(),
            spent: 0.0,
            decisions: Vec::new(),
            watched: 0.0,
        }
    }

    fn run(&mut self, seconds: f64) {
        let end = self.now.at + seconds;
        while self.now.at < end {
            let step = 0.02;
            let orders = self.governor.orders();
            let (period, watch) = (orders.period as f64, orders.watch);
            // Seconds that a pair costs, with what comes of it.
            let chance = if orders.period == EXACT { 1.0 } else { 1.0 - (-100.0 / period).exp() };
            let calls = if watch == Watch::All { 1.0 } else { 0.0 };
            let frees = if watch == Watch::Nothing { 0.0 } else { 1.0 };
            let pair = Hits {
                entries: (calls * 1e6) as u64,
                told_calls: (calls * chance * 1e6) as u64,
                frees: (frees * 1e6) as u64,
                told_frees: (calls * chance * 1e6) as u64,
                stepped: 0,
                bytes: (calls * 100e6) as u64,
            };
            let dear = PRICE.of(&pair).as_secs_f64() / 1e6;
            let pairs = step / (1.0 / self.pairs + dear);
            let times = |count: u64| (count as f64 / 1e6 * pairs) as u64;
            let hits = Hits {
                entries: times(pair.entries),
                told_calls: times(pair.told_calls),
                frees: times(pair.frees),
                told_frees: times(pair.told_frees),
                stepped: 0,
                bytes: times(pair.bytes),
            };
            self.spent += pairs * dear;
            self.watched += if watch == Watch::All { step } else { 0.0 };
            self.now.at += step;
            self.now.cpu += step;
            self.now.hits = self.now.hits.and(&hits);
            // `/proc` tells whole ticks.
            let told = Reading { cpu: (self.now.cpu / TICK).floor() * TICK, ..self.now };
            self.decisions.extend(self.governor.judge(told));
        }
    }

    fn share(&self) -> f64 {
        self.spent / self.now.cpu
    }
}

#[test]
fn a_process_that_allocates_little_is_traced_whole() {
    let mut process = Process::new(5_000.0, Sample::Auto, 0.05);
    process.run(60.0);
    assert!(process.decisions.is_empty() && process.governor.orders().period == EXACT, "{:?}", process.decisions);
    assert!((0.01..0.05).contains(&process.share()));
}

#[test]
fn one_that_mostly_waits_has_time_to_spare_but_saves_none() {
    let mut governor = Governor::new(Sample::Auto, Some(0.05), PRICE);
    let mut now = Reading::default();
    // A tenth of a core, a third of which is probes' work: 3 % of a core.
    for step in 1..500 {
        now = Reading { at: f64::from(step) * 0.1, cpu: f64::from(step) * 0.01, ..now };
        now.hits.entries += 750;
        now.hits.told_calls += 750;
        assert_eq!(governor.judge(now), None);
    }
    assert!(governor.balance < 0.02, "{}", governor.balance);
}

#[test]
fn one_that_allocates_more_is_sampled_as_finely_as_the_budget_allows() {
    let mut process = Process::new(18_000.0, Sample::Auto, 0.05);
    process.run(60.0);
    let orders = process.governor.orders();
    assert!(orders.watch == Watch::All && orders.period > EXACT, "{:?}", process.decisions);
    assert!(process.share() < 0.052, "{}", process.share());
    assert_eq!(process.decisions.len(), 1);
}

#[test]
fn one_whose_bare_hits_cost_too_much_is_watched_in_bursts() {
    for pairs in [50_000.0, 300_000.0, 10_000_000.0] {
        let mut process = Process::new(pairs, Sample::Auto, 0.05);
        process.run(300.0);
        assert!(process.share() < 0.053, "{pairs}: {}", process.share());
        assert!(process.watched > 2.0, "{pairs}: it is watched for {} s", process.watched);
    }
}

#[test]
fn a_period_that_was_asked_for_is_only_ever_raised() {
    let mut process = Process::new(1_000_000.0, Sample::Every(4 << 20), 0.05);
    assert_eq!(process.governor.orders().period, 4 << 20);
    process.run(30.0);
    assert!(process.governor.orders().period >= 4 << 20);
}

#[test]
fn who_asks_for_every_allocation_is_warned_once() {
    let mut process = Process::new(1_000_000.0, Sample::Exact, 0.05);
    process.run(30.0);
    assert!(
        matches!(&process.decisions[..], [Decision::Warning(text)] if text.contains("more than the budget of 5 %"))
    );
    assert_eq!(process.governor.orders(), Orders { period: EXACT, watch: Watch::All });
}

#[test]
fn a_budget_that_allows_no_look_at_all_lets_go() {
    let mut process = Process::new(10_000_000.0, Sample::Auto, 0.0001);
    process.run(30.0);
    let last = process.decisions.last();
    assert!(matches!(last, Some(Decision::LetGo(reason)) if reason.contains("10 minutes")), "{last:?}");
}

#[test]
fn bursts_end_when_the_load_does() {
    let mut process = Process::new(1_000_000.0, Sample::Auto, 0.05);
    process.run(20.0);
    process.pairs = 2_000.0;
    process.run(60.0);
    assert_eq!(process.governor.orders().watch, Watch::All, "{:?}", process.decisions.last());
    assert!(process.governor.is_settled());
}

#[test]
fn without_a_budget_nothing_is_judged() {
    let mut governor = Governor::new(Sample::Auto, None, PRICE);
    let dear = Reading { at: 10.0, cpu: 1.0, hits: Hits { entries: 1 << 40, ..Hits::default() } };
    assert_eq!((governor.judge(Reading::default()), governor.judge(dear)), (None, None));
}
