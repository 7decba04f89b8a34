//! Replays a made-up program through the ledger as a trace does, and judges its stacks again and again.

use leak_ebpf::{AllocRecord, Draw, EXACT, FreeRecord, Head, Kind, Record, Signature};
use leak_user::{
    growth::{Evidence, History, Judgement, Moment, judge},
    ledger::{Ages, Ledger, Sizes, Stack},
};

use crate::program::{NEVER, Program};

/// Where the records' clock stands when the program begins.
const EPOCH_NS: u64 = 1 << 50;

/// How a trace looks at a program.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Seconds from one judgement to the next.
    pub every: f64,
    /// Mean bytes between samples.
    pub period: u64,
    /// Allocations are watched for so many seconds, then not for as many as the second says; frees of what is known are all
    /// the time.
    pub bursts: Option<(f64, f64)>,
}

impl Look {
    pub const EXACT: Self = Self { every: 5.0, period: EXACT, bursts: None };

    /// For how many seconds allocations had been watched at a time.
    fn watched_s(&self, now: f64) -> f64 {
        let Some((on, off)) = self.bursts else { return now };
        (now / (on + off)).floor() * on + (now % (on + off)).min(on)
    }

    /// Whether allocations are watched at a time.
    fn watches(&self, now: f64) -> bool {
        self.bursts.is_none_or(|(on, off)| now % (on + off) < on)
    }
}

/// A judgement of a site.
#[derive(Clone, Debug)]
pub struct Judged {
    pub seconds: f64,
    pub site: u32,
    pub judgement: Judgement,
}

struct Event {
    at: f64,
    is_free: bool,
    life: usize,
}

/// What a session keeps of a stack: moments at even distances, at most as many as a view has.
#[derive(Default)]
struct Snapshots {
    moments: Vec<Moment>,
    every: usize,
    ticks: usize,
}

impl Snapshots {
    fn tick(&mut self, moment: Moment) {
        self.every = self.every.max(1);
        if self.ticks.is_multiple_of(self.every) {
            self.moments.push(moment);
        }
        self.ticks += 1;
        if self.moments.len() == leak_user::session::MOST_SNAPSHOTS {
            self.moments = self.moments.iter().step_by(2).copied().collect();
            self.every *= 2;
        }
    }
}

#[derive(Default)]
struct Site {
    history: History,
    snapshots: Snapshots,
    /// When it was first seen, by the clock.
    first_s: Option<f64>,
}

/// All judgements of a program: from the history of a live trace, and from evenly spread snapshots as of a session.
pub fn replay(program: &mut Program, look: Look) -> (Vec<Judged>, Vec<Judged>) {
    let mut events = Vec::with_capacity(program.lives.len() * 2);
    for life in 0..program.lives.len() {
        let of = program.lives[life];
        let drawn = of.bytes.max(1) as f64 / look.period as f64;
        if !look.watches(of.born) {
            continue;
        }
        if look.period > EXACT && !program.random.chance(-(-drawn).exp_m1()) {
            continue;
        }
        events.push(Event { at: of.born, is_free: false, life });
        if of.dies < program.horizon && of.dies < NEVER {
            events.push(Event { at: of.dies, is_free: true, life });
        }
    }
    events.sort_by(|a, b| a.at.total_cmp(&b.at));
    let sites = program.lives.iter().map(|life| life.site).max().map_or(0, |site| site as usize + 1);
    let mut ledger = Ledger::new(Sizes::default());
    for site in 0..sites as u64 {
        let stack = [Kind::Stack as u64, 1, site + 1, 1, 0x1000 * (site + 1)];
        ledger.enter(&Record::decode(&stack).expect("a record"), |_, _, _| Default::default());
    }
    let mut seen: Vec<Site> = (0..sites).map(|_| Site::default()).collect();
    let (mut live, mut recorded) = (Vec::new(), Vec::new());
    let mut events = events.into_iter().peekable();
    let mut next_judgement = look.every;
    // A stack is of use to the history from its first allocation on, as it then comes up in a trace.
    for tick in 1..=program.horizon as u64 {
        let now = tick as f64;
        while let Some(event) = events.next_if(|event| event.at <= now) {
            enter(&mut ledger, program, &event, look.period);
        }
        for (place, site) in seen.iter_mut().enumerate() {
            let stack = stack_of(&ledger, place);
            if stack.sums.allocated.seen > 0 {
                let moment = Moment::of_sums(look.watched_s(now), &stack.sums);
                site.history.tick(moment);
                site.snapshots.tick(moment);
                site.first_s.get_or_insert(now);
            }
        }
        if now + 1e-9 < next_judgement {
            continue;
        }
        next_judgement += look.every;
        let ages = ages_of_sites(&ledger, now, sites);
        for (place, site) in seen.iter().enumerate().filter(|(_, site)| !site.history.moments().is_empty()) {
            let stack = stack_of(&ledger, place);
            let evidence = Evidence::live(&site.history, &ages[place], stack, look.watched_s(now) / now);
            let told =
                |evidence: &Evidence<'_>| Judged { seconds: now, site: place as u32, judgement: judge(evidence) };
            live.push(told(&evidence));
            let last = Moment::of_sums(look.watched_s(now), &stack.sums);
            let mut moments = site.snapshots.moments.clone();
            if moments.last().is_none_or(|before| before.seconds < last.seconds) {
                moments.push(last);
            }
            let clock_s = now - site.first_s.unwrap_or(now);
            recorded.push(told(&Evidence { moments: &moments, clock_s, ..evidence }));
        }
    }
    (live, recorded)
}

fn stack_of(ledger: &Ledger, site: usize) -> &Stack {
    ledger.stacks().nth(site).expect("each site has its stack").1
}

fn enter(ledger: &mut Ledger, program: &Program, event: &Event, period: u64) {
    let life = program.lives[event.life];
    let time = EPOCH_NS + (event.at * 1e9) as u64;
    let addr = 0x5555_0000_0000 + event.life as u64 * 64;
    let head = Head { kind: Kind::Alloc as u8, signature: Signature::Size0 as u8, process: 0, tid: 1, time };
    let record = if event.is_free {
        let head = Head { kind: Kind::Free as u8, signature: Signature::Free as u8, ..head };
        Record::Free(FreeRecord { head, addr })
    } else {
        let draw = Draw { period, function: 0 }.pack();
        Record::Alloc(AllocRecord { head, addr, size: life.bytes, stack: u64::from(life.site) + 1, draw })
    };
    ledger.enter(&record, |_, _, _| Default::default());
}

fn ages_of_sites(ledger: &Ledger, now: f64, sites: usize) -> Vec<Ages> {
    let now = EPOCH_NS + (now * 1e9) as u64;
    let mut ages = vec![Ages::default(); sites];
    ledger.for_each_outstanding(|block| {
        ages[block.stack.place()].add(now.saturating_sub(block.time), block.amount.bytes.round() as u64);
    });
    ages
}
