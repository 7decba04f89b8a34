//! A report before its names are looked up: everything that is read off the ledger at one moment, small enough to be
//! handed to another thread.

use std::{collections::HashMap, sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use leak_ebpf::{Counter, WalkEnd};

use super::fleet::Fleet;
use crate::{
    growth::{self, Evidence, History, Judgement},
    ledger::{Ages, Amount, Ledger, Notes, Stack, StackIndex, Sums},
    probe::counts::Snapshot,
    process::{
        memory_use::limits_of,
        modules::{Location, Module},
        monotonic_now,
        origin::Origin,
    },
    report::{self, Allocation, By, Condition, Groups, Loss, Outlook, Report, SumErrors, TotalErrors, Totals, Walks},
};

/// Which stacks a report shows, and how.
#[derive(Clone, Debug)]
pub struct Selection {
    /// At most this many stacks.
    pub top: usize,
    /// In this order. If none is given, by size; or by growth where for a time nothing was watched, for of the sizes
    /// nobody knows then.
    pub sort: Option<SortBy>,
    /// Only blocks at least this old.
    pub older: Duration,
    /// At most this many blocks of each stack by themselves.
    pub allocations: usize,
    /// Only stacks of which nothing was ever given back.
    pub strict: bool,
    /// With the processes by what they have in common.
    pub by: Option<By>,
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SortBy {
    /// Most bytes outstanding.
    Size,
    /// Most blocks outstanding.
    Count,
    /// Fastest growth.
    Growth,
    /// Oldest block.
    Age,
}

impl SortBy {
    fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Count => "count",
            Self::Growth => "growth",
            Self::Age => "age",
        }
    }
}

/// A report whose stacks have no names yet.
pub struct Draft {
    /// Everything but the stacks' frames.
    pub report: Report,
    /// The calls of each stack in the report, in its order.
    pub calls: Vec<Box<[Location]>>,
    /// Where the process of each of those stacks finds its files.
    pub origins: Vec<Option<Arc<Origin>>>,
    /// The modules that they lie in.
    pub modules: Vec<Arc<Module>>,
    /// Which condition holds, in a sentence.
    pub failure: Option<String>,
}

/// What is held of a stack under the selection.
#[derive(Clone, Debug, Default)]
struct Held {
    outstanding: Amount,
    unknown: Amount,
    oldest: Option<u64>,
    /// Bytes by age, also of what the selection leaves out: a verdict is on all of a stack.
    ages: Ages,
}

