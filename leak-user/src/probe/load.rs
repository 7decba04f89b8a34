//! Loads the programs into the kernel and hands out their parts.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, Map, MapData},
    programs::{RawTracePoint, UProbe},
    util::KernelVersion,
};
use aya_log::EbpfLogger;
use leak_ebpf::{
    BlockKey, Counter, EXACT, Loader, MAX_WATCHED, NEWCOMER_WANTED, Places, PythonStack, SLOT_BYTES, STRANGERS_SLOT,
    Sampling, Walk,
};

use super::{
    bpf_call,
    counts::Counts,
    generations::Generations,
    hits::{HitCounts, Shared},
    known::Known,
    multi::{self, Run},
    ring::{Ring, RingMaps},
    tables::Tables,
    watched::WatchedBlocks,
};
use crate::{notice::Notices, process::maps::usual_trampoline};

/// The compiled programs; `cargo xtask build` makes them and `build.rs` names the file.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LEAKTRACE_BPF_OBJECT"));

/// By what the tracing programs are put on functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// One link for many functions, see [`multi`], whose program runs at entry and return, or at entry alone.
    Session,
    /// One link for many functions, for entries or for returns.
    Multi,
    /// A perf event for each function, which all kernels have.
    Perf,
}

impl LinkKind {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Session, Self::Multi, Self::Perf];

    /// The best one that this kernel has.
    pub fn detect() -> Self {
        Self::ALL.into_iter().find(|kind| kind.is_supported()).unwrap_or(Self::Perf)
    }

    /// Whether this kernel has it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Session => Run::Session.is_supported(),
            Self::Multi => Run::Once.is_supported(),
            Self::Perf => true,
        }
    }

    /// What it is called, as in "attached by …".
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "uprobe session links",
            Self::Multi => "uprobe multi links",
            Self::Perf => "perf events",
        }
    }

    /// Its name for programs.
    pub fn id(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Multi => "multi",
            Self::Perf => "perf",
        }
    }

    /// The programs on functions of a target.
    fn programs(self) -> &'static [(&'static str, Run)] {
        match self {
            Self::Session => &[("session", Run::Session), ("release", Run::Once), ("libraries", Run::Once)],
            Self::Multi | Self::Perf => {
                &[("enter", Run::Once), ("leave", Run::Once), ("release", Run::Once), ("libraries", Run::Once)]
            }
        }
    }
}

/// The loaded programs. Dropping it takes everything out of the kernel; so does the death of leaktrace.
pub struct Kernel {
    ebpf: Ebpf,
    links: LinkKind,
    /// The programs on functions, unless those of `ebpf` are used.
    multi: Option<multi::Programs>,
    sweeper: Option<multi::Sweeper>,
    log: Option<EbpfLogger<Notices>>,
    traced: HashMap<MapData, u32, u16>,
    sharers: HashMap<MapData, u32, u16>,
    newcomers: HashMap<MapData, u32, u32>,
    holds_newcomers: bool,
    trampolines: Array<MapData, u64>,
    sampling: Array<MapData, Shared<Sampling>>,
    watched: WatchedBlocks,
    generations: Generations,
    loaders: Array<MapData, Shared<Loader>>,
    walk: Walk,
    python: Option<PythonMaps>,
}

/// What there is for processes that run Python.
struct PythonMaps {
    interpreters: HashMap<MapData, u32, Shared<Places>>,
    stacks: HashMap<MapData, u64, Shared<PythonStack>>,
}

impl PythonMaps {
    fn take(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self {
            interpreters: HashMap::try_from(take_map(ebpf, "INTERPRETERS")?)?,
            stacks: HashMap::try_from(take_map(ebpf, "PYTHON_STACKS")?)?,
        })
    }
}

/// How the programs are loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadSettings {
    /// Bytes of the ring, a power of two and at least a page.
    pub ring_bytes: u32,
    /// By what links they are put on functions.
    pub links: LinkKind,
    /// How they walk stacks.
    pub walk: Walk,
    /// Whether allocations may be sampled, and not all be traced.
    pub may_sample: bool,
    /// Whether new programs of processes that are not traced are to be told.
    pub newcomers: bool,
    /// Whether stacks are to have Python's frames, of processes that run it.
    pub python: bool,
}

/// The parts that go up: each is used by one owner for the length of the trace.
pub struct Upward {
    /// Records.
    pub ring: Ring,
    /// Counters.
    pub counts: Counts,
    /// What each process's probes were hit.
    pub hits: HitCounts,
    /// What the kernel side believes to have sent.
    pub known: Known,
}

