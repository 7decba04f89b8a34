//! The processes under trace, and with them all that goes down into the kernel: which are attached, which come along
//! because a traced one made them, which have changed what they run.

use std::{collections::BTreeSet, thread, time::Duration};

use anyhow::{Context, Result, bail};
use leak_ebpf::MAX_PROCESSES;

use super::{
    Lookup, children,
    target::{Means, Traced},
};
use crate::{ledger::Ledger, notice::Notices, probe::load::Kernel, process::modules::Modules, report};

/// The processes, the programs that watch them, and the modules that they map.
pub struct Fleet {
    /// The modules of all of them.
    pub modules: Modules,
    /// The loaded programs.
    pub kernel: Kernel,
    lookup: Lookup,
    notices: Notices,
    traced: Vec<Traced>,
    next_slot: u16,
    /// Parents and children that use the parent's memory until they exec (vfork).
    borrowing: BTreeSet<(u32, u32)>,
    /// Children whose first moments were not seen.
    late: u64,
}

/// A process that a traced one has just made.
#[derive(Clone, Copy, Debug)]
pub struct Fork {
    /// The traced process's slot.
    pub parent: u16,
    /// The slot kept for the child, whose books are a copy of the parent's; none for one that borrows its memory.
    pub child: Option<u16>,
}

impl Fleet {
    /// A fleet of nothing yet.
    pub fn new(kernel: Kernel, lookup: Lookup, notices: Notices) -> Self {
        Self {
            modules: Modules::default(),
            kernel,
            lookup,
            notices,
            traced: Vec::new(),
            next_slot: 0,
            borrowing: BTreeSet::new(),
            late: 0,
        }
    }

    /// A slot for one more process.
    pub fn take_slot(&mut self) -> Option<u16> {
        let slot = self.next_slot;
        (u32::from(slot) < MAX_PROCESSES).then(|| {
            self.next_slot += 1;
            slot
        })
    }

    /// Attaches to a running process.
    pub fn attach(&mut self, pid: u32) -> Result<()> {
        if self.has(pid) {
            bail!("process {pid} was given twice; give each PID once");
        }
        let slot = self.take_slot().with_context(|| format!("more than {MAX_PROCESSES} processes cannot be traced"))?;
        self.attach_in(pid, slot)
    }

    /// Places probes on what processes that changed what they run have mapped since.
    pub fn follow_changes(&mut self, changed: BTreeSet<u16>) {
        for slot in changed {
            let Some(place) = self.traced.iter().position(|traced| traced.slot == slot) else { continue };
            let (traced, means) = self.with_means(place);
            let (pid, notices) = (traced.target.pid, means.notices);
            if let Err(error) = traced.reattach(means) {
                notices.say(&format!("process {pid} has changed what it runs: {error:#}"));
            }
        }
    }

    /// Tells the programs where the return trampoline is in processes in which a return probe was hit.
    pub fn find_trampolines(&mut self, returned: &BTreeSet<u16>) -> Result<()> {
        for traced in self.traced.iter_mut().filter(|traced| returned.contains(&traced.slot)) {
            if let Some(trampoline) = traced.find_trampoline() {
                self.kernel.set_trampoline(traced.slot, trampoline)?;
            }
        }
        Ok(())
    }

    /// A thread of the process in this slot ran an exec and took its place: the probes were on the one before, and what
    /// the new program does until it has its own is not seen.
    pub fn lose_probes(&mut self, slot: u16) {
        if let Some(traced) = self.traced.iter_mut().find(|traced| traced.slot == slot) {
            traced.lose_probes();
            self.late += 1;
        }
    }

