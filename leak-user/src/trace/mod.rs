//! One trace, from attach to the final report: the loop that carries records from the ring into the ledger and
//! snapshots of the ledger to the reporter.
//!
//! The loop never looks up a name and never waits for the terminal: both happen on the reporter's thread, so that a
//! slow symbol table does not let the ring run full.

mod allocators;
mod budget;
mod children;
mod commons;
mod cost;
mod draft;
mod files;
mod fleet;
mod governor;
mod interpreters;
mod launch;
mod marks;
mod newcomers;
mod passage;
mod pythons;
mod recording;
mod removal;
mod reporter;
mod search;
mod slots;
mod target;
mod wanted;
mod watched;

use std::{
    collections::BTreeSet,
    future,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use anyhow::Result;
use leak_ebpf::{Counter, EXACT, Record, Walk};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{MissedTickBehavior, interval, interval_at, sleep_until},
};

pub use allocators::in_process as allocators_of;
pub use draft::{Selection, SortBy};
pub use launch::{CHILD_ARGUMENT, Launched, become_program};
pub use marks::{label, mark};
pub use recording::Keep;
pub use wanted::{Group, Variable, Wanted};

use crate::{
    growth::{History, Moment},
    ledger::{Ledger, Sizes},
    memory,
    metrics::TraceBoard,
    notice::Notices,
    probe::{
        calibrate,
        load::{Kernel, LinkKind, LoadSettings, Upward},
        privilege,
    },
    report::{Change, Condition, Mode, Renderer, Report},
    session::Recorder,
    signals::Signals,
    unwind::supply::Supply,
};
use cost::CostMeter;
use fleet::{Fleet, Fork};
use governor::Governor;
pub use governor::Sample;
use interpreters::Interpreters;
use marks::Marks;
use newcomers::Newcomers;
use recording::Recording;
use reporter::Reporter;

/// The reader looks into the ring this often; the kernel side wakes it earlier when the ring is half full. Each time takes
/// a processor and its caches from the target; and what was freed meanwhile needs no record of its own.
const POLL: Duration = Duration::from_millis(50);

/// Each stack's history gains a point this often.
const HISTORY_TICK: Duration = Duration::from_secs(1);

/// Stacks that hold nothing are dropped this often. Long beside the time that a record takes from the programs to the
/// ledger: one that is under way still finds its stack.
const SWEEP: Duration = Duration::from_secs(30);

/// What to trace, and what of it to show.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Time between reports.
    pub interval: Duration,
    /// Stop after this many reports.
    pub count: Option<u64>,
    /// Stop after this long.
    pub duration: Option<Duration>,
    /// Bytes of the ring; a power of two and at least a page.
    pub ring_bytes: u32,
    /// How stacks are walked.
    pub walk: Walk,
    /// How finely allocations are sampled.
    pub sample: Sample,
    /// The share of a process's CPU time that tracing it may take, if there is a limit.
    pub budget: Option<f64>,
    /// By what probes are placed, if not by the best that there is.
    pub links: Option<LinkKind>,
    /// Which allocations are written down.
    pub sizes: Sizes,
    /// Where to look for the allocator.
    pub lookup: Lookup,
    /// Which processes are taken on without being named, if any are.
    pub wanted: Option<Wanted>,
    /// Whether processes that a traced one makes are traced too.
    pub follow_fork: bool,
    /// Whether processes run Python, or may come to: then their stacks can have its functions.
    pub python: bool,
    /// Which stacks a report shows.
    pub selection: Selection,
    /// What is kept in a session, if anything is.
    pub keep: Option<Keep>,
    /// What makes the trace fail.
    pub fail_on: Vec<Condition>,
}

/// Where to look for the allocator.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// Only in this object.
    pub object: Option<std::path::PathBuf>,
    /// Before the names of its heap functions, as in `je_malloc`.
    pub prefix: String,
}

impl Lookup {
    /// Whether it is everywhere, for what is known.
    fn is_usual(&self) -> bool {
        self.object.is_none() && self.prefix.is_empty()
    }
}

/// A trace in progress.
pub struct Trace {
    plan: Plan,
    fleet: Fleet,
    upward: Upward,
    ledger: Ledger,
    /// By place of the stack, with its id: a place may go to another stack.
    histories: Vec<(u64, History)>,
    cost: CostMeter,
    notices: Notices,
    signals: Signals,
    began: Instant,
    /// What the budget has led to.
    changes: Vec<Change>,
    recorder: Option<Recorder>,
    recording: Recording,
    newcomers: Newcomers,
    interpreters: Interpreters,
    board: Option<TraceBoard>,
}

