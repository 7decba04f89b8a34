//! Loads the programs into the kernel and hands out their parts.

use anyhow::{Context, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, HashMap, MapData},
    programs::{RawTracePoint, UProbe},
};
use aya_log::EbpfLogger;
use leak_ebpf::Counter;

use super::{bpf_call, counts::Counts, generations::Generations, known::Known, ring::Ring};
use crate::{notice::Notices, process::maps::usual_trampoline};

/// The compiled programs; `cargo xtask build` makes them and `build.rs` names the file.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("LEAKTRACE_BPF_OBJECT"));

/// The programs on functions of a target.
const TRACING: [&str; 4] = ["enter", "leave", "release", "libraries"];

/// The loaded programs. Dropping it takes everything out of the kernel; so does the death of leaktrace.
pub struct Kernel {
    ebpf: Ebpf,
    log: Option<EbpfLogger<Notices>>,
    traced: HashMap<MapData, u32, u16>,
    trampolines: Array<MapData, u64>,
    generations: Generations,
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
    /// Loads the programs with a ring of this many bytes, a power of two and at least a page.
    pub fn load(ring_bytes: u32, notices: Notices) -> Result<(Self, Upward)> {
        let ring = u64::from(ring_bytes);
        // The last quarter is kept for frees; the reader is woken at half.
        let settings = [ring / 4 * 3, ring / 2, usual_trampoline()];
        let mut ebpf = EbpfLoader::new()
            .allow_unsupported_maps()
            .override_global("SETTINGS", &settings[..], true)
            .map_max_entries("RING", ring_bytes)
            .load(OBJECT)
            .context("the kernel refused leaktrace's BPF maps; Linux 5.15 or newer with BTF is needed")?;
        for name in TRACING.into_iter().chain(["pause"]) {
            uprobe(&mut ebpf, name)?.load().with_context(|| refused(name))?;
        }
        let exec: &mut RawTracePoint = program(&mut ebpf, "exec")?.try_into()?;
        exec.load().with_context(|| refused("exec"))?;
        exec.attach("sched_process_exec").context("the tracepoint sched_process_exec cannot be attached")?;
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
        let generations = Generations::new(take_map(&mut ebpf, "GENERATIONS")?)?;
        Ok((Self { ebpf, log, traced, trampolines, generations }, Upward { ring, counts, known }))
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
        let fork: &mut RawTracePoint = program(&mut self.ebpf, "fork")?.try_into()?;
        fork.load().with_context(|| refused("fork"))?;
        fork.attach("task_newtask").context("the tracepoint task_newtask cannot be attached")?;
        Ok(())
    }

    /// How often the kernel did not run one of the programs where it should have, as it counts.
    pub fn missed_runs(&mut self) -> Result<u64> {
        let mut missed = 0;
        for name in TRACING {
            missed += bpf_call::missed_runs(self.uprobe(name)?.fd()?)?;
        }
        Ok(missed)
    }

    /// Passes on what the programs have logged.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// One of the programs that can be put on a function.
    pub fn uprobe(&mut self, name: &str) -> Result<&mut UProbe> {
        uprobe(&mut self.ebpf, name)
    }
}

fn uprobe<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe> {
    Ok(program(ebpf, name)?.try_into()?)
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::programs::Program> {
    ebpf.program_mut(name).with_context(|| format!("this build of leaktrace lacks its program {name}"))
}

fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name).with_context(|| format!("this build of leaktrace lacks its map {name}"))
}

fn refused(name: &str) -> String {
    format!("the kernel refused leaktrace's program `{name}`; Linux 5.15 or newer with BTF is needed")
}
