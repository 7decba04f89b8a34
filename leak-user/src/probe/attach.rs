//! Puts the programs on a process's allocator functions.
//!
//! Frees are attached before allocations and detached after them: a block whose allocation is seen is never freed
//! unseen. A breakpoint is placed in the chosen process alone.

use std::{num::NonZeroU32, os::fd::OwnedFd, path::PathBuf};

use anyhow::{Context, Result};
use aya::programs::{
    UProbe,
    uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope},
};
use leak_ebpf::{Cookie, Signature};

use super::{
    load::Kernel,
    multi::{self, Breakpoints, Point},
};
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
/// The kernel waits out a grace period of some 100 ms for each link, one after the other. On kernels without links for
/// many functions there is one for each probe.
#[derive(Default)]
pub struct Probes {
    /// On entries of allocating functions.
    entries: Links,
    /// On their returns, and on frees.
    others: Links,
    count: usize,
    breakpoints: Vec<Breakpoints>,
}

/// What holds probes in place, of either kind; dropped, it lets them go.
#[derive(Default)]
struct Links {
    multi: Vec<OwnedFd>,
    perf: Vec<UProbeLink>,
}

/// A place in a dynamic loader that it passes when it has loaded or unloaded libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderSite {
    /// Where in the file the breakpoint goes.
    pub file_offset: u64,
}

/// The process and the file that probes go into.
struct Place {
    pid: u32,
    process: u16,
    path: PathBuf,
}

impl Probes {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Where links on many functions have put breakpoints.
    pub fn breakpoints(&self) -> &[Breakpoints] {
        &self.breakpoints
    }

    /// Takes over these, too.
    pub fn append(&mut self, other: Self) {
        self.entries.append(other.entries);
        self.others.append(other.others);
        self.count += other.count;
        self.breakpoints.extend(other.breakpoints);
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
        let offset = site.file_offset;
        let site = Site {
            name: "_dl_debug_state".to_owned(),
            signature: Signature::Free,
            file_offset: offset,
            emulated: false,
        };
        self.others.attach(kernel, "libraries", &Place { pid, process, path: file.path() }, &[&site])?;
        self.count += 1;
        self.note_breakpoints(kernel, pid, file, vec![offset])
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
        let place = Place { pid, process, path: file.path() };
        let (frees, calls): (Vec<&Site>, Vec<&Site>) = sites.iter().partition(|site| site.signature == Signature::Free);
        self.others.attach(kernel, "release", &place, &frees)?;
        self.others.attach(kernel, "leave", &place, &calls)?;
        self.entries.attach(kernel, "enter", &place, &calls)?;
        self.count += frees.len() + 2 * calls.len();
        self.note_breakpoints(kernel, pid, file, sites.iter().map(|site| site.file_offset).collect())
    }

    fn note_breakpoints(&mut self, kernel: &Kernel, pid: u32, file: &MappedFile, offsets: Vec<u64>) -> Result<()> {
        if kernel.multi().is_some() {
            self.breakpoints.push(Breakpoints::new(pid, &file.file, offsets)?);
        }
        Ok(())
    }
}

impl Links {
    fn append(&mut self, mut other: Self) {
        self.multi.append(&mut other.multi);
        self.perf.append(&mut other.perf);
    }

    /// Adds probes with this program on all these functions, or on none.
    fn attach(&mut self, kernel: &mut Kernel, program: &str, place: &Place, sites: &[&Site]) -> Result<()> {
        if sites.is_empty() {
            return Ok(());
        }
        if let Some(programs) = kernel.multi() {
            self.multi.push(attach_together(programs, program, place, sites)?);
            return Ok(());
        }
        let program = kernel.uprobe(program)?;
        let links: Result<Vec<UProbeLink>> = sites.iter().map(|site| attach_one(program, place, site)).collect();
        self.perf.append(&mut links?);
        Ok(())
    }
}

fn attach_together(programs: &multi::Programs, program: &str, place: &Place, sites: &[&Site]) -> Result<OwnedFd> {
    let points: Vec<Point> =
        sites.iter().map(|site| Point { file_offset: site.file_offset, cookie: site.cookie(place.process) }).collect();
    let attach = |points: &[Point]| programs.attach(program, &place.path, place.pid, points);
    attach(&points).map_err(|error| {
        // The kernel does not say which it refused: alone, that one is refused again.
        for (site, point) in sites.iter().zip(&points) {
            if let Err(error) = attach(std::slice::from_ref(point)) {
                return error.context(site.refused());
            }
        }
        let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
        error.context(format!("the kernel refused probes on all of these at once: {}", names.join(", ")))
    })
}

fn attach_one(program: &mut UProbe, place: &Place, site: &Site) -> Result<UProbeLink> {
    let scope = UProbeScope::OneProcess(NonZeroU32::new(place.pid).context("there is no process 0")?);
    let point = UProbeAttachPoint {
        location: UProbeAttachLocation::AbsoluteOffset(site.file_offset),
        cookie: Some(site.cookie(place.process)),
    };
    let id = program.attach(point, &place.path, scope).with_context(|| site.refused())?;
    Ok(program.take_link(id)?)
}

impl Site {
    fn cookie(&self, process: u16) -> u64 {
        Cookie::new(self.signature, process, !self.emulated).pack()
    }

    fn refused(&self) -> String {
        format!("the kernel refused a probe on `{}` at file offset {:#x}", self.name, self.file_offset)
    }
}
