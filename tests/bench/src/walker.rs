//! leaktrace's own walk of stacks by unwind tables, and nothing else of it.

use std::{num::NonZeroU32, time::Duration};

use anyhow::{Context, Result};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeScope};
use leak_ebpf::{Cookie, Counter, Signature, Walk, WalkEnd};
use leak_user::{
    notice::Notices,
    probe::load::{Kernel, LinkKind, LoadSettings, Upward},
    process::modules::Modules,
    unwind::supply::Supply,
};

use crate::{
    probes::{library_of, places},
    workloads::LIBC,
};

/// Bytes of a ring that nothing is written to.
const RING_BYTES: u32 = 4096;

/// How long tables may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// leaktrace's programs, with the tables of those that they are put on; gone when dropped.
pub struct Walker {
    kernel: Kernel,
    upward: Upward,
    supply: Supply,
    modules: Modules,
    next_slot: u16,
}

impl Walker {
    /// Loads the programs.
    pub fn load() -> Result<Self> {
        let settings = LoadSettings {
            ring_bytes: RING_BYTES,
            links: LinkKind::Perf,
            walk: Walk::Rules,
            may_sample: false,
            newcomers: false,
            python: false,
        };
        let (mut kernel, upward, tables) = Kernel::load(settings, Notices::Quiet)?;
        for program in ["walk", "recall"] {
            kernel.uprobe(program)?.load()?;
        }
        let generations = kernel.generations();
        let modules = Modules::new(move |slot| generations.of(slot));
        Ok(Self { kernel, upward, supply: Supply::start(tables, Notices::Quiet)?, modules, next_slot: 0 })
    }

    /// Walks at each malloc of this process, by perf events, from now on: in any case (`walk`), or where the thread does
    /// not remember that it has walked there before (`recall`).
    pub fn attach(&mut self, pid: u32, program: &str) -> Result<()> {
        let slot = self.next_slot;
        self.next_slot += 1;
        self.modules.read(slot, pid)?;
        self.supply.order(slot, &self.modules);
        self.supply.wait(PATIENCE);
        let file = library_of(pid, LIBC)?.open(pid)?;
        let scope = UProbeScope::OneProcess(NonZeroU32::new(pid).context("there is no process 0")?);
        for (program, offset) in places(&file, &[(program, "malloc")])? {
            let point = UProbeAttachPoint {
                location: UProbeAttachLocation::AbsoluteOffset(offset),
                cookie: Some(Cookie::new(Signature::Size0, slot, false, 0).pack()),
            };
            self.kernel.uprobe(program)?.attach(point, file.path(), scope)?;
        }
        Ok(())
    }

    /// The share of walks that came to the bottom of their stack, 0 to 1.
    pub fn whole_share(&self) -> Result<f64> {
        let counts = self.upward.counts.read()?;
        let all: u64 = WalkEnd::ALL.iter().map(|end| counts.get(end.counter())).sum();
        Ok(counts.get(Counter::StacksWhole) as f64 / all as f64)
    }
}