impl Draft {
    /// Reads the stacks off the ledger into the report.
    pub fn new(
        mut report: Report,
        ledger: &Ledger,
        histories: &[(u64, History)],
        fleet: &Fleet,
        selection: &Selection,
        fail_on: &[Condition],
    ) -> Self {
        let now = monotonic_now();
        let youngest = now.saturating_sub(selection.older.as_nanos() as u64);
        let mut held: Vec<Held> = Vec::new();
        ledger.for_each_outstanding(|block| {
            let place = block.stack.place();
            if held.len() <= place {
                held.resize_with(place + 1, Held::default);
            }
            let held = &mut held[place];
            held.ages.add(now.saturating_sub(block.time), whole(block.amount.bytes));
            if block.time <= youngest {
                let side = if block.is_watched { &mut held.outstanding } else { &mut held.unknown };
                side.add(&block.amount);
                held.oldest = Some(held.oldest.map_or(block.time, |oldest| oldest.min(block.time)));
            }
        });
        let gaps = fleet.with_gaps();
        // Of a process with gaps: the share of the time in which its allocations were watched.
        let watched_share = |process: u16, pid: u32| {
            let told = report.processes.iter().find(|told| told.pid == pid).filter(|_| gaps.contains(&process));
            told.map_or(1.0, |told| told.watched_s / report.elapsed_s)
        };
        let selected: Vec<(StackIndex, &Stack, &Held)> = ledger
            .stacks()
            .filter(|(_, stack)| !selection.strict || stack.sums.freed.seen == 0)
            .filter_map(|(index, stack)| Some((index, stack, held.get(index.place())?)))
            .filter(|(.., held)| held.oldest.is_some())
            .collect();
        let least = if report.last { 0 } else { least_of_most(&selected) };
        let mut shown: Vec<(StackIndex, &Stack, report::Stack)> = selected
            .into_iter()
            .map(|(index, stack, held)| {
                let history = histories.get(index.place()).filter(|(id, _)| *id == stack.id);
                let history = history.map_or(&NO_HISTORY, |(_, history)| history);
                let pid = fleet.pid(stack.process).unwrap_or(0);
                let judged = if held.ages.total() >= least {
                    growth::judge(&Evidence::live(history, &held.ages, stack, watched_share(stack.process, pid)))
                } else {
                    Judgement { why: "holds too little to be judged before the end".to_owned(), ..Judgement::default() }
                };
                (index, stack, summarize(stack, held, judged, pid, now))
            })
            .collect();
        let sort = selection.sort.unwrap_or(if gaps.is_empty() { SortBy::Size } else { SortBy::Growth });
        report.mode.sorted_by = sort.name().into();
        let failure = Condition::first_of(fail_on, &report.processes, &shown.iter().map(|(.., stack)| stack))
            .or_else(|| Condition::first_of_python(fail_on, report.python.as_ref()?));
        let told = shown.iter().map(|(.., stack)| stack.told());
        let rates = Outlook::rates(report.processes.iter().map(|process| process.pid), told.clone());
        for (process, rate) in report.processes.iter_mut().zip(rates) {
            process.bytes_per_s = Some(rate);
        }
        report.outlook = Outlook::of(told, || fleet.pids().into_iter().map(limits_of).collect());
        if let Some(python) = &report.python {
            report.outlook = report.outlook.with_python(python);
        }
        report.groups = selection.by.map(|by| {
            let names = fleet.kinship(by);
            let name = |process: &report::Process| names.get(&process.pid).cloned().unwrap_or_default();
            Groups::of(by, &report.processes, shown.iter().map(|(.., stack)| stack), name)
        });
        shown.sort_by(|(_, _, a), (_, _, b)| order(sort, a, b));
        shown.truncate(selection.top);
        if selection.allocations > 0 {
            list_allocations(ledger, &mut shown, selection.allocations, youngest, now);
        }
        let modules = &fleet.means.modules;
        let origins = shown.iter().map(|(_, stack, _)| modules.origin(stack.process).cloned()).collect();
        let (stacks, calls) = shown.into_iter().map(|(_, stack, entry)| (entry, stack.frames.clone())).unzip();
        report.stacks = stacks;
        Self { report, calls, origins, modules: modules.all().to_vec(), failure }
    }
}

/// Of a stack that has only just come.
static NO_HISTORY: History = History::new();

/// How many stacks a report judges while tracing goes on, those that hold most: a judgement takes some 10 µs, in which the
/// ring is not read. The last report judges all.
const MOST_JUDGED: usize = 10_000;

/// The bytes that a stack must hold to be among so many.
fn least_of_most(selected: &[(StackIndex, &Stack, &Held)]) -> u64 {
    if selected.len() <= MOST_JUDGED {
        return 0;
    }
    let mut sizes: Vec<u64> = selected.iter().map(|(.., held)| held.ages.total()).collect();
    *sizes.select_nth_unstable_by(MOST_JUDGED - 1, |a, b| b.cmp(a)).1
}

fn summarize(stack: &Stack, held: &Held, judged: Judgement, pid: u32, now: u64) -> report::Stack {
    let allocated = stack.sums.allocated;
    let Held { outstanding, unknown, oldest, .. } = held;
    report::Stack {
        id: format!("{:016x}", stack.id),
        pid,
        outstanding_bytes: whole(outstanding.bytes),
        outstanding_count: whole(outstanding.count),
        unknown_bytes: whole(unknown.bytes),
        unknown_count: whole(unknown.count),
        allocated_bytes: whole(allocated.bytes),
        allocated_count: whole(allocated.count),
        errors: allocated.is_estimate().then(|| errors(outstanding, unknown, &allocated)),
        bytes_per_s: judged.bytes_per_s,
        oldest_s: oldest.map_or(0.0, |time| seconds_between(time, now)),
        verdict: judged.verdict,
        confidence: judged.confidence,
        why: judged.why,
        complete: stack.is_whole,
        frames: Vec::new(),
        allocations: Vec::new(),
    }
}

/// What a report says of all stacks together.
pub fn totals(sums: &Sums) -> Totals {
    let Sums { outstanding, unknown, allocated, freed } = sums;
    Totals {
        outstanding_bytes: whole(outstanding.bytes),
        outstanding_count: whole(outstanding.count),
        unknown_bytes: whole(unknown.bytes),
        unknown_count: whole(unknown.count),
        allocated_bytes: whole(allocated.bytes),
        allocated_count: whole(allocated.count),
        freed_bytes: whole(freed.bytes),
        freed_count: whole(freed.count),
        errors: allocated.is_estimate().then(|| TotalErrors {
            sums: errors(outstanding, unknown, allocated),
            freed_bytes_stderr: freed.bytes_stderr(),
            freed_count_stderr: freed.count_stderr(),
        }),
    }
}

