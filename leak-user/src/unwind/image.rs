//! Where in an object file its unwind information lies, and which addresses are code.
//!
//! Sections are believed where there are any; where they are stripped, the program header that the C++ runtime goes by
//! leads to `.eh_frame` as well. Work is linear in the number of headers, and only a compressed `.debug_frame` is
//! allocated for, up to a bound.

use std::borrow::Cow;

use anyhow::{Context as _, Result, ensure};
use gimli::constants::{self, DwEhPe};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{
    CompressionHeader as _, FileHeader as _, ProgramHeader as _, SectionHeader as _, SectionTable,
};
use object::read::{CompressedData, CompressionFormat};

/// Most bytes of a section that are looked at. The largest programs that are known come to a third of it.
pub const MAX_SECTION: usize = 256 << 20;

/// Pages, to which the loader rounds addresses down.
const PAGE: u64 = 4096;

/// What an object file has for unwinding.
pub struct Image<'data> {
    /// The lowest address that is loaded, as linked, rounded down to a page; rows are counted from here.
    pub base: u64,
    /// The code, as stretches of addresses relative to the base, in order and apart from each other.
    pub code: Vec<(u32, u32)>,
    /// `.eh_frame`.
    pub eh_frame: Option<Section<'data>>,
    /// `.debug_frame`.
    pub debug_frame: Option<Section<'data>>,
    /// Where `.text` begins, as linked, which an entry may count from.
    pub text: Option<u64>,
    /// Where `.got` begins, likewise.
    pub got: Option<u64>,
}

/// A section with unwind information.
pub struct Section<'data> {
    /// Its bytes.
    pub bytes: Cow<'data, [u8]>,
    /// Where it is loaded, as linked: `.eh_frame` always is, `.debug_frame` never.
    pub vaddr: Option<u64>,
    /// Whether its end is known, so that what follows an end mark belongs to it as well.
    pub is_sized: bool,
}

impl<'data> Image<'data> {
    /// Reads the headers.
    pub fn parse(data: &'data [u8]) -> Result<Self> {
        let header = FileHeader64::<LE>::parse(data)
            .ok()
            .filter(|header| header.is_little_endian() && header.e_machine(LE) == elf::EM_X86_64)
            .context("not a 64-bit x86-64 ELF file")?;
        let segments = header.program_headers(LE, data).ok().context("broken program headers")?;
        let loaded = || segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD);
        let lowest = loaded().map(|segment| segment.p_vaddr(LE)).min().context("nothing in it is loaded")?;
        let base = lowest & !(PAGE - 1);
        let code = loaded()
            .filter(|segment| segment.p_flags(LE).contains(elf::PF_X))
            .filter_map(|segment| {
                let start = u32::try_from(segment.p_vaddr(LE) - base).ok()?;
                let end = u64::from(start).saturating_add(segment.p_memsz(LE)).min(u32::MAX.into()) as u32;
                (start < end).then_some((start, end))
            })
            .collect();
        let mut image = Self { base, code: apart(code), eh_frame: None, debug_frame: None, text: None, got: None };
        if let Ok(sections) = header.sections(LE, data) {
            image.read_sections(&sections, data);
        }
        image.eh_frame = image.eh_frame.or_else(|| by_segment(segments, data));
        for section in [&image.eh_frame, &image.debug_frame].into_iter().flatten() {
            ensure!(section.bytes.len() <= MAX_SECTION, "its unwind information is too large to be that of a program");
        }
        Ok(image)
    }

    fn read_sections(&mut self, sections: &SectionTable<'data, FileHeader64<LE>>, data: &'data [u8]) {
        for section in sections.iter() {
            let vaddr = section.sh_addr(LE);
            let is_loaded = section.sh_flags(LE).contains(elf::SHF_ALLOC);
            match sections.section_name(LE, section) {
                Ok(b".eh_frame") if is_loaded && self.eh_frame.is_none() => {
                    self.eh_frame = section
                        .data(LE, data)
                        .ok()
                        .filter(|bytes| !bytes.is_empty())
                        .map(|bytes| Section { bytes: bytes.into(), vaddr: Some(vaddr), is_sized: true });
                }
                Ok(b".debug_frame") if self.debug_frame.is_none() => {
                    self.debug_frame =
                        uncompressed(section, data).map(|bytes| Section { bytes, vaddr: None, is_sized: true });
                }
                Ok(b".text") if is_loaded => self.text = Some(vaddr),
                Ok(b".got") if is_loaded => self.got = Some(vaddr),
                _ => {}
            }
        }
    }
}

/// The stretches sorted and, where they touch or overlap, joined.
fn apart(mut stretches: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    stretches.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::with_capacity(stretches.len());
    for (start, end) in stretches {
        match joined.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// A section's bytes, unpacked where they are packed and honestly so.
fn uncompressed<'data>(section: &SectionHeader64<LE>, data: &'data [u8]) -> Option<Cow<'data, [u8]>> {
    let Some((header, offset, size)) = section.compression(LE, data).ok()? else {
        return section.data(LE, data).ok().map(Cow::Borrowed);
    };
    let format = match header.ch_type(LE) {
        elf::ELFCOMPRESS_ZLIB => CompressionFormat::Zlib,
        elf::ELFCOMPRESS_ZSTD => CompressionFormat::Zstandard,
        _ => return None,
    };
    let uncompressed_size = header.ch_size(LE);
    if uncompressed_size > MAX_SECTION as u64 {
        return None;
    }
    let data = data.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(size).ok()?)?;
    CompressedData { format, data, uncompressed_size }.decompress().ok()
}

/// `.eh_frame` where the program header for the C++ runtime says that it is, up to the end of its segment.
fn by_segment<'data>(segments: &[ProgramHeader64<LE>], data: &'data [u8]) -> Option<Section<'data>> {
    let header = segments.iter().find(|segment| segment.p_type(LE) == elf::PT_GNU_EH_FRAME)?;
    let vaddr = frame_pointer(header.data(LE, data).ok()?, header.p_vaddr(LE))?;
    segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD).find_map(|segment| {
        let skipped = vaddr.checked_sub(segment.p_vaddr(LE))?;
        let bytes = segment.data(LE, data).ok()?.get(usize::try_from(skipped).ok()?..)?;
        let bytes = bytes.get(..bytes.len().min(MAX_SECTION))?;
        (!bytes.is_empty()).then_some(Section { bytes: bytes.into(), vaddr: Some(vaddr), is_sized: false })
    })
}

/// The address of `.eh_frame` in an `.eh_frame_hdr`: the first thing behind its four bytes of version and encodings.
fn frame_pointer(header: &[u8], vaddr: u64) -> Option<u64> {
    let encoding = DwEhPe(*header.get(1).filter(|_| header.first() == Some(&1))?);
    let bytes = header.get(4..)?;
    let value = match encoding.format() {
        constants::DW_EH_PE_absptr | constants::DW_EH_PE_udata8 | constants::DW_EH_PE_sdata8 => {
            u64::from_le_bytes(*bytes.first_chunk()?)
        }
        constants::DW_EH_PE_udata4 => u32::from_le_bytes(*bytes.first_chunk()?).into(),
        constants::DW_EH_PE_sdata4 => i64::from(i32::from_le_bytes(*bytes.first_chunk()?)) as u64,
        _ => return None,
    };
    match encoding.application() {
        constants::DW_EH_PE_absptr => Some(value),
        constants::DW_EH_PE_pcrel => Some(vaddr.wrapping_add(4).wrapping_add(value)),
        constants::DW_EH_PE_datarel => Some(vaddr.wrapping_add(value)),
        _ => None,
    }
}
