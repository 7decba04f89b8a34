//! The processes under trace, and with them all that goes down into the kernel: which are attached, which come along
//! because a traced one made them, which have changed what they run, which are gone.
//!
//! A process is told by its pidfd and start time, never by its pid alone: that may be another's by now.

mod kinship;
mod take_on;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use leak_ebpf::{Frames, Hits, MAX_PROCESSES};

use super::{
    Lookup,
    allocators::Known,
    children,
    commons::Commons,
    files,
    governor::Governor,
    passage::{Caller, Functions},
    pythons::{Python, Pythons},
    removal::Removal,
    slots::Slots,
    target::{Means, Traced},
};
use crate::{
    ledger::{Ledger, Passage},
    notice::Notices,
    probe::{attach::Probes, load::Kernel},
    process::{
        identity::{Target, exited},
        maps::expected_trampoline,
        modules::{Location, Modules},
        monotonic_now,
    },
    report,
    unwind::supply::Supply,
};

/// The processes, and what placing probes in them takes.
pub struct Fleet {
    /// The programs that watch them, and the modules that they map.
    pub means: Means,
    removal: Removal,
    traced: Vec<Traced>,
    slots: Slots,
    /// Processor time of children that are gone.
    cpu_of_gone: Duration,
    /// New children, of whose blocks the kernel side knows none.
    unwatched_children: Vec<u16>,
    shares_all: bool,
}

/// A process that a traced one has just made.
#[derive(Clone, Copy, Debug)]
pub struct Fork {
    /// The traced process's slot.
    pub parent: u16,
    /// The slot kept for the child, whose books are a copy of the parent's; none for one that borrows its memory.
    pub child: Option<u16>,
    /// When, by the records' clock.
    pub time: u64,
}

impl Fleet {
    /// A fleet of nothing yet.
    pub fn new(kernel: Kernel, supply: Supply, lookup: Lookup, governor: Governor, notices: Notices) -> Result<Self> {
        let commons_governor = governor.clone();
        Ok(Self {
            means: Means {
                modules: Modules::new({
                    let generations = kernel.generations();
                    move |slot| generations.of(slot)
                }),
                kernel,
                supply,
                lookup,
                notices,
                late: 0,
                governor,
                functions: Functions::default(),
                known: Known::default(),
                commons: Commons::new(commons_governor),
                pythons: Pythons::default(),
            },
            removal: Removal::start()?,
            traced: Vec::new(),
            slots: Slots::default(),
            cpu_of_gone: Duration::ZERO,
            unwatched_children: Vec::new(),
            shares_all: false,
        })
    }

    /// A slot for one more process.
    pub fn take_slot(&mut self) -> Option<u16> {
        let slot = self.slots.take()?;
        if slot.is_used
            && let Err(error) = self.means.kernel.renew(slot.number)
        {
            self.means.notices.say(&format!("a process is not traced: {error:#}"));
            return None;
        }
        Some(slot.number)
    }

    /// Attaches to a process; to one that `runs`, or waits before its first allocation.
    pub fn attach(&mut self, pid: u32, runs: bool) -> Result<()> {
        if self.has(pid) {
            bail!("process {pid} was given twice; give each PID once");
        }
        files::allow_many();
        let target = Target::open(pid)?;
        let slot = self.take_slot().with_context(|| format!("more than {MAX_PROCESSES} processes cannot be traced"))?;
        self.means.kernel.watch_exec(pid, slot)?;
        let expected_trampoline = self.expect_trampoline(pid, slot)?;
        let mut traced = Traced::new(target, slot, false, self.means.governor.clone());
        traced.expected_trampoline = expected_trampoline;
        traced.watched.put_in_force(slot, &mut self.means.kernel)?;
        if runs {
            self.means.pythons.begin(slot, pid, &mut self.means.kernel, self.means.notices);
        }
        traced.attach(&mut self.means)?;
        self.traced.push(traced);
        Ok(())
    }

    /// Whether the stacks of a process could have a Python's functions, and have not.
    pub fn wants_python(&self, pid: u32) -> bool {
        let Means { kernel, pythons, .. } = &self.means;
        kernel.has_python() && self.slot_of(pid).is_some_and(|slot| !pythons.has(slot))
    }

    /// Has the stacks of a process told with its interpreter's functions.
    pub fn take_python(&mut self, python: Python) {
        if let Some(slot) = self.slot_of(python.pid()).filter(|slot| !self.means.pythons.has(*slot)) {
            let Means { kernel, pythons, notices, .. } = &mut self.means;
            pythons.take(slot, python, kernel, *notices);
        }
    }

