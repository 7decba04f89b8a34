//! Keeps what tracing costs a process within a share of the processor time that it uses.
//!
//! Pure: it is given what the probes were hit and what the process has used, prices the hits, and says what is to be
//! watched from now on. It first samples, as finely as the share allows; then, where the bare hits of probes cost too
//! much, it looks in bursts, each saved up for beforehand; then it lets go. What a burst costs is reckoned up to its end, and
//! nothing is watched until that is paid. When every allocation was asked for it only warns.

use leak_ebpf::{EXACT, Hits};

use crate::{
    probe::calibrate::HitCost,
    units::{bytes, percent},
};

/// How finely a person asked to sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Every allocation.
    Exact,
    /// Every allocation, as long as that is within the budget.
    Auto,
    /// At this mean number of bytes, or more.
    Every(u64),
}

impl Sample {
    /// Whether it may come to allocations not being traced, within this budget.
    pub fn may_leave_out(self, budget: Option<f64>) -> bool {
        match self {
            Self::Exact => false,
            Self::Auto => budget.is_some(),
            Self::Every(_) => true,
        }
    }
}

/// Which probes are to be in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// All.
    All,
    /// Those that see a known block go.
    Releases,
    /// None.
    Nothing,
}

/// What is asked of the probes of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    /// Mean bytes between samples.
    pub period: u64,
    /// Which probes.
    pub watch: Watch,
}

/// What was counted of a process up to one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Seconds, by any clock.
    pub at: f64,
    /// Processor time that the process has used, seconds.
    pub cpu: f64,
    /// What its probes were hit.
    pub hits: Hits,
}

/// What the governor has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// From now on, do this. To be told to the user when there is a reason.
    Orders(Orders, Option<String>),
    /// Go on, but tell the user this.
    Warning(String),
    /// Let go of the process, for this reason.
    LetGo(String),
}

/// A process that uses less of a core than this has time to spare: it may be slowed by the budget's share of a core. What it
/// does not take of that is not saved for when it is busy.
const BUSY: f64 = 0.5;

/// A process that uses less of a core than this is reckoned to use so much when it has to save: `/proc` tells no less.
const LEAST_USE: f64 = 0.02;

/// `/proc` counts processor time in ticks of 10 ms.
const TICK: f64 = 0.01;

/// A judgement is based on at least this long, in seconds, and on at most the longer.
const WINDOW: f64 = 0.25;
const LONG_WINDOW: f64 = 2.0;

/// What samples may cost, as a share of what bare hits cost: finer sampling than this is hardly felt.
const FOR_SAMPLES: f64 = 0.2;

/// Sampling is no finer and no coarser than this, in bytes.
const FINEST: u64 = 1 << 10;
const COARSEST: u64 = 16 << 20;

/// Seconds of a burst in which allocations are sampled, and those after it in which only frees are watched for. Samples
/// are had quickly; what comes and goes in seconds is told from what stays by the frees that are seen, at half the price.
const BURST: f64 = 0.1;
const LINGER: f64 = 0.5;

/// Seconds from one burst's end to the next, at least.
const PAUSE: f64 = 1.0;

/// A burst that takes longer to save up for, in seconds, is not worth it.
const TOO_LONG: f64 = 600.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Everything is watched.
    Full,
    /// A burst is on.
    Burst,
    /// It is over, and what it has sampled is watched.
    Lingering,
    /// Between bursts.
    Between,
}

/// The governor of one process.
#[derive(Clone, Debug)]
pub struct Governor {
    sample: Sample,
    /// The share of the process's processor time that tracing may take; all, if none is given.
    budget: Option<f64>,
    price: HitCost,
    orders: Orders,
    state: State,
    last: Option<Reading>,
    /// Where the state began, or the judgement of it.
    since: Reading,
    /// Seconds of processor time that may be spent; below 0 too much was.
    balance: f64,
    /// What a burst costs.
    burst_cost: f64,
    /// Processor time that the process uses in a second.
    cpu_rate: f64,
    has_warned: bool,
}

impl Governor {
    /// A governor of a process that is attached to now.
    pub fn new(sample: Sample, budget: Option<f64>, price: HitCost) -> Self {
        let period = if let Sample::Every(period) = sample { period } else { EXACT };
        Self {
            sample,
            budget,
            price,
            orders: Orders { period, watch: Watch::All },
            state: State::Full,
            last: None,
            since: Reading::default(),
            balance: 0.0,
            burst_cost: 0.0,
            cpu_rate: 0.0,
            has_warned: false,
        }
    }

    /// Whether it may come to allocations not being traced.
    pub fn may_sample(&self) -> bool {
        self.sample.may_leave_out(self.budget)
    }

    /// What is asked of the probes.
    pub fn orders(&self) -> Orders {
        self.orders
    }

    /// Whether what was sampled has been watched for as long as it is going to be: no burst is under way.
    pub fn is_settled(&self) -> bool {
        matches!(self.state, State::Full | State::Between)
    }

    /// Seconds until it should be asked again.
    pub fn patience(&self) -> f64 {
        match (self.budget, self.state) {
            (None, _) => f64::INFINITY,
            (_, State::Burst | State::Lingering) => 0.02,
            (_, State::Full | State::Between) => 0.1,
        }
    }