/// Why a trace ended.
enum End {
    Asked,
    TargetsGone,
    OutputClosed,
}

impl Trace {
    /// Loads the programs and prepares a trace of nothing yet.
    ///
    /// Within a tokio runtime. From here on, a signal to end is noted rather than obeyed at once.
    pub fn new(plan: Plan, notices: Notices) -> Result<Self> {
        privilege::check()?;
        let recorder = plan.keep.as_ref().map(|keep| Recorder::create(&keep.path, keep.force)).transpose()?;
        let recording = plan.keep.as_ref().map(Recording::new).unwrap_or_default();
        let signals = Signals::new()?;
        let links = plan.links.unwrap_or_else(LinkKind::detect);
        let may_sample = plan.sample.may_leave_out(plan.budget);
        let settings = LoadSettings {
            ring_bytes: plan.ring_bytes,
            links,
            walk: plan.walk,
            may_sample,
            newcomers: plan.wanted.is_some(),
            python: plan.python,
        };
        let (mut kernel, mut upward, tables) = Kernel::load(settings, notices)?;
        let hit_cost = calibrate::measure(&mut kernel, &mut upward);
        if let Err(error) = &hit_cost {
            notices.say(&format!("the cost of tracing is not known, so no budget is kept: {error:#}"));
        }
        let hit_cost = hit_cost.ok();
        if plan.follow_fork || plan.wanted.is_some() {
            kernel.watch_forks()?;
        }
        let budget = plan.budget.filter(|_| hit_cost.is_some());
        let governor = Governor::new(plan.sample, budget, hit_cost.unwrap_or_default());
        Ok(Self {
            ledger: Ledger::new(plan.sizes),
            fleet: Fleet::new(kernel, Supply::start(tables, notices)?, plan.lookup.clone(), governor, notices)?,
            plan,
            histories: Vec::new(),
            cost: CostMeter::new(hit_cost),
            notices,
            signals,
            began: Instant::now(),
            upward,
            changes: Vec::new(),
            recorder,
            recording,
            newcomers: Newcomers::default(),
            interpreters: Interpreters::start(notices)?,
            board: None,
        })
    }

    /// Leaves each report on this board as well.
    pub fn show_on(&mut self, board: TraceBoard) {
        self.board = Some(board);
    }

    /// Attaches to a running process.
    pub fn attach(&mut self, pid: u32) -> Result<()> {
        self.fleet.attach(pid, true)
    }

    /// Takes over a process that waits, its libraries mapped, before its first allocation; and lets it go on.
    pub fn launch(&mut self, launched: &mut Launched) -> Result<()> {
        launched.run_to_first_allocation(&mut self.fleet.means.kernel)?;
        self.fleet.attach(launched.pid(), false)?;
        launched.resume()
    }

    /// Traces until told to stop or nothing is left to trace; every report goes through the renderer. Gives which of the
    /// conditions holds at the end, in a sentence.
    pub async fn run(mut self, renderer: Renderer) -> Result<Option<String>> {
        self.began = Instant::now();
        memory::give_back();
        let target_cpu = self.fleet.cpu();
        self.cost.begin(self.fleet.hits(|slot| self.upward.hits.of(slot))?, target_cpu);
        let interpreted = self.fleet.means.pythons.frames.clone();
        let reporter = Reporter::start(renderer, self.recorder.take(), self.board.take(), self.notices, interpreted)?;
        let end = self.follow(&reporter).await?;
        // Twice, for a free that is set aside while the ring is read is told by the next reading.
        self.drain()?;
        self.drain()?;
        self.record(&reporter, None, true)?;
        let draft = self.draft(None, true)?;
        let failure = draft.failure.clone();
        if !matches!(end, End::OutputClosed) {
            reporter.submit_surely(draft);
        }
        self.notices.detail(&draft::loss_in_detail(&self.upward.counts.read()?, self.ledger.notes()));
        // The probes come out while the last report is written.
        self.fleet.detach();
        reporter.finish()?;
        Ok(failure)
    }

