//! Puts the programs on a process's allocator functions.
//!
//! Frees are attached before allocations and detached after them: a block whose allocation is seen is never freed
//! unseen. A breakpoint is placed in the chosen process alone, or in all that map its file, if 0 is chosen.

use std::{num::NonZeroU32, ops::Range, os::fd::OwnedFd, path::PathBuf};

use anyhow::{Context, Result};
use aya::programs::{
    UProbe,
    uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope},
};
use leak_ebpf::{Cookie, Signature};

use super::{
    load::{Kernel, LinkKind},
    multi::{self, Breakpoints, Point},
    privilege,
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
    /// Where in the file the function's code is.
    pub code: Range<u64>,
    /// The function's number, or 0.
    pub function: u16,
}

/// Probes in a process. They are taken out when this is dropped, in the order of the fields: allocations first.
///
/// The kernel waits out a grace period of some 100 ms for each link, one after the other. On kernels without links for
/// many functions there is one for each probe.
#[derive(Default)]
pub struct Probes {
    allocations: Links,
    releases: Links,
    /// On the dynamic loader.
    loader: Links,
    /// What they are on, to put them there again.
    files: Vec<ProbedFile>,
    count: usize,
    breakpoints: Vec<Breakpoints>,
}

/// A file whose functions bear probes.
struct ProbedFile {
    file: MappedFile,
    pid: u32,
    process: u16,
    sites: Vec<Site>,
}

/// Functions of which probes can be taken out for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those that only give memory out.
    Allocations,
    /// Those that give it back, or move it: a block that is watched is seen to go by these alone.
    Releases,
}

impl Part {
    fn has(self, site: &Site) -> bool {
        use Signature::{Free, Mremap, Munmap, Realloc, ReallocProduct, ResizeInPlace};
        let releases = matches!(site.signature, Free | Realloc | ReallocProduct | ResizeInPlace | Munmap | Mremap);
        releases == (self == Self::Releases)
    }
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
    /// How far from there, in bytes and wrapping, the loader says what it is about; 0 if it does not.
    pub state_distance: u64,
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
    pub fn append(&mut self, mut other: Self) {
        self.allocations.append(&mut other.allocations);
        self.releases.append(&mut other.releases);
        self.loader.append(&mut other.loader);
        self.files.append(&mut other.files);
        self.count += other.count;
        self.breakpoints.append(&mut other.breakpoints);
    }

    /// Gives the probes of one part, to be taken out; [`Probes::put_back`] places them anew.
    #[must_use]
    pub fn withdraw(&mut self, part: Part) -> Self {
        let links = std::mem::take(self.links(part));
        let mut withdrawn = Self { count: links.len(), ..Self::default() };
        *withdrawn.links(part) = links;
        withdrawn
    }

    /// Whether any probes of this part are in place.
    pub fn has(&self, part: Part) -> bool {
        match part {
            Part::Allocations => self.allocations.len() > 0,
            Part::Releases => self.releases.len() > 0,
        }
    }

    fn links(&mut self, part: Part) -> &mut Links {
        match part {
            Part::Allocations => &mut self.allocations,
            Part::Releases => &mut self.releases,
        }
    }

    /// Places the probes of one part that was withdrawn.
    pub fn put_back(&mut self, kernel: &mut Kernel, part: Part) -> Result<()> {
        for probed in std::mem::take(&mut self.files) {
            let placed = self.place(kernel, &probed, part);
            self.files.push(probed);
            placed?;
        }
        Ok(())
    }

    /// Adds a probe with this program on a dynamic loader: `libraries` tells when the process in this slot has loaded or
    /// unloaded any, `wait` holds newcomers.
    pub fn attach_loader(
        &mut self,
        kernel: &mut Kernel,
        program: &str,
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
            code: offset..offset,
            function: 0,
        };
        self.loader.attach(kernel, program, &Place { pid, process, path: file.path() }, &[&site])?;
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
        let file = MappedFile { file: file.file.try_clone()? };
        let probed = ProbedFile { file, pid, process, sites: sites.to_vec() };
        for part in [Part::Releases, Part::Allocations] {
            self.place(kernel, &probed, part)?;
        }
        self.count += sites.iter().map(|site| if site.signature == Signature::Free { 1 } else { 2 }).sum::<usize>();
        self.note_breakpoints(kernel, pid, &probed.file, sites.iter().map(|site| site.file_offset).collect())?;
        self.files.push(probed);
        Ok(())
    }

    fn place(&mut self, kernel: &mut Kernel, probed: &ProbedFile, part: Part) -> Result<()> {
        let place = Place { pid: probed.pid, process: probed.process, path: probed.file.path() };
        let sites = probed.sites.iter().filter(|site| part.has(site));
        let (frees, calls): (Vec<&Site>, Vec<&Site>) = sites.partition(|site| site.signature == Signature::Free);
        let links = self.links(part);
        links.attach(kernel, "release", &place, &frees)?;
        if kernel.links() == LinkKind::Session {
            return links.attach(kernel, "session", &place, &calls);
        }
        links.attach(kernel, "leave", &place, &calls)?;
        links.attach(kernel, "enter", &place, &calls)
    }

    fn note_breakpoints(&mut self, kernel: &Kernel, pid: u32, file: &MappedFile, offsets: Vec<u64>) -> Result<()> {
        // Those in every process are wanted in copies, too.
        if kernel.multi().is_some() && pid != 0 {
            self.breakpoints.push(Breakpoints::new(pid, &file.file, offsets)?);
        }
        Ok(())
    }
}

impl Links {
    fn append(&mut self, other: &mut Self) {
        self.multi.append(&mut other.multi);
        self.perf.append(&mut other.perf);
    }

    fn len(&self) -> usize {
        self.multi.len() + self.perf.len()
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
    let scope = NonZeroU32::new(place.pid).map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
    let point = UProbeAttachPoint {
        location: UProbeAttachLocation::AbsoluteOffset(site.file_offset),
        cookie: Some(site.cookie(place.process)),
    };
    let id = program.attach(point, &place.path, scope).with_context(|| site.refused())?;
    Ok(program.take_link(id)?)
}

impl Site {
    fn cookie(&self, process: u16) -> u64 {
        Cookie::new(self.signature, process, !self.emulated, self.function).pack()
    }

    fn refused(&self) -> String {
        let why = privilege::restriction();
        format!("the kernel refused a probe on `{}` at file offset {:#x}{why}", self.name, self.file_offset)
    }
}
