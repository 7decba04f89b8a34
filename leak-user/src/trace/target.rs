//! A process under trace: who it is, its probes, and what it was last seen using.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use leak_ebpf::{BlockKey, Hits, NO_TRAMPOLINE, Walk};

use super::{
    Lookup,
    allocators::{self, Known},
    commons::Commons,
    governor::{Decision, Governor, Watch},
    passage::Functions,
    pythons::Pythons,
    search::Search,
    watched::Watched,
};
use crate::{
    ledger::Ledger,
    notice::Notices,
    probe::{
        attach::{Part, Probes},
        load::Kernel,
        multi::Breakpoints,
    },
    process::{
        identity::Target,
        maps::trampoline,
        modules::{ModuleIndex, Modules},
    },
    report,
    unwind::supply::Supply,
};

/// How long probes wait for unwind tables.
const TABLES_AT_ATTACH: Duration = Duration::from_millis(300);

/// What placing probes takes, for all processes.
pub struct Means {
    /// The loaded programs.
    pub kernel: Kernel,
    /// The modules of all processes.
    pub modules: Modules,
    /// What has unwind tables made of the modules.
    pub supply: Supply,
    /// Where to look for allocators.
    pub lookup: Lookup,
    /// Where to say what was found.
    pub notices: Notices,
    /// How often probes came later than a program could allocate.
    pub late: u64,
    /// What each new process's governor is like.
    pub governor: Governor,
    /// The functions that bear probes.
    pub functions: Functions,
    /// What files were found to be.
    pub known: Known,
    /// Probes of many processes together.
    pub commons: Commons,
    /// Those that run Python.
    pub pythons: Pythons,
}

impl Means {
    /// Has tables made for what processes map since.
    pub fn order_tables(&mut self) {
        let changed = self.modules.take_changed();
        if self.kernel.walk() == Walk::Pointers {
            return;
        }
        for slot in changed {
            self.supply.order(slot, &self.modules);
        }
    }
}

impl Means {
    /// Has the frees of what the process in this slot holds told no more: it is gone, or runs another program.
    pub fn forget_blocks(&mut self, slot: u16, ledger: &Ledger) -> Result<()> {
        if !self.governor.may_sample() {
            return Ok(());
        }
        self.kernel.forget_blocks(ledger.addresses(slot).map(|address| BlockKey::new(slot, address)))
    }
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    Exited,
    /// Its last records were read, and its probes are gone.
    Released,
}

/// A process and its probes.
pub struct Traced {
    /// Who it is.
    pub target: Target,
    /// Which process the programs' records call it.
    pub slot: u16,
    /// Whether it came along: because a traced process made it, or because it is what was asked for. What it held goes with
    /// it.
    pub came_along: bool,
    /// Whether it shares probes with others.
    pub shares: bool,
    /// Where the kernel's return trampoline is in it, once known.
    trampoline: Option<u64>,
    /// Where it will be, if there is none yet.
    pub expected_trampoline: Option<u64>,
    life: Life,
    cpu: Duration,
    rss: u64,
    /// Held for their drop, which takes them out.
    probes: Probes,
    /// The files whose allocator they are on.
    probed: BTreeSet<ModuleIndex>,
    /// The dynamic loaders that tell of new libraries.
    loaders: BTreeSet<ModuleIndex>,
    /// The one that it has.
    loader: Option<ModuleIndex>,
    /// While it has no allocator that bears probes.
    search: Option<Search>,
    /// Whether it runs a program whose allocator may have no probes yet, which is to be said.
    may_be_late: bool,
    /// How it is watched.
    pub watched: Watched,
}

impl Traced {
    /// A process without probes.
    pub fn new(target: Target, slot: u16, came_along: bool, governor: Governor) -> Self {
        Self {
            life: Life::Running,
            cpu: Duration::ZERO,
            slot,
            came_along,
            shares: false,
            trampoline: None,
            expected_trampoline: None,
            rss: target.rss_at_attach,
            probes: Probes::default(),
            probed: BTreeSet::new(),
            loaders: BTreeSet::new(),
            loader: None,
            search: None,
            may_be_late: false,
            watched: Watched::new(governor),
            target,
        }
    }

    /// Finds its allocators and puts probes on them. Fails when there are none.
    pub fn attach(&mut self, means: &mut Means) -> Result<()> {
        let placed = self.place_probes(means);
        let pid = self.target.pid;
        if self.target.is_replaced() || (placed.is_err() && self.target.has_exited()) {
            // Whatever else went wrong, went wrong because of that.
            bail!(
                "process {pid} exited before it could be traced; `leaktrace run -- CMD` traces a program from its start"
            );
        }
        placed?;
        self.look();
        Ok(())
    }