    async fn follow(&mut self, reporter: &Reporter) -> Result<End> {
        let ring = self.upward.ring.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` gives the same descriptor as long as it lives, and only the `AsyncFd` holds it.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE)? };
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let start = tokio::time::Instant::from_std(self.began);
        let mut history = interval_at(start + HISTORY_TICK, HISTORY_TICK);
        let mut sweep = interval_at(start + SWEEP, SWEEP);
        let mut round = interval_at(start + newcomers::ROUND, newcomers::ROUND);
        let mut reports = interval_at(start + self.plan.interval, self.plan.interval);
        let deadline = self.plan.duration.map(|duration| start + duration);
        let mut reports_made = 0;
        self.follow_interpreters();
        let mut next_snapshot = self.plan.keep.is_some().then_some(start);
        let mut marks = Marks::listen(self.notices);
        loop {
            tokio::select! {
                biased;
                () = self.signals.any() => return Ok(End::Asked),
                () = until(deadline) => return Ok(End::Asked),
                _ = reports.tick() => {
                    reports_made += 1;
                    if self.plan.count.is_some_and(|count| reports_made >= count) {
                        return Ok(End::Asked);
                    }
                    self.drain()?;
                    let draft = self.draft(None, false)?;
                    if !reporter.submit(draft) {
                        return Ok(End::OutputClosed);
                    }
                }
                () = until(next_snapshot) => {
                    self.drain()?;
                    self.record(reporter, None, false)?;
                    let wait = self.plan.keep.as_ref().map(|keep| keep.wait_at(start.elapsed()));
                    next_snapshot = next_snapshot.zip(wait).map(|(due, wait)| (due + wait).max(tokio::time::Instant::now()));
                }
                request = marks.next() => {
                    if request.is_for(&self.fleet.pids()) {
                        self.drain()?;
                        self.record(reporter, Some(request.label()), false)?;
                        reporter.submit_surely(self.draft(Some(request.label()), false)?);
                        request.granted();
                    }
                }
                _ = history.tick() => {
                    self.tick_histories();
                    self.follow_interpreters();
                }
                _ = sweep.tick() => {
                    let idle = self.ledger.sweep();
                    self.upward.known.forget(&idle)?;
                }
                _ = round.tick() => {
                    if !self.look_for_wanted() {
                        return Ok(End::TargetsGone);
                    }
                }
                ready = ring.readable() => {
                    ready?.clear_ready();
                    self.drain()?;
                    self.upward.ring.rearm()?;
                }
                _ = poll.tick() => {
                    self.keep_to_budget()?;
                    let exited = self.fleet.exited();
                    self.drain()?;
                    self.record_events(reporter, false);
                    self.fleet.release(&exited, &mut self.ledger)?;
                    self.fleet.search_on();
                    for python in self.interpreters.named() {
                        self.fleet.take_python(python);
                    }
                    self.fleet.means.order_tables();
                    self.fleet.means.kernel.flush_log();
                    if self.plan.wanted.is_none() && !self.fleet.is_alive() {
                        return Ok(End::TargetsGone);
                    }
                    self.fleet.confine_probes(self.upward.counts.read()?.get(Counter::Copies));
                    if reporter.is_closed() {
                        return Ok(End::OutputClosed);
                    }
                }
            }
        }
    }

    /// Has the interpreters of the processes that are traced by now read, and found for their stacks.
    fn follow_interpreters(&mut self) {
        self.interpreters.follow(self.fleet.pids(), |pid| self.fleet.wants_python(pid));
    }

    /// Brings everything that the kernel side has sent into the ledger.
    fn drain(&mut self) -> Result<()> {
        let spilled = self.upward.counts.read()?.get(Counter::FreesSpilled);
        let set_aside = self.upward.ring.take_spilled(spilled)?;
        let (ledger, fleet, recording) = (&mut self.ledger, &mut self.fleet, &mut self.recording);
        let mut changed = BTreeSet::new();
        let mut executed = BTreeSet::new();
        let mut newcomers = Vec::new();
        let mut forks = Vec::new();
        let mut returned = BTreeSet::new();
        let mut last = None;
        let mut forgotten = Ok(());
        self.upward.ring.drain(|record| {
            let slot = record.head().process;
            if last != Some(slot) && matches!(record, Record::Alloc(_) | Record::Brief { .. }) {
                returned.insert(slot);
                last = Some(slot);
            }
            match record {
                // Of another process that has the pid of one that is gone.
                Record::Exec(_) | Record::Fork(_) | Record::Vfork(_) if fleet.is_replaced(slot) => return,
                Record::Exec(exec) => {
                    fleet.begin_anew(slot, exec.head.tid);
                    if let Err(error) = fleet.means.forget_blocks(slot, ledger) {
                        forgotten = Err(error);
                    }
                    changed.insert(slot);
                    executed.insert(slot);
                }
                Record::Newcomer(newcomer) => newcomers.push(newcomer.head.tid),
                Record::Libraries(_) => {
                    changed.insert(slot);
                }
                Record::Fork(fork) => {
                    // The books are those of this moment, whenever the child is found.
                    let child = fleet.take_slot();
                    if let Some(child) = child {
                        ledger.fork(slot, child);
                    }
                    forks.push(Fork { parent: slot, child, time: fork.head.time });
                }
                Record::Vfork(fork) => forks.push(Fork { parent: slot, child: None, time: fork.head.time }),
                _ => {}
            }
            recording.note(record, |slot| fleet.pid(slot).unwrap_or(0));
            let id = if let Record::Stack { id, .. } = record { *id } else { 0 };
            ledger.enter(record, |process, generation, frames| fleet.locate(process, generation, id, frames));
        })?;
        forgotten?;
        self.recording.note_spilled(&set_aside, |slot| self.fleet.pid(slot).unwrap_or(0));
        self.ledger.enter_spilled(set_aside);
        self.take_on_newcomers(&newcomers);
        for pid in executed.iter().filter_map(|slot| self.fleet.pid(*slot)) {
            self.interpreters.begin_anew(pid);
        }
        self.let_go_of_unwanted(&executed)?;
        self.fleet.follow_changes(&changed);
        self.fleet.find_trampolines(&returned)?;
        self.fleet.follow_forks(&forks, &mut self.ledger);
        self.watch_children()
    }

    /// The time of a history is that in which allocations were watched: what came about in the rest is in no figure.
    fn tick_histories(&mut self) {
        let times = self.fleet.times_of_histories();
        for (index, stack) in self.ledger.stacks() {
            let Some(seconds) = times.get(&stack.process) else { continue };
            if self.histories.len() <= index.place() {
                self.histories.resize_with(index.place() + 1, Default::default);
            }
            if let Some((id, history)) = self.histories.get_mut(index.place()) {
                if *id != stack.id {
                    (*id, *history) = (stack.id, History::default());
                }
                history.tick(Moment::of_sums(*seconds, &stack.sums));
            }
        }
    }
}

/// Where a report's names are looked up and its text is written.
impl Trace {
    fn draft(&mut self, label: Option<&str>, last: bool) -> Result<draft::Draft> {
        let report = self.report(label, last)?;
        let fail_on = if last { &self.plan.fail_on[..] } else { &[] };
        Ok(draft::Draft::new(report, &self.ledger, &self.histories, &self.fleet, &self.plan.selection, fail_on))
    }

    /// Hands over a snapshot, and the events so far, if a session is kept.
    fn record(&mut self, reporter: &Reporter, label: Option<&str>, last: bool) -> Result<()> {
        if self.plan.keep.is_none() {
            return Ok(());
        }
        self.record_events(reporter, true);
        if reporter.has_lost_names() {
            self.recording.forget_names();
        }
        let report = self.report(label, last)?;
        reporter.record(self.recording.snapshot(report, &self.ledger, &self.fleet));
        Ok(())
    }

    /// Hands over the events of full blocks, or all so far.
    fn record_events(&mut self, reporter: &Reporter, all: bool) {
        let lost: usize = self.recording.take_events(all).into_iter().map(|block| reporter.record_events(block)).sum();
        if lost > 0 {
            self.notices.say(&format!("the disk is too slow for all events: {lost} more are not in the session"));
        }
    }

    /// A report without its stacks.
    fn report(&mut self, label: Option<&str>, last: bool) -> Result<Report> {
        let counts = self.upward.counts.read()?;
        let target_cpu = self.fleet.cpu();
        let hits = self.fleet.hits(|slot| self.upward.hits.of(slot))?;
        let cost = self.cost.measure(hits, target_cpu);
        let mut processes = self.fleet.report();
        for (process, sums) in processes.iter_mut().zip(self.ledger.totals_of(self.fleet.slots())) {
            process.totals = draft::totals(&sums);
        }
        let mode = Mode {
            sample_bytes: processes.iter().map(|process| process.sample_bytes).max().unwrap_or(EXACT),
            unwind: if self.fleet.means.kernel.walk() == Walk::Pointers { "fp" } else { "dwarf" }.into(),
            links: self.fleet.means.kernel.links().id().into(),
            budget_pct: self.plan.budget.map(|share| share * 100.0),
            changes: self.changes.clone(),
            sorted_by: "size".into(),
        };
        let mut report = Report::without_stacks(
            self.began.elapsed(),
            processes,
            draft::totals(&self.ledger.totals()),
            draft::loss(&counts, self.ledger.notes(), self.fleet.missed()?),
            cost,
            draft::walks(&counts),
            mode,
        );
        report.python = self.interpreters.told();
        report.last = last;
        report.label = label.map(str::to_owned);
        Ok(report)
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => future::pending().await,
    }
}