impl Upward {
    /// Throws away all that has come up so far, and counts from nothing.
    pub(super) fn discard(&mut self) -> Result<()> {
        self.ring.drain(|_| {})?;
        let spilled = self.counts.read()?.get(Counter::FreesSpilled);
        self.ring.take_spilled(spilled)?;
        self.ring.rearm()?;
        self.counts.start_from_nothing()
    }
}

impl Kernel {
    /// Loads the programs.
    pub fn load(settings: LoadSettings, notices: Notices) -> Result<(Self, Upward, Tables)> {
        let LoadSettings { ring_bytes, links, walk, may_sample, newcomers, python } = settings;
        let slots = ring_bytes / SLOT_BYTES as u32;
        let walk = if has_loops() { walk } else { Walk::Pointers };
        let python = python && has_loops();
        // The last quarter is kept for frees; the reader is woken at half.
        let marks = [slots, slots / 4 * 3, slots / 2].map(u64::from);
        let settings = [marks[0], marks[1], marks[2], usual_trampoline(), walk as u64, newcomers.into(), python.into()];
        let mut ebpf = EbpfLoader::new()
            .allow_unsupported_maps()
            .override_global("SETTINGS", &settings[..], true)
            .map_max_entries("SLOTS", slots)
            .map_max_entries("WATCHED", if may_sample { MAX_WATCHED } else { 1 })
            .load(OBJECT)
            .context("the kernel refused leaktrace's BPF maps; Linux 5.15 or newer with BTF is needed")?;
        let holds_newcomers = newcomers && has_loops();
        let held = if holds_newcomers { &[("wait", Run::Once)][..] } else { &[] };
        let (links, multi) = load_together(&ebpf, links, held, notices);
        let one_by_one = links.programs().iter().chain(held).filter(|_| multi.is_none());
        for (name, _) in one_by_one.chain([&("pause", Run::Once)]) {
            uprobe(&mut ebpf, name)?.load().with_context(|| refused(name))?;
        }
        on_tracepoint(&mut ebpf, "exec", "sched_process_exec")?;
        let (multi, sweeper) = multi.unzip();
        if sweeper.is_some() {
            on_tracepoint(&mut ebpf, "copy", "task_newtask")?;
        }
        let ring = Ring::new(RingMaps {
            slots: take_map(&mut ebpf, "SLOTS")?,
            positions: take_map(&mut ebpf, "POSITIONS")?,
            skipped: take_map(&mut ebpf, "SKIPPED")?,
            spilled: take_map(&mut ebpf, "SPILLED_FREES")?,
            bell: take_map(&mut ebpf, "BELL")?,
            woken: take_map(&mut ebpf, "WOKEN")?,
        })?;
        let counts = Counts::new(take_map(&mut ebpf, "COUNTS")?)?;
        let known = Known::new(take_map(&mut ebpf, "KNOWN")?)?;
        let traced = HashMap::try_from(take_map(&mut ebpf, "TRACED")?)?;
        let sharers = HashMap::try_from(take_map(&mut ebpf, "SHARERS")?)?;
        let newcomers = HashMap::try_from(take_map(&mut ebpf, "NEWCOMERS")?)?;
        let log =
            (notices == Notices::Verbose).then(|| EbpfLogger::init_with_logger(&mut ebpf, notices)).transpose()?;
        let trampolines = Array::try_from(take_map(&mut ebpf, "TRAMPOLINES")?)?;
        let tables = Tables::new(
            take_map(&mut ebpf, "ROWS")?,
            take_map(&mut ebpf, "SPACES")?,
            take_map(&mut ebpf, "EPOCHS")?,
            take_map(&mut ebpf, "RULES")?,
        )?;
        let generations = Generations::new(take_map(&mut ebpf, "CHANGES")?)?;
        let loaders = Array::try_from(take_map(&mut ebpf, "LOADERS")?)?;
        let hits = HitCounts::new(take_map(&mut ebpf, "HITS")?)?;
        let sampling = Array::try_from(take_map(&mut ebpf, "SAMPLING")?)?;
        let watched = WatchedBlocks::new(take_map(&mut ebpf, "WATCHED")?, take_map(&mut ebpf, "WATCHED_BINS")?)?;
        let python = python.then(|| PythonMaps::take(&mut ebpf)).transpose()?;
        let mut kernel = Self {
            ebpf,
            links,
            multi,
            sweeper,
            log,
            traced,
            sharers,
            newcomers,
            holds_newcomers,
            trampolines,
            sampling,
            watched,
            generations,
            loaders,
            walk,
            python,
        };
        kernel.set_sampling(STRANGERS_SLOT, Sampling::new(EXACT, Sampling::NO_ALLOCATIONS | Sampling::OFF, 0))?;
        notices.detail(&format!("probes are attached by {}", links.name()));
        Ok((kernel, Upward { ring, counts, hits, known }, tables))
    }

