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
use leak_ebpf::{Counter, Walk};

use super::{bpf_call, counts::Counts, generations::Generations, known::Known, multi, ring::Ring, tables::Tables};
use crate::{notice::Notices, process::maps::usual_trampoline};

/// The compiled programs; `cargo xtask build` makes them and `build.rs` names the file.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LEAKTRACE_BPF_OBJECT"));

/// The programs on functions of a target.
const TRACING: [&str; 4] = ["enter", "leave", "release", "libraries"];

/// By what the tracing programs are put on functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// One link for many functions, see [`multi`].
    Multi,
    /// A perf event for each function, which all kernels have.
    Perf,
}

impl LinkKind {
    /// The better one that this kernel has.
    pub fn detect() -> Self {
        if multi::is_supported() { Self::Multi } else { Self::Perf }
    }

    /// What it is called, as in "attached by …".
    pub fn name(self) -> &'static str {
        match self {
            Self::Multi => "uprobe multi links",
            Self::Perf => "perf events",
        }
    }
}

/// The loaded programs. Dropping it takes everything out of the kernel; so does the death of leaktrace.
pub struct Kernel {
    ebpf: Ebpf,
    /// The programs of [`TRACING`], unless those of `ebpf` are used.
    multi: Option<multi::Programs>,
    sweeper: Option<multi::Sweeper>,
    log: Option<EbpfLogger<Notices>>,
    traced: HashMap<MapData, u32, u16>,
    trampolines: Array<MapData, u64>,
    generations: Generations,
    walk: Walk,
}

/// The parts that go up: each is used by one owner for the length of the trace.
pub struct Upward {
    /// Records.
    pub ring: Ring,
    /// Counters.
    pub counts: Counts,
    /// What the kernel side believes to have sent.
    pub known: Known,
}

impl Upward {
    /// Throws away all that has come up so far, and counts from nothing.
    pub(super) fn discard(&mut self) -> Result<()> {
        self.ring.drain(|_| {});
        let spilled = self.counts.read()?.get(Counter::FreesSpilled);
        self.ring.take_spilled(spilled)?;
        self.ring.rearm()?;
        self.counts.start_from_nothing()
    }
}

impl Kernel {
    /// Loads the programs with a ring of this many bytes, a power of two and at least a page, to be put on functions by
    /// links of this kind and to walk stacks in this way.
    pub fn load(ring_bytes: u32, links: LinkKind, walk: Walk, notices: Notices) -> Result<(Self, Upward, Tables)> {
        let ring = u64::from(ring_bytes);
        let walk = if has_loops() { walk } else { Walk::Pointers };
        // The last quarter is kept for frees; the reader is woken at half.
        let settings = [ring / 4 * 3, ring / 2, usual_trampoline(), walk as u64];
        let mut ebpf = EbpfLoader::new()
            .allow_unsupported_maps()
            .override_global("SETTINGS", &settings[..], true)
            .map_max_entries("RING", ring_bytes)
            .load(OBJECT)
            .context("the kernel refused leaktrace's BPF maps; Linux 5.15 or newer with BTF is needed")?;
        let multi = (links == LinkKind::Multi)
            .then(|| Ok((multi::Programs::load(OBJECT, map_fds(&ebpf), &TRACING)?, multi::sweeper()?)))
            .transpose()
            .unwrap_or_else(|error: anyhow::Error| {
                notices.detail(&format!("uprobe multi links are not used: {error:#}"));
                None
            });
        for name in TRACING.into_iter().filter(|_| multi.is_none()).chain(["pause"]) {
            uprobe(&mut ebpf, name)?.load().with_context(|| refused(name))?;
        }
        on_tracepoint(&mut ebpf, "exec", "sched_process_exec")?;
        let (multi, sweeper) = multi.unzip();
        if sweeper.is_some() {
            on_tracepoint(&mut ebpf, "copy", "task_newtask")?;
        }
        let ring = Ring::new(
            take_map(&mut ebpf, "RING")?,
            take_map(&mut ebpf, "SPILLED_FREES")?,
            take_map(&mut ebpf, "WOKEN")?,
        )?;
        let counts = Counts::new(take_map(&mut ebpf, "COUNTS")?)?;
        let known = Known::new(take_map(&mut ebpf, "KNOWN")?)?;
        let traced = HashMap::try_from(take_map(&mut ebpf, "TRACED")?)?;
        let log =
            (notices == Notices::Verbose).then(|| EbpfLogger::init_with_logger(&mut ebpf, notices)).transpose()?;
        let trampolines = Array::try_from(take_map(&mut ebpf, "TRAMPOLINES")?)?;
        let tables = Tables::new(
            take_map(&mut ebpf, "ROWS")?,
            take_map(&mut ebpf, "SPACES")?,
            take_map(&mut ebpf, "EPOCHS")?,
            take_map(&mut ebpf, "RULES")?,
        )?;
        let generations = Generations::new(take_map(&mut ebpf, "GENERATIONS")?)?;
        let kernel = Self { ebpf, multi, sweeper, log, traced, trampolines, generations, walk };
        notices.detail(&format!("probes are attached by {}", kernel.links().name()));
        Ok((kernel, Upward { ring, counts, known }, tables))
    }

    /// By what the programs are put on functions.
    pub fn links(&self) -> LinkKind {
        if self.multi.is_some() { LinkKind::Multi } else { LinkKind::Perf }
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
        if self.traced.get(&pid, 0).is_ok_and(|watched| watched == process) {
            self.traced.remove(&pid)?;
        }
        Ok(())
    }

    /// Makes a slot that another process had ready for a new one: the same addresses are other stacks from now on.
    pub fn renew(&mut self, process: u16) -> Result<()> {
        self.generations.advance(process)
    }

    /// Tells the programs where the return trampoline is in the process in this slot.
    pub fn set_trampoline(&mut self, process: u16, address: u64) -> Result<()> {
        Ok(self.trampolines.set(u32::from(process), address, 0)?)
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
        for name in TRACING {
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

/// The maps that aya has made. It tells the descriptor only of those whose type is known.
/// Whether the kernel runs loops for programs, which walks by unwind rules need.
fn has_loops() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(5, 17, 0))
}

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
