//! Programs of the benchmark's own on the very instructions that leaktrace probes, put there by the same kind of link.

use std::{
    fs,
    num::NonZeroU32,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{Map, StackTraceMap},
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeScope},
    },
};
use leak_user::{
    probe::{
        load::LinkKind,
        multi::{Point, Programs, Run},
        place::place,
    },
    process::{
        allocator::Allocator,
        elf::ElfFile,
        maps::{CodeMapping, MappedFile, code_mappings},
    },
};

/// What stands in for an exact tracer: empty programs, and what each goes on.
pub const FLOOR: [(&str, &str); 3] = [("floor_leave", "malloc"), ("floor_enter", "malloc"), ("floor_enter", "free")];

/// What stands in for a tracer that needs to see calls, but most returns not.
pub const ENTRIES: [(&str, &str); 2] = [("floor_enter", "malloc"), ("floor_enter", "free")];

/// The least that sees an allocation.
pub const EMPTY_ENTRY: [(&str, &str); 1] = [("floor_enter", "malloc")];

/// The kernel's own walk by frame pointers, and nothing else.
pub const KERNEL_WALK: [(&str, &str); 1] = [("kernel_walk", "malloc")];

/// Probes with the programs of an object; gone when dropped.
pub struct Probes {
    /// By what they are attached.
    pub links: LinkKind,
    ebpf: Ebpf,
    _multi: Option<(Programs, Vec<OwnedFd>)>,
}

impl Probes {
    /// Puts programs on functions of a library that the process maps, by links of this kind.
    pub fn attach(object: &Path, pid: u32, library: &str, probes: &[(&str, &str)], links: LinkKind) -> Result<Self> {
        let data = fs::read(object).context("the benchmark's programs are not built; run `cargo xtask bench`")?;
        let file = library_of(pid, library)?.open(pid)?;
        let places = places(&file, probes)?;
        // The maps are of this one either way.
        let mut ebpf = Ebpf::load(&data)?;
        let multi = match links {
            LinkKind::Session | LinkKind::Multi => Some(attach_multi(&data, &ebpf, &file, pid, &places)?),
            LinkKind::Perf => {
                attach_perf(&mut ebpf, &file, pid, &places)?;
                None
            }
        };
        Ok(Self { links, ebpf, _multi: multi })
    }

    /// Frames of the deepest stack that the kernel's walk has seen.
    pub fn most_frames(&self) -> Result<usize> {
        let stacks = StackTraceMap::try_from(self.ebpf.map("STACKS").context("the programs lack a map")?)?;
        let depths = stacks.iter().map(|stack| Ok(stack?.1.frames().len())).collect::<Result<Vec<_>>>()?;
        Ok(depths.into_iter().max().unwrap_or(0))
    }
}

/// The mapping of the library that a process has, its file name beginning so.
pub fn library_of(pid: u32, library: &str) -> Result<CodeMapping> {
    let is_it = |mapping: &CodeMapping| {
        mapping.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(library))
    };
    let found = code_mappings(pid)?.into_iter().find(is_it);
    found.with_context(|| format!("process {pid} maps no {library}, which the benchmark expects its allocator in"))
}

/// Where in the file of a library each program goes.
pub fn places<'a>(file: &MappedFile, probes: &[(&'a str, &str)]) -> Result<Vec<(&'a str, u64)>> {
    let bytes = fs::read(file.path())?;
    let elf = ElfFile::parse(&bytes, "libc")?;
    let allocator = Allocator::of(&elf, "libc", &[""])?.context("the libc defines no malloc")?;
    let offset_of = |function: &str| -> Result<u64> {
        let function = allocator
            .functions
            .iter()
            .find(|candidate| candidate.name == function)
            .with_context(|| format!("the libc defines no {function}"))?;
        Ok(function.offset + place(function.code, function.vaddr, function.signature)?.offset)
    };
    probes.iter().map(|(program, function)| Ok((*program, offset_of(function)?))).collect()
}

fn attach_multi(
    object: &[u8],
    ebpf: &Ebpf,
    file: &MappedFile,
    pid: u32,
    places: &[(&str, u64)],
) -> Result<(Programs, Vec<OwnedFd>)> {
    let names: Vec<(&str, Run)> = places.iter().map(|(program, _)| (*program, Run::Once)).collect();
    let programs = Programs::load(object, map_fds(ebpf), &names)?;
    let links = places
        .iter()
        .map(|(program, offset)| {
            programs.attach(program, &file.path(), pid, &[Point { file_offset: *offset, cookie: 0 }])
        })
        .collect::<Result<_>>()?;
    Ok((programs, links))
}

fn map_fds(ebpf: &Ebpf) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
    ebpf.maps().filter_map(|(name, map)| match map {
        Map::StackTraceMap(map) => Some((name, map.fd().as_fd())),
        _ => None,
    })
}

fn attach_perf(ebpf: &mut Ebpf, file: &MappedFile, pid: u32, places: &[(&str, u64)]) -> Result<()> {
    let scope = UProbeScope::OneProcess(NonZeroU32::new(pid).context("there is no process 0")?);
    for (program, offset) in places {
        let program: &mut UProbe =
            ebpf.program_mut(program).context("the benchmark's programs lack one")?.try_into()?;
        if program.fd().is_err() {
            program.load()?;
        }
        program.attach(UProbeAttachLocation::AbsoluteOffset(*offset), file.path(), scope)?;
    }
    Ok(())
}
