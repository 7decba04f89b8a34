//! Those that are compared, and putting each of them on a process.

use std::path::Path;

use anyhow::Result;
use leak_user::probe::load::LinkKind;

use crate::{
    peers,
    probes::{ENTRIES, FLOOR, Probes},
    setup::Setup,
    tracer::{Leaktrace, Mode},
};

/// One of those compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// Nobody looks on.
    Untraced,
    /// Floor A: empty programs on malloc's entry and return, and on free's entry.
    FloorA,
    /// Floor B: empty programs on malloc's entry and free's entry.
    FloorB,
    /// leaktrace, in one of its modes.
    Leaktrace(Mode),
    /// A bpftrace script.
    Bpftrace,
    /// bcc's memleak.
    Memleak,
    /// heaptrack, injected.
    Heaptrack,
}

/// What came of putting a contender on a process.
pub enum Attachment {
    /// It traces until this is dropped.
    Tracing(Box<dyn Tracing>),
    /// It does not run here; the sentence says why.
    Absent(String),
}

/// A tracer at work; gone when dropped.
pub trait Tracing {
    /// Ends it in good order; gives what there is to say about its work.
    fn finish(self: Box<Self>) -> Result<Option<String>> {
        Ok(None)
    }
}

/// A process to be traced.
pub struct Site<'a> {
    /// Its process id.
    pub pid: u32,
    /// File name of the library with its allocator, as it begins.
    pub allocator: &'a str,
    /// The file that it maps as that library.
    pub file: &'a Path,
}

impl Contender {
    /// All, in the order of the tables.
    pub const ALL: [Self; 9] = [
        Self::Untraced,
        Self::FloorA,
        Self::FloorB,
        Self::Leaktrace(Mode::Exact),
        Self::Leaktrace(Mode::Sampled),
        Self::Leaktrace(Mode::Budgeted),
        Self::Heaptrack,
        Self::Bpftrace,
        Self::Memleak,
    ];

    /// As a table's row has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Untraced => "no tracer",
            Self::FloorA => "floor A: empty probes on malloc, its return, and free",
            Self::FloorB => "floor B: empty probes on malloc and free",
            Self::Leaktrace(Mode::Exact) => "leaktrace, every allocation (`-s exact --budget off`)",
            Self::Leaktrace(Mode::Sampled) => "leaktrace, sampled (`-s 512K --budget off`)",
            Self::Leaktrace(Mode::Budgeted) => "leaktrace, as it comes (within its budget)",
            Self::Heaptrack => "heaptrack, attached",
            Self::Bpftrace => "bpftrace, bytes held by stack",
            Self::Memleak => "bcc's memleak",
        }
    }

    /// As a column has it, or a sentence.
    pub fn short(self) -> &'static str {
        match self {
            Self::Untraced => "no tracer",
            Self::FloorA => "floor A",
            Self::FloorB => "floor B",
            Self::Leaktrace(Mode::Exact) => "leaktrace exact",
            Self::Leaktrace(Mode::Sampled) => "leaktrace sampled",
            Self::Leaktrace(Mode::Budgeted) => "leaktrace budgeted",
            Self::Heaptrack => "heaptrack",
            Self::Bpftrace => "bpftrace",
            Self::Memleak => "bcc memleak",
        }
    }

    /// Whether the run goes on without it where it fails.
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Heaptrack | Self::Bpftrace | Self::Memleak)
    }

    /// Puts it on a process, and waits until it traces.
    pub fn attach(self, setup: &Setup, site: &Site<'_>) -> Result<Attachment> {
        let attached: Box<dyn Tracing> = match self {
            Self::Untraced => Box::new(Nobody),
            Self::FloorA => floor(setup, site, &FLOOR)?,
            Self::FloorB => floor(setup, site, &ENTRIES)?,
            Self::Leaktrace(mode) => Box::new(Leaktrace::attach(&setup.binary, mode.arguments(), site.pid)?),
            Self::Heaptrack => return Ok(or_absent(peers::heaptrack(site))),
            Self::Bpftrace => return Ok(or_absent(peers::bpftrace(site))),
            Self::Memleak => return Ok(or_absent(peers::memleak(site))),
        };
        Ok(Attachment::Tracing(attached))
    }
}

/// An untraced process's tracer.
struct Nobody;

impl Tracing for Nobody {}

impl Tracing for Probes {
    fn finish(self: Box<Self>) -> Result<Option<String>> {
        Ok(Some(format!("its probes are attached by {}", self.links.name())))
    }
}

fn floor(setup: &Setup, site: &Site<'_>, probes: &[(&str, &str)]) -> Result<Box<dyn Tracing>> {
    Ok(Box::new(Probes::attach(&setup.floor_object, site.pid, site.allocator, probes, LinkKind::detect())?))
}

fn or_absent(peer: Result<peers::Peer>) -> Attachment {
    match peer {
        Ok(peer) => Attachment::Tracing(Box::new(peer)),
        Err(error) => Attachment::Absent(format!("{error:#}")),
    }
}
