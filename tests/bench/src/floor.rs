//! The floor: empty programs on the very instructions that leaktrace probes, put there by the same kind of link.

use std::{fs, iter, num::NonZeroU32, os::fd::OwnedFd, path::Path};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeScope},
    },
};
use leak_user::{
    probe::{
        load::LinkKind,
        multi::{Point, Programs},
        place::place,
    },
    process::{
        allocator::Allocator,
        elf::ElfFile,
        maps::{MappedFile, code_mappings},
    },
};

/// The programs, and what each goes on.
const PROBES: [(&str, &str); 3] = [("floor_leave", "malloc"), ("floor_enter", "malloc"), ("floor_enter", "free")];

/// The probes; gone when dropped.
pub struct Floor {
    /// By what they are attached.
    pub links: LinkKind,
    _held: Held,
}

#[expect(dead_code, reason = "held for its drop, which takes the probes out")]
enum Held {
    Multi(Programs, Vec<OwnedFd>),
    Perf(Ebpf),
}

impl Floor {
    /// Puts them on malloc, its return and free of the libc that the process maps.
    pub fn attach(object: &Path, pid: u32) -> Result<Self> {
        let data = fs::read(object).context("the floor programs are not built; run `cargo xtask bench`")?;
        let mapping = code_mappings(pid)?
            .into_iter()
            .find(|mapping| mapping.path.to_string_lossy().contains("libc"))
            .context("the loop program maps no libc")?;
        let file = mapping.open(pid)?;
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
        let places = PROBES.map(|(program, function)| Ok((program, offset_of(function)?)));
        let places = places.into_iter().collect::<Result<Vec<_>>>()?;
        let links = LinkKind::detect();
        let held = match links {
            LinkKind::Multi => attach_multi(&data, &file, pid, &places)?,
            LinkKind::Perf => attach_perf(&data, &file, pid, &places)?,
        };
        Ok(Self { links, _held: held })
    }
}

fn attach_multi(object: &[u8], file: &MappedFile, pid: u32, places: &[(&str, u64)]) -> Result<Held> {
    let programs = Programs::load(object, iter::empty(), &["floor_enter", "floor_leave"])?;
    let links = places
        .iter()
        .map(|(program, offset)| {
            programs.attach(program, &file.path(), pid, &[Point { file_offset: *offset, cookie: 0 }])
        })
        .collect::<Result<_>>()?;
    Ok(Held::Multi(programs, links))
}

fn attach_perf(object: &[u8], file: &MappedFile, pid: u32, places: &[(&str, u64)]) -> Result<Held> {
    let mut ebpf = Ebpf::load(object)?;
    let scope = UProbeScope::OneProcess(NonZeroU32::new(pid).context("there is no process 0")?);
    for (program, offset) in places {
        let program: &mut UProbe = ebpf.program_mut(program).context("the floor lacks a program")?.try_into()?;
        if program.fd().is_err() {
            program.load()?;
        }
        program.attach(UProbeAttachLocation::AbsoluteOffset(*offset), file.path(), scope)?;
    }
    Ok(Held::Perf(ebpf))
}
