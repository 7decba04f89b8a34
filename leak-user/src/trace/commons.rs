//! Probes that are in every process, for processes too many to have their own.
//!
//! The kernel asks each probe on a function at every hit, whosever it is: a hundred processes with probes of their own on one
//! library slow each other a hundredfold. So those that come when there are [`OWN`] already share one set. It is also in
//! processes that nobody chose; those, the strangers, it slows without seeing anything of them. What they pay is
//! held to a budget as if they were one process that keeps a core busy.
//!
//! Probes for all cannot be taken out of one process: they are in place while every one of those that share them can afford
//! them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Result;
use leak_ebpf::{ANY_PROCESS, Hits, STRANGERS_SLOT};

use super::{
    governor::{Decision, Governor, Watch},
    watched::Watched,
};
use crate::{
    probe::{
        attach::{LoaderSite, Part, Probes, Site},
        load::Kernel,
    },
    process::{maps::MappedFile, modules::ModuleIndex},
};

/// So many processes have probes of their own; those beyond share.
pub const OWN: usize = 16;

/// In place of a process's id: all.
const EVERY_PROCESS: u32 = 0;

/// The probes, and who shares them.
pub struct Commons {
    files: BTreeMap<ModuleIndex, Probes>,
    loaders: BTreeSet<ModuleIndex>,
    holding_loaders: BTreeSet<ModuleIndex>,
    loader_probes: Probes,
    /// What each can afford, by slot.
    affordable: BTreeMap<u16, Watch>,
    in_force: Watch,
    strangers: Watched,
    began: Instant,
}

impl Commons {
    /// None yet.
    pub fn new(governor: Governor) -> Self {
        Self {
            files: BTreeMap::new(),
            loaders: BTreeSet::new(),
            holding_loaders: BTreeSet::new(),
            loader_probes: Probes::default(),
            affordable: BTreeMap::new(),
            in_force: Watch::All,
            strangers: Watched::new(governor),
            began: Instant::now(),
        }
    }

    /// From now on the process in this slot shares them. Gives what of it is watched for now.
    pub fn join(&mut self, slot: u16) -> Watch {
        self.affordable.insert(slot, Watch::All);
        self.in_force
    }

    /// It does no more.
    pub fn leave(&mut self, slot: u16) {
        self.affordable.remove(&slot);
    }

    /// The slots of those that share.
    pub fn sharers(&self) -> Vec<u16> {
        self.affordable.keys().copied().filter(|slot| *slot != STRANGERS_SLOT).collect()
    }

    /// What is watched now.
    pub fn in_force(&self) -> Watch {
        self.in_force
    }

    /// What everyone can afford.
    pub fn affordable(&self) -> Watch {
        let least = |watch: &Watch| match watch {
            Watch::Nothing => 0,
            Watch::Releases => 1,
            Watch::All => 2,
        };
        self.affordable.values().copied().min_by_key(least).unwrap_or(Watch::All)
    }

    /// Takes note of what the process in this slot can afford.
    pub fn set_affordable(&mut self, slot: u16, watch: Watch) {
        self.affordable.insert(slot, watch);
    }

    /// Puts probes on these functions of a file, if there are none yet. Says whether they are new.
    pub fn cover(
        &mut self,
        kernel: &mut Kernel,
        module: ModuleIndex,
        file: &MappedFile,
        sites: &[Site],
    ) -> Result<bool> {
        if self.files.contains_key(&module) {
            return Ok(false);
        }
        let mut probes = Probes::default();
        probes.attach(kernel, EVERY_PROCESS, ANY_PROCESS, file, sites)?;
        self.files.insert(module, probes);
        Ok(true)
    }

    /// Puts a probe on a dynamic loader, if there is none yet.
    pub fn cover_loader(
        &mut self,
        kernel: &mut Kernel,
        module: ModuleIndex,
        file: &MappedFile,
        site: LoaderSite,
    ) -> Result<()> {
        if self.loaders.insert(module) {
            self.loader_probes.attach_loader(kernel, "libraries", EVERY_PROCESS, ANY_PROCESS, file, site)?;
        }
        Ok(())
    }

    /// Has newcomers wait in a dynamic loader until they are let go on, if they do not yet.
    pub fn hold_newcomers(
        &mut self,
        kernel: &mut Kernel,
        module: ModuleIndex,
        file: &MappedFile,
        site: LoaderSite,
    ) -> Result<()> {
        if kernel.holds_newcomers() && self.holding_loaders.insert(module) {
            self.loader_probes.attach_loader(kernel, "wait", EVERY_PROCESS, ANY_PROCESS, file, site)?;
        }
        Ok(())
    }

    /// Whether newcomers wait in this dynamic loader.
    pub fn holds_in(&self, loader: ModuleIndex) -> bool {
        self.holding_loaders.contains(&loader)
    }

    /// Puts back what was withdrawn and is to be in place for this.
    pub fn put_back(&mut self, kernel: &mut Kernel, watch: Watch) -> Result<()> {
        for probes in self.files.values_mut() {
            for (part, is_wanted) in
                [(Part::Releases, watch != Watch::Nothing), (Part::Allocations, watch == Watch::All)]
            {
                if is_wanted && !probes.has(part) {
                    probes.put_back(kernel, part)?;
                }
            }
        }
        Ok(())
    }

    /// From now on this is watched. Gives the probes that need not be in place for it, to be taken out.
    pub fn withdraw(&mut self, watch: Watch) -> Probes {
        self.in_force = watch;
        let mut withdrawn = Probes::default();
        for probes in self.files.values_mut() {
            for (part, is_idle) in [(Part::Allocations, watch != Watch::All), (Part::Releases, watch == Watch::Nothing)]
            {
                if is_idle && probes.has(part) {
                    withdrawn.append(probes.withdraw(part));
                }
            }
        }
        withdrawn
    }

    /// Whether it is time to judge what strangers pay.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.files.is_empty() && self.strangers.is_due(now)
    }

    /// Has the governor of the strangers judge.
    pub fn judge(&mut self, now: Instant, hits: Hits) -> Option<Decision> {
        let one_core: Duration = now.saturating_duration_since(self.began);
        self.strangers.judge(now, one_core, hits)
    }

    /// All probes, to be taken out.
    pub fn clear(&mut self) {
        self.files.clear();
        self.loader_probes = Probes::default();
    }
}
