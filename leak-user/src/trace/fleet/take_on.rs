//! Takes processes on that nobody named: they are what was asked for.

use anyhow::{Context, Result};
use leak_ebpf::MAX_PROCESSES;

use super::{Fleet, attach_if_in_time};
use crate::{
    process::{identity::Target, modules::ModuleIndex},
    trace::{
        allocators, commons,
        target::{Means, Traced},
    },
};

impl Fleet {
    /// Takes on a process that is what was asked for; a newcomer, if it has only just begun to run its program. Says whether
    /// its allocations are seen by now.
    pub fn take_on(&mut self, pid: u32, is_newcomer: bool) -> Result<bool> {
        let target = Target::open(pid)?;
        let slot = self.take_slot().with_context(|| format!("more than {MAX_PROCESSES} processes cannot be traced"))?;
        let mut traced = Traced::new(target, slot, true, self.means.governor.clone());
        // First of all what makes probes that are there already see it.
        traced.shares = self.has_many();
        if traced.shares {
            traced.watched.set_watch(self.means.commons.join(slot));
        }
        let begun = self.begin_to_watch(&mut traced);
        if let Err(error) = begun {
            self.means.commons.leave(slot);
            self.slots.give_back(slot);
            return Err(error);
        }
        let placed = if is_newcomer {
            attach_if_in_time(&mut traced, &mut self.means, &self.removal);
            Ok(())
        } else {
            traced.attach(&mut self.means)
        };
        if let Err(error) = placed {
            self.means.kernel.unwatch(pid, slot)?;
            self.means.commons.leave(slot);
            self.removal.take_out(traced.release(&mut self.means));
            self.means.modules.drop_process(slot);
            self.slots.give_back(slot);
            return Err(error);
        }
        let has_probes = traced.has_probes();
        self.traced.push(traced);
        Ok(has_probes)
    }

    /// Lets a newcomer go on, and takes note if it has by then run without probes.
    pub fn let_go_on(&mut self, pid: u32) {
        let has_waited = self.means.kernel.let_go_on(pid);
        let traced = self.traced.iter().rev().find(|traced| traced.target.pid == pid);
        if traced.is_some_and(|traced| !has_waited || !traced.waits_in_loader(&self.means.commons)) {
            self.means.late += 1;
        }
    }

    /// Has newcomers wait in all dynamic loaders that are known by now.
    pub fn hold_newcomers(&mut self) {
        let Means { kernel, modules, known, commons, notices, .. } = &mut self.means;
        for (index, site) in known.loaders() {
            if let Some(file) = &modules.get(index).file
                && let Err(error) = commons.hold_newcomers(kernel, index, file, site)
            {
                notices.detail(&format!("newcomers are not held: {error:#}"));
            }
        }
    }

    /// Learns from a process that is not traced which allocator programs of its loader get.
    pub fn learn_from(&mut self, pid: u32) {
        let Some(slot) = self.slots.take() else { return };
        let Means { modules, known, lookup, notices, .. } = &mut self.means;
        if lookup.is_usual()
            && modules.read(slot.number, pid).is_ok()
            && let Some((loader, _)) = allocators::find_loader(known, modules, slot.number, pid)
            && let Ok(found) = allocators::find(known, modules, slot.number, pid, lookup, *notices)
        {
            let files: Vec<ModuleIndex> = found.iter().map(|found| found.module).collect();
            known.note_loaded(loader, files);
        }
        self.means.modules.drop_process(slot.number);
        self.slots.give_back(slot.number);
    }

    fn begin_to_watch(&mut self, traced: &mut Traced) -> Result<()> {
        let (pid, slot) = (traced.target.pid, traced.slot);
        traced.watched.put_in_force(slot, &mut self.means.kernel)?;
        if traced.shares {
            self.means.kernel.share(pid, slot)?;
        }
        self.means.kernel.watch_exec(pid, slot)?;
        traced.expected_trampoline = self.expect_trampoline(pid, slot)?;
        Ok(())
    }

    /// Whether there are so many processes that those to come share probes.
    pub(super) fn has_many(&self) -> bool {
        self.shares_all || self.traced.iter().filter(|traced| !traced.is_released()).count() >= commons::OWN
    }

    /// From now on processes that are taken on share their probes, however few there are.
    pub fn share_all(&mut self) {
        self.shares_all = true;
    }
}