    fn slot_of(&self, pid: u32) -> Option<u16> {
        self.traced.iter().find(|traced| traced.target.pid == pid && !traced.is_released()).map(|traced| traced.slot)
    }

    /// Whether the process that bears this pid now is traced.
    pub fn has(&self, pid: u32) -> bool {
        self.traced.iter().any(|traced| traced.target.pid == pid && !traced.target.has_exited())
    }

    /// Takes note that the process in this slot runs another program since, by the thread of this id.
    pub fn begin_anew(&mut self, slot: u16, thread: u32) {
        self.means.modules.drop_mappings(slot);
        self.means.pythons.end(slot, &mut self.means.kernel);
        let Some(traced) = self.traced.iter_mut().find(|traced| traced.slot == slot) else { return };
        let by_first_thread = traced.target.pid == thread;
        if let Some(probes) = traced.begin_anew(by_first_thread, &mut self.means) {
            self.removal.take_out(probes);
        }
    }

    /// Places probes on what processes that changed what they run have mapped since.
    pub fn follow_changes(&mut self, changed: &BTreeSet<u16>) {
        for traced in self.traced.iter_mut().filter(|traced| changed.contains(&traced.slot)) {
            if !traced.target.has_exited() {
                attach_if_in_time(traced, &mut self.means, &self.removal);
            }
        }
    }

    /// Looks again for allocators that were not there when they were looked for.
    pub fn search_on(&mut self) {
        for traced in &mut self.traced {
            if !(traced.came_along && self.removal.is_behind()) {
                traced.search_on(&mut self.means);
            }
        }
    }

    /// Tells the programs where the return trampoline is in processes in which a return probe was hit.
    pub fn find_trampolines(&mut self, returned: &BTreeSet<u16>) -> Result<()> {
        for traced in self.traced.iter_mut().filter(|traced| returned.contains(&traced.slot)) {
            if let Some(trampoline) = traced.find_trampoline() {
                self.means.kernel.set_trampoline(traced.slot, trampoline)?;
            }
        }
        Ok(())
    }

    /// Attaches to the children that traced processes have made. Books kept for a child that is gone already are
    /// dropped.
    pub fn follow_forks(&mut self, forks: &[Fork], ledger: &mut Ledger) {
        let mut by_parent: BTreeMap<u16, Vec<Fork>> = BTreeMap::new();
        for fork in forks {
            by_parent.entry(fork.parent).or_default().push(*fork);
        }
        for (parent, mut forks) in by_parent {
            // Whatever becomes of a child, its first moments are not seen.
            self.means.late += forks.len() as u64;
            forks.retain(|fork| fork.child.is_some());
            let parent = self.traced.iter().find(|traced| traced.slot == parent);
            for child in parent.map_or_else(Vec::new, |parent| self.new_children(&parent.target)) {
                let copy = if child.has_copy() { take_copy(&mut forks, &child.target) } else { None };
                if let Some(slot) = copy.or_else(|| self.take_slot()) {
                    self.adopt(child, slot, ledger);
                }
            }
            for slot in forks.into_iter().filter_map(|fork| fork.child) {
                ledger.forget_process(slot);
                self.slots.give_back(slot);
            }
        }
    }

    /// Whether the process in this slot is gone and another bears its pid: what is told of that pid is not of ours.
    pub fn is_replaced(&self, slot: u16) -> bool {
        self.traced.iter().any(|traced| traced.slot == slot && traced.target.is_replaced())
    }

    /// Whether any process still runs.
    pub fn is_alive(&mut self) -> bool {
        self.traced.iter_mut().any(Traced::is_alive)
    }

    /// Keeps the breakpoints of traced processes out of the copies that those make of themselves, given how many they have
    /// ever made.
    pub fn confine_probes(&mut self, copies: u64) {
        let traced = &self.traced;
        self.means.kernel.sweep_copies(copies, || traced.iter().flat_map(Traced::breakpoints).cloned().collect());
    }

    /// Slots of processes that have exited and were not released yet. Their last records are in the ring by now.
    pub fn exited(&self) -> BTreeSet<u16> {
        let running: Vec<&Traced> = self.traced.iter().filter(|traced| !traced.is_released()).collect();
        exited(running.iter().map(|traced| &traced.target)).into_iter().map(|place| running[place].slot).collect()
    }

