//! Puts the programs on a process's allocator functions.
//!
//! Frees are attached before allocations and detached after them: a block whose allocation is seen is never freed
//! unseen. A breakpoint is placed in the chosen process alone.

use std::num::NonZeroU32;

use anyhow::{Context, Result};
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope};
use leak_ebpf::{Cookie, Signature};

use super::load::Kernel;
use crate::process::maps::MappedFile;

/// A function to probe, in a file that the process maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The function's name, for messages.
    pub name: String,
    /// How it takes its arguments.
    pub signature: Signature,
    /// Where in the file the breakpoint goes.
    pub file_offset: u64,
    /// Whether the kernel emulates the instruction there, rather than stepping it at ten times the cost.
    pub emulated: bool,
}

/// Probes in a process. They are taken out when this is dropped, in the order of the fields: allocations first.
///
/// The kernel waits out a grace period of some 100 ms for each, one after the other, whatever thread asks.
#[derive(Default)]
pub struct Probes {
    /// On entries of allocating functions.
    entries: Vec<UProbeLink>,
    /// On their returns, and on frees.
    others: Vec<UProbeLink>,
}

/// A place in a dynamic loader that it passes when it has loaded or unloaded libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderSite {
    /// Where in the file the breakpoint goes.
    pub file_offset: u64,
}

impl Probes {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.entries.len() + self.others.len()
    }

    /// Takes over these, too.
    pub fn append(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
        self.others.append(&mut other.others);
    }

    /// Adds a probe that tells when the process in this slot has loaded or unloaded libraries.
    pub fn attach_loader(
        &mut self,
        kernel: &mut Kernel,
        pid: u32,
        process: u16,
        file: &MappedFile,
        site: LoaderSite,
    ) -> Result<()> {
        // It takes no arguments; the signature says no more than that it is no mapping.
        let site = Site {
            name: "_dl_debug_state".to_owned(),
            signature: Signature::Free,
            file_offset: site.file_offset,
            emulated: false,
        };
        self.others.push(attach_one(kernel, "libraries", pid, process, file, &site)?);
        Ok(())
    }

    /// Adds probes on these functions of one file, for the process in this slot.
    pub fn attach(
        &mut self,
        kernel: &mut Kernel,
        pid: u32,
        process: u16,
        file: &MappedFile,
        sites: &[Site],
    ) -> Result<()> {
        let (frees, calls): (Vec<&Site>, Vec<&Site>) = sites.iter().partition(|site| site.signature == Signature::Free);
        for site in frees {
            self.others.push(attach_one(kernel, "release", pid, process, file, site)?);
        }
        for site in &calls {
            self.others.push(attach_one(kernel, "leave", pid, process, file, site)?);
        }
        for site in &calls {
            self.entries.push(attach_one(kernel, "enter", pid, process, file, site)?);
        }
        Ok(())
    }
}

fn attach_one(
    kernel: &mut Kernel,
    program: &str,
    pid: u32,
    process: u16,
    file: &MappedFile,
    site: &Site,
) -> Result<UProbeLink> {
    let scope = UProbeScope::OneProcess(NonZeroU32::new(pid).context("there is no process 0")?);
    let point = UProbeAttachPoint {
        location: UProbeAttachLocation::AbsoluteOffset(site.file_offset),
        cookie: Some(Cookie::new(site.signature, process, !site.emulated).pack()),
    };
    let program = kernel.uprobe(program)?;
    let id = program.attach(point, file.path(), scope).with_context(|| {
        format!("the kernel refused a probe on `{}` at file offset {:#x}", site.name, site.file_offset)
    })?;
    Ok(program.take_link(id)?)
}