    /// Does it for a process that has only just got its program, or has mapped something since. What is not there yet
    /// is searched for from now on.
    ///
    /// Probes are on files and outlive an exec, so those on a file that is mapped again stay where they are.
    pub fn attach_or_search(&mut self, means: &mut Means) {
        self.target.refresh_names();
        self.trampoline = None;
        let Err(error) = self.place_probes(means) else {
            self.search = None;
            return;
        };
        let (now, looked_at) = (Instant::now(), means.modules.files_of(self.slot));
        match &mut self.search {
            None => self.search = Some(Search::begin(now, looked_at)),
            Some(search) => {
                if search.go_on(now, looked_at) && !self.target.has_exited() {
                    let pid = self.target.pid;
                    means.notices.say(&format!("process {pid} runs another program, untraced so far: {error:#}"));
                }
            }
        }
    }

    /// Whether it has any probes.
    pub fn has_probes(&self) -> bool {
        !self.probed.is_empty()
    }

    /// Whether it has waited, if it is a newcomer, where its libraries are mapped and nothing of them has run.
    pub fn waits_in_loader(&self, commons: &Commons) -> bool {
        self.has_probes() && self.loader.is_some_and(|loader| commons.holds_in(loader))
    }

    /// Has the search begin a little later.
    pub fn search_later(&mut self) {
        self.search = Some(Search::begin(Instant::now(), Vec::new()));
    }

    /// Goes on with the search, if there is one and it is time to.
    pub fn search_on(&mut self, means: &mut Means) {
        let now = Instant::now();
        let Some(search) = self.search.as_mut().filter(|search| search.is_due(now)) else { return };
        if means.modules.read(self.slot, self.target.pid).is_ok() {
            let files = means.modules.files_of(self.slot);
            if search.is_in_vain(&files) {
                search.go_on(now, files);
                return;
            }
        }
        self.attach_or_search(means);
    }

    fn place_probes(&mut self, means: &mut Means) -> Result<()> {
        let pid = self.target.pid;
        let before = self.probes.count();
        self.read_modules(means)?;
        means.order_tables();
        self.attach_loader(means)?;
        means.order_tables();
        let Means { kernel, modules, supply, lookup, notices, late, functions, known, commons, .. } = means;
        let loader = self.loader.filter(|_| lookup.is_usual());
        let mut troubles = Vec::new();
        let (mut bear_probes, mut is_new) = (false, false);
        let found = match allocators::find(known, modules, self.slot, pid, lookup, *notices) {
            Ok(found) => {
                let is_library = |module| modules.get(module).path != Path::new(&self.target.exe);
                if let Some(loader) = loader {
                    known.note_loaded(loader, found.iter().map(|found| found.module).filter(|it| is_library(*it)));
                }
                found
            }
            // Where there is nothing but the program and its loader yet, probes wait for what that will map.
            Err(error) => match loader.filter(|_| modules.files_of(self.slot).len() <= 2) {
                Some(loader) if known.expects(loader) => known.expected(modules, loader),
                _ => return Err(error),
            },
        };
        if self.probed.is_empty() && !self.came_along {
            // So that the first stacks are whole; those of a large program come when they are there.
            supply.wait(TABLES_AT_ATTACH);
        }
        for mut found in found {
            for site in &mut found.sites {
                site.function = functions.number(found.module, site.code.clone());
            }
            if self.probed.contains(&found.module) {
                bear_probes = true;
                continue;
            }
            notices.detail(&found.describe());
            let mut probes = Probes::default();
            let placed = if self.shares {
                commons.cover(kernel, found.module, found.file, &found.sites).map(|_| ())
            } else {
                probes.attach(kernel, pid, self.slot, found.file, &found.sites)
            };
            match placed {
                Ok(()) => {
                    self.probes.append(probes);
                    self.probed.insert(found.module);
                    (bear_probes, is_new) = (true, true);
                }
                Err(error) => {
                    troubles.push(error.context(format!("the allocator in {} is not traced", found.name)));
                    if self.target.has_exited() {
                        // They go with the others, aside: here the reader would wait for each.
                        self.probes.append(probes);
                    }
                }
            }
        }
        if !bear_probes {
            return Err(troubles.pop().unwrap_or_else(|| anyhow!("process {pid} has nothing to put a probe on")));
        }
        for trouble in troubles {
            notices.say(&format!("{trouble:#}"));
        }
        if is_new && self.may_be_late {
            *late += 1;
        }
        self.may_be_late = false;
        if self.probes.count() > before {
            notices.detail(&format!("{} probes in process {pid}", self.probes.count()));
        }
        Ok(())
    }

