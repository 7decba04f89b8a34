//! The sections of an ELF file that name things, each read by itself.
//!
//! The file is its owner's, who may be hostile: it is read, never mapped, for a mapped file that is cut short kills who
//! looks at it; and whatever it says of sizes is held against what the caller allows.

use std::{fs::File, os::unix::fs::FileExt as _};

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, SectionHeader64};
use object::pod;
use object::read::elf::{CompressionHeader as _, FileHeader as _, SectionHeader as _};
use object::read::{CompressedData, CompressionFormat};

/// Most bytes of the table of section names.
const MAX_NAMES: u64 = 1 << 20;

/// Most bytes of a section with notes.
const MAX_NOTES: u64 = 1 << 16;

/// Most bytes of a debug link: a file name and what makes it up to four, and the sum.
const MAX_LINK: u64 = 4096;

/// An ELF file whose section headers were read.
pub struct Object<'file> {
    file: &'file File,
    /// `e_type`: a program or a library.
    pub kind: u16,
    sections: Vec<Section>,
}

/// A section.
pub struct Section {
    /// Its name.
    pub name: Vec<u8>,
    /// Its header.
    pub header: SectionHeader64<LE>,
}

/// Where split debug information is, as `.gnu_debuglink` has it.
pub struct DebugLink {
    /// The file's name, without any directory.
    pub name: String,
    /// CRC-32 of its bytes.
    pub crc: u32,
}

impl<'file> Object<'file> {
    /// Reads the headers of a 64-bit x86-64 program or library; nothing of any other file.
    pub fn read(file: &'file File) -> Option<Self> {
        let start = bytes_at(file, 0, size_of::<FileHeader64<LE>>() as u64)?;
        let (header, _) = pod::from_bytes::<FileHeader64<LE>>(&start).ok()?;
        let is_ours = start.starts_with(&elf::ELFMAG)
            && header.is_supported()
            && header.is_little_endian()
            && header.e_machine(LE) == elf::EM_X86_64
            && matches!(header.e_type(LE), elf::ET_EXEC | elf::ET_DYN);
        let width = size_of::<SectionHeader64<LE>>();
        if !is_ours || usize::from(header.e_shentsize(LE)) != width {
            return None;
        }
        let count = usize::from(header.e_shnum(LE));
        let table = bytes_at(file, header.e_shoff(LE), (count * width) as u64)?;
        let (headers, _) = pod::slice_from_bytes::<SectionHeader64<LE>>(&table, count).ok()?;
        let names = headers.get(usize::from(header.e_shstrndx(LE).0))?;
        let names = bytes_at(file, names.sh_offset(LE), names.sh_size(LE).min(MAX_NAMES))?;
        let name_of = |header: &SectionHeader64<LE>| {
            let rest = names.get(header.sh_name(LE) as usize..).unwrap_or_default();
            rest.split(|byte| *byte == 0).next().unwrap_or_default().iter().take(64).copied().collect()
        };
        let sections = headers.iter().map(|header| Section { name: name_of(header), header: *header }).collect();
        Some(Self { file, kind: header.e_type(LE).0, sections })
    }

    /// The section of this name that has bytes in the file.
    pub fn section(&self, name: &[u8]) -> Option<&Section> {
        let has_bytes = |header: &SectionHeader64<LE>| header.sh_type(LE) != elf::SHT_NOBITS && header.sh_size(LE) > 0;
        self.sections.iter().find(|section| section.name == name && has_bytes(&section.header))
    }

    /// The section that this one refers to.
    pub fn linked(&self, section: &Section) -> Option<&Section> {
        self.sections.get(section.header.sh_link(LE) as usize)
    }

    /// A section's bytes, unpacked if they are packed. Nothing when they would be more than `limit`.
    pub fn bytes(&self, section: &Section, limit: u64) -> Option<Vec<u8>> {
        let header = &section.header;
        let size = header.sh_size(LE);
        let bytes = bytes_at(self.file, header.sh_offset(LE), Some(size).filter(|size| *size <= limit)?)?;
        if header.sh_flags(LE).contains(elf::SHF_COMPRESSED) { unpacked(&bytes, limit) } else { Some(bytes) }
    }

    /// The build ID.
    pub fn build_id(&self) -> Option<Vec<u8>> {
        let mut notes = self.sections.iter().filter(|section| section.header.sh_type(LE) == elf::SHT_NOTE);
        notes.find_map(|section| build_id_in(&self.bytes(section, MAX_NOTES)?))
    }

    /// The link to split debug information. Its name is that of a file alone, or it is none.
    pub fn debug_link(&self) -> Option<DebugLink> {
        let bytes = self.bytes(self.section(b".gnu_debuglink")?, MAX_LINK)?;
        let length = bytes.iter().position(|byte| *byte == 0)?;
        let crc = bytes.get((length + 1).next_multiple_of(4)..)?.first_chunk()?;
        let name = std::str::from_utf8(bytes.get(..length)?).ok()?;
        let is_plain = !matches!(name, "" | "." | "..") && !name.contains('/');
        is_plain.then(|| DebugLink { name: name.to_owned(), crc: u32::from_le_bytes(*crc) })
    }
}

/// So many bytes of the file, if it has them. Memory is taken only for what the file is long enough for.
fn bytes_at(file: &File, offset: u64, length: u64) -> Option<Vec<u8>> {
    let left = file.metadata().ok()?.len().checked_sub(offset)?;
    let mut bytes = vec![0; usize::try_from(length).ok().filter(|_| length <= left)?];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn unpacked(bytes: &[u8], limit: u64) -> Option<Vec<u8>> {
    let (header, data) = pod::from_bytes::<elf::CompressionHeader64<LE>>(bytes).ok()?;
    let format = match header.ch_type(LE) {
        elf::ELFCOMPRESS_ZLIB => CompressionFormat::Zlib,
        elf::ELFCOMPRESS_ZSTD => CompressionFormat::Zstandard,
        _ => return None,
    };
    let uncompressed_size = Some(header.ch_size(LE)).filter(|size| *size <= limit)?;
    // It takes no more than the size that was just agreed to.
    CompressedData { format, data, uncompressed_size }.decompress().ok().map(std::borrow::Cow::into_owned)
}

/// The build ID in a section of notes, each a header of three numbers, a name and a description.
fn build_id_in(mut notes: &[u8]) -> Option<Vec<u8>> {
    while let Some((header, rest)) = notes.split_first_chunk::<12>() {
        let number = |at: usize| header.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        let (name_length, length, kind) = (number(0)? as usize, number(4)? as usize, number(8)?);
        let name = rest.get(..name_length)?;
        let description = rest.get(name_length.next_multiple_of(4)..)?.get(..length)?;
        if name == b"GNU\0" && kind == elf::NT_GNU_BUILD_ID.0 {
            return (1..=64).contains(&length).then(|| description.to_vec());
        }
        notes = rest.get(name_length.next_multiple_of(4) + length.next_multiple_of(4)..)?;
    }
    None
}