    /// Attaches to the children that traced processes have made. Books kept for a child that is gone already are
    /// dropped.
    pub fn follow_forks(&mut self, forks: &[Fork], ledger: &mut Ledger) {
        for parent in forks.iter().map(|fork| fork.parent).collect::<BTreeSet<_>>() {
            let Some(pid) = self.traced.iter().find(|traced| traced.slot == parent).map(|traced| traced.target.pid)
            else {
                continue;
            };
            let mut copies = forks.iter().filter(|fork| fork.parent == parent).filter_map(|fork| fork.child);
            for child in children::of(pid).into_iter().filter(|child| !self.has(*child)).collect::<Vec<_>>() {
                if children::share_memory(pid, child) {
                    self.borrowing.insert((pid, child));
                } else if let Some(slot) = copies.next().or_else(|| self.take_slot()) {
                    self.adopt(child, slot, ledger);
                }
            }
            copies.for_each(|slot| ledger.forget_process(slot));
        }
    }

    /// Attaches to children that borrowed their parent's memory and run a program of their own by now.
    pub fn follow_execs(&mut self, ledger: &mut Ledger) {
        for (parent, child) in std::mem::take(&mut self.borrowing) {
            if children::share_memory(parent, child) {
                self.borrowing.insert((parent, child));
            } else if let Some(slot) = self.take_slot() {
                self.adopt(child, slot, ledger);
            }
        }
    }

    /// Whether any process still runs.
    pub fn is_alive(&mut self) -> bool {
        self.traced.iter_mut().any(Traced::is_alive)
    }

    /// Lets children go that have exited: what they held went with them.
    pub fn release_exited_children(&mut self, ledger: &mut Ledger) {
        let mut gone = Vec::new();
        let mut place = 0;
        while place < self.traced.len() {
            if self.traced[place].is_child && !self.traced[place].is_alive() {
                let traced = self.traced.remove(place);
                ledger.forget_process(traced.slot);
                gone.push(traced);
            } else {
                place += 1;
            }
        }
        drop_aside(gone);
    }

    /// Processor time of all processes so far.
    pub fn cpu(&mut self) -> Duration {
        self.traced.iter_mut().map(Traced::look).sum()
    }

    /// What a report says of them.
    pub fn report(&self) -> Vec<report::Process> {
        self.traced.iter().map(Traced::report).collect()
    }

    /// The pid of the process in a slot.
    pub fn pid(&self, slot: u16) -> Option<u32> {
        self.traced.iter().find(|traced| traced.slot == slot).map(|traced| traced.target.pid)
    }

    /// How often probes were not hit that should have been: runs that the kernel left out, and children that were
    /// attached to after they had begun to run.
    pub fn missed(&mut self) -> Result<u64> {
        Ok(self.kernel.missed_runs()? + self.late)
    }

    /// Takes all probes out.
    pub fn detach(&mut self) {
        self.traced.clear();
    }

    fn adopt(&mut self, pid: u32, slot: u16, ledger: &mut Ledger) {
        match self.attach_in(pid, slot) {
            Ok(()) => {
                self.late += 1;
                if let Some(traced) = self.traced.last_mut() {
                    traced.is_child = true;
                }
                self.notices.detail(&format!("process {pid} is traced as a child"));
            }
            Err(error) => {
                ledger.forget_process(slot);
                self.notices.detail(&format!("a child is not traced: {error:#}"));
            }
        }
    }

    fn attach_in(&mut self, pid: u32, slot: u16) -> Result<()> {
        let means =
            Means { kernel: &mut self.kernel, modules: &mut self.modules, lookup: &self.lookup, notices: self.notices };
        let traced = Traced::attach(pid, slot, means)?;
        self.traced.push(traced);
        Ok(())
    }

    fn with_means(&mut self, place: usize) -> (&mut Traced, Means<'_>) {
        let means =
            Means { kernel: &mut self.kernel, modules: &mut self.modules, lookup: &self.lookup, notices: self.notices };
        (&mut self.traced[place], means)
    }

    fn has(&self, pid: u32) -> bool {
        self.traced.iter().any(|traced| traced.target.pid == pid)
            || self.borrowing.iter().any(|(_, child)| *child == pid)
    }
}

/// Takes probes out on a thread of its own: the kernel waits for each, and the ring must be read meanwhile.
fn drop_aside(gone: Vec<Traced>) {
    if !gone.is_empty() {
        thread::spawn(move || drop(gone));
    }
}