    /// By what the programs are put on functions.
    pub fn links(&self) -> LinkKind {
        self.links
    }

    /// How stacks are walked: as was asked for, or by frame pointers where the kernel can do no more.
    pub fn walk(&self) -> Walk {
        self.walk
    }

    /// How often each process has changed what it runs.
    pub fn generations(&self) -> Generations {
        self.generations.clone()
    }

    /// Has execs of this process reported under its slot.
    pub fn watch_exec(&mut self, pid: u32, process: u16) -> Result<()> {
        self.traced.insert(pid, process, 0).with_context(|| format!("process {pid} cannot be added to the traced ones"))
    }

    /// Has no more of this process reported under this slot: it is gone, and another may bear its id, even be traced.
    pub fn unwatch(&mut self, pid: u32, process: u16) -> Result<()> {
        for processes in [&mut self.traced, &mut self.sharers] {
            if processes.get(&pid, 0).is_ok_and(|watched| watched == process) {
                processes.remove(&pid)?;
            }
        }
        Ok(())
    }

    /// Has probes that are in every process take this one's calls for those of this slot.
    pub fn share(&mut self, pid: u32, process: u16) -> Result<()> {
        self.sharers
            .insert(pid, process, 0)
            .with_context(|| format!("process {pid} cannot be added to the traced ones"))
    }

    /// Makes a slot that another process had ready for a new one: the same addresses are other stacks from now on.
    pub fn renew(&mut self, process: u16) -> Result<()> {
        self.set_loader(process, 0)?;
        self.generations.advance(process)
    }

    /// Tells how far it is from where the process in this slot tells of changes of what it maps to what it says of them, in
    /// bytes, wrapping; 0 if that is not known.
    pub fn set_loader(&mut self, process: u16, state_distance: u64) -> Result<()> {
        let loader = Loader { state_distance, state: Loader::CONSISTENT };
        self.loaders
            .set(u32::from(process), Shared(loader), 0)
            .context("where its loader tells of changes cannot be set")
    }

    /// Whether newcomers wait in loaders that bear a probe for it.
    pub fn holds_newcomers(&self) -> bool {
        self.holds_newcomers
    }

    /// Has a newcomer, if it waits, wait until it has its probes.
    pub fn keep_waiting(&mut self, pid: u32) {
        const IF_THERE: u64 = 2;
        // It may not wait, or have waited long enough.
        let _ = self.newcomers.insert(pid, NEWCOMER_WANTED, IF_THERE);
    }

    /// Lets a newcomer go on. Says whether it has not done so by itself.
    pub fn let_go_on(&mut self, pid: u32) -> bool {
        self.newcomers.remove(&pid).is_ok()
    }

    /// Tells the programs where the return trampoline is in the process in this slot.
    pub fn set_trampoline(&mut self, process: u16, address: u64) -> Result<()> {
        Ok(self.trampolines.set(u32::from(process), address, 0)?)
    }

    /// Tells the probes of the process in this slot what is asked of them.
    pub fn set_sampling(&mut self, process: u16, sampling: Sampling) -> Result<()> {
        let slot = u32::from(process);
        self.sampling.set(slot, Shared(sampling), 0).context("how allocations are sampled cannot be set")
    }

    /// Has the frees of these blocks told. Gives how many found room.
    pub fn watch_blocks(&mut self, blocks: impl Iterator<Item = BlockKey>) -> Result<u64> {
        self.watched.add(blocks)
    }

    /// Has the frees of these blocks told no more.
    pub fn forget_blocks(&mut self, blocks: impl Iterator<Item = BlockKey>) -> Result<()> {
        self.watched.remove(blocks)
    }

    /// Whether stacks can have Python's frames.
    pub fn has_python(&self) -> bool {
        self.python.is_some()
    }

    /// Has the stacks of the process in this slot told with Python's frames, which are there.
    pub fn set_interpreter(&mut self, process: u16, places: &Places) -> Result<()> {
        let Some(python) = &mut self.python else { return Ok(()) };
        python.interpreters.insert(u32::from(process), Shared(*places), 0).context("its frames cannot be told")
    }