fn errors(outstanding: &Amount, unknown: &Amount, allocated: &Amount) -> SumErrors {
    SumErrors {
        outstanding_bytes_stderr: outstanding.bytes_stderr(),
        outstanding_count_stderr: outstanding.count_stderr(),
        unknown_bytes_stderr: unknown.bytes_stderr(),
        unknown_count_stderr: unknown.count_stderr(),
        allocated_bytes_stderr: allocated.bytes_stderr(),
        allocated_count_stderr: allocated.count_stderr(),
    }
}

/// A sum that is none of parts of bytes.
fn whole(sum: f64) -> u64 {
    sum.round().max(0.0) as u64
}

fn order(sort: SortBy, a: &report::Stack, b: &report::Stack) -> std::cmp::Ordering {
    let by_size = b.held_bytes().cmp(&a.held_bytes());
    let first = match sort {
        SortBy::Size => by_size,
        SortBy::Count => b.held_count().cmp(&a.held_count()),
        // Of what does not grow, the trend is noise: it comes after all that may.
        SortBy::Growth => {
            (a.verdict.is_at_rest().cmp(&b.verdict.is_at_rest())).then_with(|| b.bytes_per_s.total_cmp(&a.bytes_per_s))
        }
        SortBy::Age => b.oldest_s.total_cmp(&a.oldest_s),
    };
    // The id last, so that equals keep their places from one report to the next.
    first.then(by_size).then_with(|| a.id.cmp(&b.id))
}

fn list_allocations(
    ledger: &Ledger,
    shown: &mut [(StackIndex, &Stack, report::Stack)],
    most: usize,
    youngest: u64,
    now: u64,
) {
    let places: HashMap<StackIndex, usize, RandomState> =
        shown.iter().enumerate().map(|(place, (index, ..))| (*index, place)).collect();
    ledger.for_each_outstanding(|block| {
        if block.time <= youngest
            && let Some(place) = places.get(&block.stack)
        {
            let age_s = seconds_between(block.time, now);
            shown[*place].2.allocations.push(Allocation { address: block.address, bytes: block.bytes, age_s });
        }
    });
    for (.., stack) in shown {
        stack.allocations.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.address.cmp(&b.address)));
        stack.allocations.truncate(most);
    }
}

/// What the kernel side and the ledger say was lost.
pub fn loss(counts: &Snapshot, notes: Notes, probes_missed: u64) -> Loss {
    let allocations = counts.get(Counter::AllocsRefused)
        + counts.get(Counter::ReturnsMissed)
        + counts.get(Counter::ThreadsRefused)
        + notes.unknown_stacks;
    let frees = counts.get(Counter::FreesLost) + counts.get(Counter::ProcessChangesLost) + notes.reused_addresses;
    Loss {
        allocations,
        allocated_bytes: counts.get(Counter::AllocsRefusedBytes) + counts.get(Counter::ReturnsMissedBytes),
        frees,
        stacks_truncated: counts.get(Counter::StacksTruncated),
        probes_missed,
        complete: allocations == 0 && frees == 0 && probes_missed == 0,
    }
}

/// How walks ended.
pub fn walks(counts: &Snapshot) -> Walks {
    let ended = |end: WalkEnd| counts.get(end.counter());
    Walks {
        whole: ended(WalkEnd::Bottom),
        too_deep: ended(WalkEnd::TooDeep),
        no_rule: ended(WalkEnd::Unruled),
        unsupported: ended(WalkEnd::Unsupported),
        not_a_frame: ended(WalkEnd::NotAFrame),
        unreadable: ended(WalkEnd::Unreadable),
    }
}

/// Each way in which something was lost or set aside, for `-v`.
pub fn loss_in_detail(counts: &Snapshot, notes: Notes) -> String {
    let count = |counter| counts.get(counter);
    format!(
        "allocations lost: {} refused by a full buffer, {} whose return was not seen, {} without memory for their thread, \
         {} without a stack; frees: {} set aside, {} lost, {} implied by reuse, {} of memory from before",
        count(Counter::AllocsRefused),
        count(Counter::ReturnsMissed),
        count(Counter::ThreadsRefused),
        notes.unknown_stacks,
        count(Counter::FreesSpilled),
        count(Counter::FreesLost),
        notes.reused_addresses,
        notes.unknown_frees,
    )
}

fn seconds_between(early: u64, late: u64) -> f64 {
    late.saturating_sub(early) as f64 / 1e9
}
