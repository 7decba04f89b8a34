//! The floor: empty programs on the very instructions that leaktrace probes.

use std::{fs, num::NonZeroU32, path::Path};

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    programs::{
        UProbe,
        uprobe::{UProbeAttachLocation, UProbeScope},
    },
};
use leak_ebpf::Signature;
use leak_user::{
    probe::place::place,
    process::{allocator::Allocator, elf::ElfFile, maps::code_mappings},
};

/// The probes; gone when dropped.
pub struct Floor {
    _ebpf: Ebpf,
}

impl Floor {
    /// Puts them on malloc, its return and free of the libc that the process maps.
    pub fn attach(object: &Path, pid: u32) -> Result<Self> {
        let data = fs::read(object).context("the floor programs are not built; run `cargo xtask bench`")?;
        let mut ebpf = Ebpf::load(&data)?;
        let mapping = code_mappings(pid)?
            .into_iter()
            .find(|mapping| mapping.path.to_string_lossy().contains("libc"))
            .context("the loop program maps no libc")?;
        let file = mapping.open(pid)?;
        let bytes = fs::read(file.path())?;
        let elf = ElfFile::parse(&bytes, "libc")?;
        let allocator = Allocator::of(&elf, "libc", &[""])?.context("the libc defines no malloc")?;
        for (program, function) in [("floor_leave", "malloc"), ("floor_enter", "malloc"), ("floor_enter", "free")] {
            let function = allocator
                .functions
                .iter()
                .find(|candidate| candidate.name == function)
                .with_context(|| format!("the libc defines no {function}"))?;
            let signature = Signature::from_u8(function.signature as u8).context("no such signature")?;
            let placement = place(function.code, function.vaddr, signature)?;
            let program: &mut UProbe = ebpf.program_mut(program).context("the floor lacks a program")?.try_into()?;
            if program.fd().is_err() {
                program.load()?;
            }
            let scope = UProbeScope::OneProcess(NonZeroU32::new(pid).context("there is no process 0")?);
            let location = UProbeAttachLocation::AbsoluteOffset(function.offset + placement.offset);
            program.attach(location, file.path(), scope)?;
        }
        Ok(Self { _ebpf: ebpf })
    }
}