    /// Sees to the end of these processes, whose last records were read. Children go altogether, for what they held went
    /// with them; of the others it is told in the final report.
    pub fn release(&mut self, exited: &BTreeSet<u16>, ledger: &mut Ledger) -> Result<()> {
        for traced in self.traced.iter_mut().filter(|traced| exited.contains(&traced.slot)) {
            self.means.kernel.unwatch(traced.target.pid, traced.slot)?;
            self.means.commons.leave(traced.slot);
            self.removal.take_out(traced.release(&mut self.means));
            self.means.modules.freeze(traced.slot);
        }
        for mut gone in self.traced.extract_if(.., |traced| traced.is_released() && traced.came_along) {
            self.cpu_of_gone += gone.look();
            self.means.modules.drop_process(gone.slot);
            self.means.forget_blocks(gone.slot, ledger)?;
            self.means.functions.forget_process(gone.slot);
            ledger.forget_process(gone.slot);
            self.slots.give_back(gone.slot);
        }
        Ok(())
    }

    /// Processor time of all processes so far.
    pub fn cpu(&mut self) -> Duration {
        self.cpu_of_gone + self.traced.iter_mut().map(Traced::look).sum::<Duration>()
    }

    /// Where the calls of the stack with this id lie, and which functions of allocators they have called, if that may have to be known.
    pub fn locate(&mut self, slot: u16, generation: u32, id: u64, frames: Frames<'_>) -> (Box<[Location]>, Passage) {
        let traced = self.traced.iter().find(|traced| traced.slot == slot);
        let Means { modules, functions, governor, pythons, kernel, .. } = &mut self.means;
        let calls = modules.locate(slot, generation, frames.iter());
        let passage = match traced.filter(|_| governor.may_sample()) {
            Some(traced) => {
                let who = Caller { process: slot, generation, pid: traced.target.pid, trampoline: traced.trampoline() };
                functions.passage(modules, who, frames.iter(), &calls)
            }
            None => Passage::default(),
        };
        (pythons.merge(slot, modules, calls, || kernel.take_python_stack(id)), passage)
    }

    /// What all probes were hit so far, given what those in each slot were.
    pub fn hits(&self, of: impl Fn(u16) -> Result<Hits>) -> Result<Hits> {
        self.slots.ever_taken().try_fold(Hits::default(), |sum, slot| Ok(sum.and(&of(slot)?)))
    }

    /// Slots of the processes whose governors want to judge.
    pub fn to_be_judged(&self, now: Instant) -> Vec<u16> {
        self.traced
            .iter()
            .filter(|traced| !traced.is_released() && traced.watched.is_due(now))
            .map(|it| it.slot)
            .collect()
    }

    /// Seconds by slot that a point of a history made now stands for, of processes of which one can be made: in which no
    /// burst is under way, and one was since the last time.
    pub fn times_of_histories(&mut self) -> BTreeMap<u16, f64> {
        let times = self.traced.iter_mut().filter_map(|traced| Some((traced.slot, traced.watched.take_point()?)));
        times.collect()
    }

    /// Slots of the processes of which for a time not everything was watched.
    pub fn with_gaps(&self) -> BTreeSet<u16> {
        self.traced.iter().filter(|traced| traced.watched.has_gaps()).map(|traced| traced.slot).collect()
    }