    /// Judges what was counted so far.
    pub fn judge(&mut self, now: Reading) -> Option<Decision> {
        let budget = self.budget?;
        let Some(last) = self.last.replace(now) else {
            self.since = now;
            return None;
        };
        let spent = self.spent(&last, &now);
        let saved = budget * (now.cpu - last.cpu).max(LEAST_USE * (now.at - last.at));
        let allowed = saved.max(spent.min(allowance(budget, &last, &now)));
        self.balance = (self.balance + allowed - spent).min(1.5 * self.burst_cost.max(TICK));
        if now.at > last.at {
            // Over some seconds, for single steps are shorter than a tick.
            let weight = ((now.at - last.at) / 2.0).min(1.0);
            self.cpu_rate += weight * ((now.cpu - last.cpu) / (now.at - last.at) - self.cpu_rate);
        }
        let elapsed = now.at - self.since.at;
        match self.state {
            State::Full if elapsed < WINDOW => None,
            State::Full => self.judge_full(budget, now),
            State::Burst if elapsed < BURST => None,
            State::Burst => {
                self.burst_cost = self.spent(&self.since, &now);
                Some(self.enter(State::Lingering, now, None))
            }
            State::Lingering if elapsed < LINGER => None,
            State::Lingering => {
                let spent = self.spent(&self.since, &now);
                self.burst_cost += spent;
                let is_cheap = spent < 0.6 * allowance(budget, &self.since, &now);
                let watch = if is_cheap { Watch::Releases } else { Watch::Nothing };
                self.state = State::Between;
                self.since = now;
                self.order(watch)
            }
            State::Between => self.judge_between(budget, now),
        }
    }

    fn judge_full(&mut self, budget: f64, now: Reading) -> Option<Decision> {
        let since = self.since;
        let (spent, allowed) = (self.spent(&since, &now), allowance(budget, &since, &now) + budget * TICK);
        let used = (now.cpu - since.cpu).max(TICK);
        if spent <= allowed {
            if now.at - since.at > LONG_WINDOW {
                self.since = now;
            }
            return None;
        }
        let cost = format!("costs {} of its CPU time", percent(100.0 * (spent / used).min(1.0)));
        if self.sample == Sample::Exact {
            if std::mem::replace(&mut self.has_warned, true) {
                return None;
            }
            return Some(Decision::Warning(format!(
                "every allocation is traced, which {cost}, more than the budget of {}; leave out -s exact to keep to it",
                percent(100.0 * budget)
            )));
        }
        let hits = now.hits.since(&since.hits);
        let bare = self.price.of_bare(&hits).as_secs_f64();
        let is_affordable = bare * (1.0 + FOR_SAMPLES) <= allowed;
        let for_samples = if is_affordable { 0.9 * allowed - bare } else { FOR_SAMPLES * bare };
        let before = self.orders.period;
        self.orders.period = before.max(self.period_for(hits.bytes, for_samples));
        let finer =
            if before == EXACT { "every allocation".to_owned() } else { format!("a sample every {}", bytes(before)) };
        let coarser = bytes(self.orders.period);
        if is_affordable && self.orders.period > before {
            self.since = now;
            let reason = format!("{finer} {cost}: one sample every {coarser} instead");
            return Some(Decision::Orders(self.orders, Some(reason)));
        }
        // As dear as those before.
        self.burst_cost = spent.min(bare * (1.0 + FOR_SAMPLES)) / (now.at - since.at) * (BURST + LINGER / 2.0);
        let reason = format!("{finer} {cost}, the probes alone too much: bursts with one sample every {coarser}");
        Some(self.enter(State::Between, now, Some(reason)))
    }

    fn judge_between(&mut self, budget: f64, now: Reading) -> Option<Decision> {
        let income = budget * self.cpu_rate.max(LEAST_USE);
        let missing = self.burst_cost - self.balance;
        if missing / income > TOO_LONG {
            return Some(Decision::LetGo(format!(
                "a look of {BURST} s costs {:.0} ms, for which the budget of {} has to be saved for more than {} minutes",
                self.burst_cost * 1000.0,
                percent(100.0 * budget),
                TOO_LONG / 60.0
            )));
        }
        if missing > 0.0 || now.at - self.since.at < PAUSE {
            return None;
        }
        // What is saved for at once can be had all the time.
        let is_affordable = self.burst_cost / (BURST + LINGER / 2.0) < 0.8 * income;
        if is_affordable {
            let reason = format!("probes have become cheap enough: one sample every {}", bytes(self.orders.period));
            return Some(self.enter(State::Full, now, Some(reason)));
        }
        Some(self.enter(State::Burst, now, None))
    }

    fn enter(&mut self, state: State, now: Reading, reason: Option<String>) -> Decision {
        self.state = state;
        self.since = now;
        self.orders.watch = match state {
            State::Full | State::Burst => Watch::All,
            State::Lingering => Watch::Releases,
            State::Between => Watch::Nothing,
        };
        Decision::Orders(self.orders, reason)
    }

    fn order(&mut self, watch: Watch) -> Option<Decision> {
        (std::mem::replace(&mut self.orders.watch, watch) != watch).then_some(Decision::Orders(self.orders, None))
    }

    /// The period at which samples of so many bytes cost so many seconds.
    fn period_for(&self, bytes: u64, seconds: f64) -> u64 {
        let samples = seconds.max(1e-9) / self.price.of_sample().as_secs_f64().max(1e-9);
        let period = (bytes as f64 / samples.max(1.0)) as u64;
        period.clamp(FINEST, COARSEST).next_power_of_two()
    }

    fn spent(&self, since: &Reading, now: &Reading) -> f64 {
        self.price.of(&now.hits.since(&since.hits)).as_secs_f64()
    }
}

fn allowance(budget: f64, since: &Reading, now: &Reading) -> f64 {
    let (used, elapsed) = ((now.cpu - since.cpu).max(0.0), now.at - since.at);
    budget * if used < BUSY * elapsed { elapsed } else { used }
}

#[cfg(test)]
mod tests;