    /// Has them told without.
    pub fn forget_interpreter(&mut self, process: u16) {
        if let Some(python) = &mut self.python {
            // It may never have had any.
            let _ = python.interpreters.remove(&u32::from(process));
        }
    }

    /// The Python frames of a stack that was just told, if it has any.
    pub fn take_python_stack(&mut self, id: u64) -> Option<PythonStack> {
        let stacks = &mut self.python.as_mut()?.stacks;
        let Shared(stack) = stacks.get(&id, 0).ok()?;
        // It was there a moment ago.
        let _ = stacks.remove(&id);
        Some(stack)
    }

    /// Has processes reported that traced ones make.
    pub fn watch_forks(&mut self) -> Result<()> {
        on_tracepoint(&mut self.ebpf, "fork", "task_newtask")
    }

    /// How often the kernel did not run one of the programs where it should have, as it counts.
    pub fn missed_runs(&mut self) -> Result<u64> {
        let mut missed = 0;
        if let Some(programs) = &self.multi {
            for program in programs.fds() {
                missed += bpf_call::missed_runs(program)?;
            }
            return Ok(missed);
        }
        for (name, _) in self.links.programs() {
            missed += bpf_call::missed_runs(self.uprobe(name)?.fd()?)?;
        }
        Ok(missed)
    }

    /// Takes the breakpoints of traced processes out of the copies that these have made of themselves, `copies` ever, if
    /// the kernel does not do it by itself. Does not wait.
    pub fn sweep_copies(&mut self, copies: u64, breakpoints: impl FnOnce() -> Vec<multi::Breakpoints>) {
        if let Some(sweeper) = &mut self.sweeper {
            sweeper.sweep(copies, breakpoints);
        }
    }

    /// Passes on what the programs have logged.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// The tracing programs for links on many functions, if such links are used.
    pub(super) fn multi(&self) -> Option<&multi::Programs> {
        self.multi.as_ref()
    }

    /// One of the programs that a perf event can put on a function.
    pub fn uprobe(&mut self, name: &str) -> Result<&mut UProbe> {
        uprobe(&mut self.ebpf, name)
    }
}

/// Loads the programs for links on many functions, of this kind or the next that the kernel takes. `None` where perf
/// events are all there is.
fn load_together(
    ebpf: &Ebpf,
    links: LinkKind,
    more: &[(&'static str, Run)],
    notices: Notices,
) -> (LinkKind, Option<(multi::Programs, multi::Sweeper)>) {
    let kinds = match links {
        LinkKind::Session => &[LinkKind::Session, LinkKind::Multi][..],
        LinkKind::Multi => &[LinkKind::Multi],
        LinkKind::Perf => &[],
    };
    for kind in kinds {
        let programs = [kind.programs(), more].concat();
        let loaded = multi::Programs::load(OBJECT, map_fds(ebpf), &programs);
        match loaded.and_then(|programs| Ok((programs, multi::sweeper()?))) {
            Ok(loaded) => return (*kind, Some(loaded)),
            Err(error) => notices.detail(&format!("{} are not used: {error:#}", kind.name())),
        }
    }
    (LinkKind::Perf, None)
}

fn on_tracepoint(ebpf: &mut Ebpf, name: &str, tracepoint: &str) -> Result<()> {
    let program: &mut RawTracePoint = program(ebpf, name)?.try_into()?;
    program.load().with_context(|| refused(name))?;
    program.attach(tracepoint).with_context(|| format!("the tracepoint {tracepoint} cannot be attached"))?;
    Ok(())
}

fn uprobe<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe> {
    Ok(program(ebpf, name)?.try_into()?)
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::programs::Program> {
    ebpf.program_mut(name).with_context(|| format!("this build of leaktrace lacks its program {name}"))
}

/// Whether the kernel runs loops for programs, which walks by unwind rules need.
pub fn has_loops() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(5, 17, 0))
}

/// The maps that aya has made. It tells the descriptor only of those whose type is known.
fn map_fds(ebpf: &Ebpf) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
    ebpf.maps().filter_map(|(name, map)| match map {
        Map::Array(map)
        | Map::ArrayOfMaps(map)
        | Map::HashMap(map)
        | Map::PerCpuArray(map)
        | Map::RingBuf(map)
        | Map::Unsupported(map) => Some((name, map.fd().as_fd())),
        _ => None,
    })
}

fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<Map> {
    ebpf.take_map(name).with_context(|| format!("this build of leaktrace lacks its map {name}"))
}

fn refused(name: &str) -> String {
    format!("the kernel refused leaktrace's program `{name}`; Linux 5.15 or newer with BTF is needed")
}