    /// Slots of children that have come since the last time, of whose blocks the kernel side knows none.
    pub fn take_unwatched_children(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.unwatched_children)
    }

    /// The process in a slot, and what placing its probes and taking them out takes.
    pub fn parts(&mut self, slot: u16) -> Option<(&mut Traced, &mut Means, &Removal)> {
        let traced = self.traced.iter_mut().find(|traced| traced.slot == slot)?;
        Some((traced, &mut self.means, &self.removal))
    }

    /// Has these taken out aside.
    pub fn take_out(&self, probes: Probes) {
        self.removal.take_out(probes);
    }

    /// What a report says of them.
    pub fn report(&self) -> Vec<report::Process> {
        self.traced.iter().map(Traced::report).collect()
    }

    /// The pids of all of them.
    pub fn pids(&self) -> Vec<u32> {
        self.traced.iter().map(|traced| traced.target.pid).collect()
    }

    /// The slots of all of them.
    pub fn slots(&self) -> impl Iterator<Item = u16> {
        self.traced.iter().map(|traced| traced.slot)
    }

    /// The pid of the process in a slot.
    pub fn pid(&self, slot: u16) -> Option<u32> {
        self.traced.iter().find(|traced| traced.slot == slot).map(|traced| traced.target.pid)
    }

    /// How often probes were not hit that should have been: runs that the kernel left out, and programs that ran before
    /// they had probes: children, whose beginning is never seen, and some that a process became.
    pub fn missed(&mut self) -> Result<u64> {
        Ok(self.means.kernel.missed_runs()? + self.means.late)
    }

    /// Takes all probes out.
    pub fn detach(&mut self) {
        self.traced.clear();
        self.means.commons.clear();
    }

    /// Traces a child in this slot, which has a copy of its parent's books; and the children that it has made by now.
    fn adopt(&mut self, child: Child, slot: u16, ledger: &mut Ledger) {
        let Child { target, borrows } = child;
        let pid = target.pid;
        let watched = self.means.kernel.watch_exec(pid, slot);
        let expected_trampoline = match watched.and_then(|()| self.expect_trampoline(pid, slot)) {
            Ok(expected) => expected,
            Err(error) => {
                self.means.notices.say(&format!("child {pid} is not traced: {error:#}"));
                ledger.forget_process(slot);
                self.slots.give_back(slot);
                return;
            }
        };
        // Those that it makes from here on are told; and at once, for those that it has made are not.
        let unheard_of = self.new_children(&target);
        let mut traced = Traced::new(target, slot, true, self.means.governor.clone());
        traced.expected_trampoline = expected_trampoline;
        // A child of many has what its parent has; and one that has come this far is one more of them.
        traced.shares = self.has_many();
        if traced.shares {
            traced.watched.set_watch(self.means.commons.join(slot));
            if let Err(error) = self.means.kernel.share(pid, slot) {
                self.means.notices.say(&format!("child {pid} is not traced: {error:#}"));
            }
        }
        traced.watched.set_tells_all_frees(true);
        if let Err(error) = traced.watched.put_in_force(slot, &mut self.means.kernel) {
            self.means.notices.say(&format!("child {pid} is traced without sampling: {error:#}"));
        }
        if !ledger.is_watched(slot) {
            ledger.watch_again(slot, monotonic_now());
        }
        self.unwatched_children.push(slot);
        // From here on an exec is told. One from before was not, and let go of what the parent had.
        let has_own_program = traced.target.has_replaced_program();
        if has_own_program {
            ledger.forget_process(slot);
        }
        if has_own_program || !borrows {
            attach_if_in_time(&mut traced, &mut self.means, &self.removal);
        }
        self.traced.push(traced);
        self.means.notices.detail(&format!("process {pid} is traced as a child"));
        for grandchild in unheard_of {
            self.means.late += 1;
            let Some(copy) = self.take_slot() else { return };
            if grandchild.has_copy() {
                ledger.fork(slot, copy);
            }
            self.adopt(grandchild, copy, ledger);
        }
    }

    /// Tells the programs where the return trampoline will be, for the calls that come before it can be looked for.
    fn expect_trampoline(&mut self, pid: u32, slot: u16) -> Result<Option<u64>> {
        let expected = expected_trampoline(pid);
        self.means.kernel.set_trampoline(slot, expected.unwrap_or(0))?;
        Ok(expected)
    }

    /// The children of a process that are not traced yet, the youngest first.
    fn new_children(&self, parent: &Target) -> Vec<Child> {
        let children = children::of(parent.pid);
        // If it is gone by now, they may be another's.
        if parent.has_exited() {
            return Vec::new();
        }
        let unknown = children.into_iter().rev().filter(|child| !self.has(*child));
        unknown.filter_map(|child| Child::open(child, parent.pid)).collect()
    }
}

/// Places probes, unless it is a child without any while children come and go faster than they can be traced. One that
/// stays gets them later.
fn attach_if_in_time(traced: &mut Traced, means: &mut Means, removal: &Removal) {
    if traced.came_along && !traced.has_probes() && removal.is_behind() {
        traced.search_later();
    } else {
        traced.attach_or_search(means);
    }
}

/// A child that is not traced yet.
struct Child {
    target: Target,
    /// Whether it uses its parent's memory.
    borrows: bool,
}

impl Child {
    fn open(pid: u32, parent: u32) -> Option<Self> {
        let target = Target::open(pid).ok()?;
        Some(Self { borrows: children::share_memory(parent, pid), target })
    }

    /// Whether it has what its parent had.
    fn has_copy(&self) -> bool {
        !self.borrows && !self.target.has_replaced_program()
    }
}

/// The slot with a copy of the parent's books of when this child was made; else the newest, which comes close.
///
/// Of several that were made at about that time the last one, when asked for the youngest child first: the oldest are
/// the likeliest to be gone.
fn take_copy(forks: &mut Vec<Fork>, child: &Target) -> Option<u16> {
    let exact = forks.iter().rposition(|fork| child.was_made_at(fork.time));
    let place = exact.or_else(|| forks.len().checked_sub(1))?;
    forks.remove(place).child
}