    /// Puts a probe on the dynamic loader, if it has none yet. First of all, for right after an exec the loader is all
    /// there is; it tells when the rest is mapped.
    fn attach_loader(&mut self, means: &mut Means) -> Result<()> {
        let pid = self.target.pid;
        let loader = allocators::find_loader(&mut means.known, &means.modules, self.slot, pid);
        let known = std::mem::replace(&mut self.loader, loader.map(|(module, _)| module));
        let Some((module, site)) = loader else { return Ok(()) };
        if known != self.loader {
            means.kernel.set_loader(self.slot, site.state_distance)?;
        }
        let Some(file) = &means.modules.get(module).file else { return Ok(()) };
        if !self.loaders.contains(&module) {
            if self.shares {
                means.commons.cover_loader(&mut means.kernel, module, file, site)?;
            } else {
                self.probes.attach_loader(&mut means.kernel, "libraries", pid, self.slot, file, site)?;
            }
            self.loaders.insert(module);
            // What was mapped before the probe stood is to be seen now; of what comes later, it tells.
            self.read_modules(means)?;
        }
        Ok(())
    }

    fn read_modules(&self, means: &mut Means) -> Result<()> {
        let pid = self.target.pid;
        means.modules.read(self.slot, pid).with_context(|| format!("the memory map of process {pid} cannot be read"))
    }

    /// Takes note of an exec. When a thread other than the first ran it, which takes the first one's place, the probes
    /// were on the one before: gives them, to be taken out.
    pub fn begin_anew(&mut self, by_first_thread: bool, means: &mut Means) -> Option<Probes> {
        (self.search, self.loader) = (None, None);
        if by_first_thread || self.shares {
            // Without probes it was late before.
            self.may_be_late |= !self.probed.is_empty();
            return None;
        }
        self.may_be_late = false;
        means.late += 1;
        self.probed.clear();
        self.loaders.clear();
        Some(std::mem::take(&mut self.probes))
    }

    /// Sees to its end: gives the probes, to be taken out.
    pub fn release(&mut self, means: &mut Means) -> Probes {
        self.life = Life::Released;
        self.search = None;
        if std::mem::take(&mut self.may_be_late) {
            means.late += 1;
        }
        std::mem::take(&mut self.probes)
    }

    /// Where links on many functions have put breakpoints.
    pub fn breakpoints(&self) -> &[Breakpoints] {
        self.probes.breakpoints()
    }

    /// Where the kernel's return trampoline is in this process, or is to be expected, if that is known.
    pub fn trampoline(&self) -> Option<u64> {
        self.trampoline.filter(|trampoline| *trampoline != NO_TRAMPOLINE).or(self.expected_trampoline)
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
        if self.life == Life::Running && self.target.has_exited() {
            self.life = Life::Exited;
        }
        self.life == Life::Running
    }

    /// Whether its end was seen to.
    pub fn is_released(&self) -> bool {
        self.life == Life::Released
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

    /// Has the governor judge, given what the probes were hit.
    pub fn judge(&mut self, now: Instant, hits: Hits) -> Option<Decision> {
        let cpu = self.look();
        self.watched.judge(now, cpu, hits)
    }

    /// Puts probes back that were withdrawn and are to be in place for this.
    pub fn put_back(&mut self, watch: Watch, means: &mut Means) -> Result<()> {
        if self.shares {
            return Ok(());
        }
        for (part, is_wanted) in [(Part::Releases, true), (Part::Allocations, watch == Watch::All)] {
            if is_wanted && !self.probes.has(part) {
                self.probes.put_back(&mut means.kernel, part)?;
            }
        }
        Ok(())
    }

    /// Gives the probes that are in place and need not be, to be taken out.
    pub fn withdraw(&mut self) -> Probes {
        let mut withdrawn = Probes::default();
        let watch = self.watched.orders().watch;
        for (part, is_idle) in [(Part::Allocations, watch != Watch::All), (Part::Releases, watch == Watch::Nothing)] {
            if is_idle && self.probes.has(part) {
                withdrawn.append(self.probes.withdraw(part));
            }
        }
        withdrawn
    }

    /// What a report says of it, but for its sums.
    pub fn report(&self) -> report::Process {
        report::Process {
            pid: self.target.pid,
            start_time: humantime::format_rfc3339_seconds(self.target.started).to_string(),
            comm: self.target.comm.clone(),
            exe: self.target.exe.clone(),
            cgroup: self.target.cgroup.clone(),
            rss_bytes: self.rss,
            rss_at_attach_bytes: self.target.rss_at_attach,
            alive: self.life == Life::Running,
            sample_bytes: self.watched.orders().period,
            watched_s: self.watched.seconds(),
            watching: match self.watched.orders().watch {
                _ if self.life != Life::Running || self.watched.is_let_go() => report::Watching::Ended,
                Watch::All => report::Watching::All,
                Watch::Releases => report::Watching::Frees,
                Watch::Nothing => report::Watching::Nothing,
            },
            totals: report::Totals::default(),
            bytes_per_s: None,
        }
    }
}
