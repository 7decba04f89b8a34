//! A process under trace: who it is, its probes, and what it was last seen using.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Lookup, allocators, has_exited};
use crate::{
    notice::Notices,
    probe::{attach::Probes, load::Kernel},
    process::{identity::Target, modules::Modules},
    report,
};

/// A process and its probes.
pub struct Traced {
    /// Who it is.
    pub target: Target,
    alive: bool,
    cpu: Duration,
    slot: u16,
    rss: u64,
    /// Held for their drop, which takes them out.
    probes: Probes,
}

impl Traced {
    /// Finds the allocators of a running process and puts probes on them.
    pub fn attach(
        pid: u32,
        slot: u16,
        kernel: &mut Kernel,
        modules: &mut Modules,
        lookup: &Lookup,
        notices: &Notices,
    ) -> Result<Self> {
        let target = Target::open(pid)?;
        kernel.watch_exec(pid, slot)?;
        let rss = target.rss_at_attach;
        let mut traced = Self { target, alive: true, cpu: Duration::ZERO, slot, rss, probes: Probes::default() };
        traced.place_probes(kernel, modules, lookup, notices)?;
        traced.look();
        Ok(traced)
    }

    /// Does it again after an exec.
    pub fn reattach(
        &mut self,
        kernel: &mut Kernel,
        modules: &mut Modules,
        lookup: &Lookup,
        notices: &Notices,
    ) -> Result<()> {
        self.target.refresh_names();
        self.probes = Probes::default();
        self.place_probes(kernel, modules, lookup, notices)
    }

    fn place_probes(
        &mut self,
        kernel: &mut Kernel,
        modules: &mut Modules,
        lookup: &Lookup,
        notices: &Notices,
    ) -> Result<()> {
        let pid = self.target.pid;
        let read = modules.read(self.slot, pid);
        if has_exited(&self.target) {
            bail!("process {pid} exited before it could be traced; `leaktrace run -- CMD` traces one from its start");
        }
        read.map_err(|error| anyhow::anyhow!("the memory map of process {pid} cannot be read: {error}"))?;
        for found in allocators::find(modules, self.slot, pid, lookup, notices)? {
            notices.detail(&found.describe());
            if let Err(error) = self.probes.attach(kernel, pid, self.slot, found.file, &found.sites) {
                if has_exited(&self.target) {
                    bail!("process {pid} exited while probes were being placed; nothing was traced");
                }
                return Err(error);
            }
        }
        notices.detail(&format!("{} probes in process {pid}", self.probes.len()));
        Ok(())
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
