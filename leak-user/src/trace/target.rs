//! A process under trace: who it is, its probes, and what it was last seen using.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use leak_ebpf::NO_TRAMPOLINE;

use super::{Lookup, allocators, has_exited};
use crate::{
    notice::Notices,
    probe::{attach::Probes, load::Kernel},
    process::{
        identity::Target,
        maps::{expected_trampoline, trampoline},
        modules::{ModuleIndex, Modules},
    },
    report,
};

/// What placing probes takes.
pub struct Means<'a> {
    /// The loaded programs.
    pub kernel: &'a mut Kernel,
    /// The table of modules, which is brought up to date.
    pub modules: &'a mut Modules,
    /// Where to look for allocators.
    pub lookup: &'a Lookup,
    /// Where to say what was found.
    pub notices: Notices,
}

/// A process and its probes.
pub struct Traced {
    /// Who it is.
    pub target: Target,
    /// Which process the programs' records call it.
    pub slot: u16,
    /// Whether it came along because a traced process made it.
    pub is_child: bool,
    /// Where the kernel's return trampoline is in it, once known.
    trampoline: Option<u64>,
    alive: bool,
    cpu: Duration,
    rss: u64,
    /// Held for their drop, which takes them out.
    probes: Probes,
    /// The files whose allocator they are on.
    probed: BTreeSet<ModuleIndex>,
    /// The dynamic loaders that tell of new libraries.
    loaders: BTreeSet<ModuleIndex>,
}

impl Traced {
    /// Finds the allocators of a running process and puts probes on them.
    pub fn attach(pid: u32, slot: u16, means: Means<'_>) -> Result<Self> {
        let target = Target::open(pid)?;
        means.kernel.watch_exec(pid, slot)?;
        means.kernel.set_trampoline(slot, expected_trampoline(pid).unwrap_or(0))?;
        let rss = target.rss_at_attach;
        let mut traced = Self {
            target,
            alive: true,
            cpu: Duration::ZERO,
            slot,
            is_child: false,
            trampoline: None,
            rss,
            probes: Probes::default(),
            probed: BTreeSet::new(),
            loaders: BTreeSet::new(),
        };
        match traced.place_probes(means) {
            // Whatever else went wrong, went wrong because of that.
            Err(_) if has_exited(&traced.target) => bail!(
                "process {pid} exited before it could be traced; `leaktrace run -- CMD` traces a program from its start"
            ),
            placed => placed?,
        }
        traced.look();
        Ok(traced)
    }

    /// Does it again after an exec, or when libraries came or went.
    ///
    /// Probes are on files and outlive the exec, so those on a file that is mapped again stay where they are.
    pub fn reattach(&mut self, means: Means<'_>) -> Result<()> {
        self.target.refresh_names();
        self.trampoline = None;
        self.place_probes(means)
    }

    fn place_probes(&mut self, means: Means<'_>) -> Result<()> {
        let Means { kernel, modules, lookup, notices } = means;
        let pid = self.target.pid;
        let before = self.probes.count();
        let mut troubles = Vec::new();
        modules.read(self.slot, pid).with_context(|| format!("the memory map of process {pid} cannot be read"))?;
        // First, for right after an exec the loader is all there is; it tells when the rest is mapped.
        if let Some((module, site)) = allocators::find_loader(modules, self.slot, pid)
            && self.loaders.insert(module)
            && let Some(file) = &modules.get(module).file
        {
            self.probes.attach_loader(kernel, pid, self.slot, file, site)?;
        }
        for found in allocators::find(modules, self.slot, pid, lookup, notices)? {
            if !self.probed.insert(found.module) {
                continue;
            }
            notices.detail(&found.describe());
            let mut probes = Probes::default();
            match probes.attach(kernel, pid, self.slot, found.file, &found.sites) {
                Ok(()) => self.probes.append(probes),
                Err(error) => {
                    self.probed.remove(&found.module);
                    troubles.push(error.context(format!("the allocator in {} is not traced", found.name)));
                }
            }
        }
        if self.probed.is_empty() {
            return Err(troubles.pop().unwrap_or_else(|| anyhow!("process {pid} has nothing to put a probe on")));
        }
        for trouble in troubles {
            notices.say(&format!("{trouble:#}"));
        }
        if self.probes.count() > before {
            notices.detail(&format!("{} probes in process {pid}", self.probes.count()));
        }
        Ok(())
    }

    /// Lets the probes go: a thread of the process ran an exec and took its place, and they were on the one before.
    pub fn lose_probes(&mut self) {
        self.probed.clear();
        self.loaders.clear();
        let probes = std::mem::take(&mut self.probes);
        // The kernel waits for each, and the new program runs meanwhile.
        std::thread::spawn(move || drop(probes));
    }

    /// Finds out where the kernel's return trampoline is in this process, as soon as there is one. Gives it once.
    pub fn find_trampoline(&mut self) -> Option<u64> {
        if self.trampoline.is_none() {
            self.trampoline = Some(trampoline(self.target.pid).unwrap_or(NO_TRAMPOLINE));
            return self.trampoline;
        }
        None
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.alive = self.alive && !has_exited(&self.target);
        self.alive
    }

    /// Looks at what it uses, and gives the processor time it has used so far.
    pub fn look(&mut self) -> Duration {
        if self.is_alive()
            && let Some(usage) = self.target.usage()
        {
            self.rss = usage.rss;
            self.cpu = usage.cpu;
        }
        self.cpu
    }

    /// What a report says of it.
    pub fn report(&self) -> report::Process {
        report::Process {
            pid: self.target.pid,
            start_time: humantime::format_rfc3339_seconds(self.target.started).to_string(),
            comm: self.target.comm.clone(),
            exe: self.target.exe.clone(),
            rss_bytes: self.rss,
            rss_at_attach_bytes: self.target.rss_at_attach,
            alive: self.alive,
        }
    }
}
