//! One ELF file in memory with all that is known of a module's names, put together from where it is.
//!
//! blazesym reads nothing else. The module's own file is in the hands of who owns it: blazesym would map it, follow
//! the links in it wherever they lead, and unpack whatever sizes it claims. So its sections are read and unpacked here,
//! within bounds, the missing ones taken from split debug information or from `.gnu_debugdata`, and the rest left out.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
};

use lzma_rust2::XzReader;
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::SectionHeader as _;

use super::object::Object;
use crate::process::sealed;

/// Most bytes that `.gnu_debugdata` may unpack to.
const MAX_UNPACKED: u64 = 64 << 20;

/// Most memory in KiB that unpacking it may take.
const MAX_UNPACKING: u32 = 64 << 10;

/// What DWARF says of functions, inlining and lines. Variables, types' names and macros are of no use here.
const DWARF: [&[u8]; 11] = [
    b".debug_info",
    b".debug_abbrev",
    b".debug_addr",
    b".debug_aranges",
    b".debug_line",
    b".debug_line_str",
    b".debug_ranges",
    b".debug_rnglists",
    b".debug_str",
    b".debug_str_offsets",
    b".debug_types",
];

/// Whether an object lacks what split debug information could add.
pub fn is_lean(object: &Object<'_>) -> bool {
    object.section(b".debug_info").is_none()
}

/// Puts the file together. What it takes in memory is taken off `budget`, in bytes; what does not fit is left out.
pub fn assemble(object: &Object<'_>, debug: Option<&Object<'_>>, budget: &mut u64) -> io::Result<File> {
    let mut image = Image::begin(budget)?;
    let symbols = |object: &&Object<'_>| object.section(b".symtab").is_some();
    if let Some(object) = [Some(object), debug].into_iter().flatten().find(symbols) {
        image.add_symbols(object, b".symtab")?;
    } else if let Some(unpacked) = debug_data(object)
        && let Some(object) = Object::read(&unpacked)
    {
        image.add_symbols(&object, b".symtab")?;
    }
    image.add_symbols(object, b".dynsym")?;
    if let Some(object) = [Some(object), debug].into_iter().flatten().find(|object| !is_lean(object)) {
        image.add_dwarf(object)?;
    }
    image.finish(object.kind)
}

/// What `.gnu_debugdata` unpacks to: an ELF file with the symbols that the linker had and `strip` took.
fn debug_data(object: &Object<'_>) -> Option<File> {
    let packed = object.bytes(object.section(b".gnu_debugdata")?, MAX_UNPACKED)?;
    let mut unpacked = sealed::new().ok()?;
    let mut reader = XzReader::new_mem_limit(&*packed, false, MAX_UNPACKING).take(MAX_UNPACKED + 1);
    let length = io::copy(&mut reader, &mut unpacked).ok()?;
    (length <= MAX_UNPACKED).then_some(unpacked)
}

/// A file that grows by sections.
struct Image<'budget> {
    budget: &'budget mut u64,
    file: File,
    at: u64,
    headers: Vec<u8>,
    names: Vec<u8>,
}

/// Bytes of the file's header and of that of a section.
const HEADER: u16 = 64;

/// Every section begins at a multiple of this.
const ALIGNMENT: u64 = 16;

impl<'budget> Image<'budget> {
    fn begin(budget: &'budget mut u64) -> io::Result<Self> {
        let mut file = sealed::new()?;
        file.write_all(&[0; HEADER as usize])?;
        // The first section is none, by definition.
        Ok(Self { budget, file, at: HEADER.into(), headers: vec![0; HEADER.into()], names: vec![0] })
    }

    /// Adds a table of symbols and the names in it, if the object has both.
    fn add_symbols(&mut self, object: &Object<'_>, name: &[u8]) -> io::Result<()> {
        let Some(section) = object.section(name) else { return Ok(()) };
        let Some(symbols) = object.bytes(section, *self.budget) else { return Ok(()) };
        let left = *self.budget - symbols.len() as u64;
        let strings = object.linked(section).and_then(|strings| object.bytes(strings, left));
        let Some(strings) = strings else { return Ok(()) };
        *self.budget = left - strings.len() as u64;
        let (kind, strings_name): (_, &[u8]) =
            if name == b".dynsym" { (elf::SHT_DYNSYM, b".dynstr") } else { (elf::SHT_SYMTAB, b".strtab") };
        let next = (self.headers.len() / usize::from(HEADER) + 1) as u32;
        self.add(name, kind.0, &symbols, next, section.header.sh_entsize(LE))?;
        self.add(strings_name, elf::SHT_STRTAB.0, &strings, 0, 0)
    }

    /// Adds the sections of DWARF, all that are there or none: a part of them would tell nonsense.
    fn add_dwarf(&mut self, object: &Object<'_>) -> io::Result<()> {
        let (at, headers, names, budget) = (self.at, self.headers.len(), self.names.len(), *self.budget);
        for (name, section) in DWARF.into_iter().filter_map(|name| Some((name, object.section(name)?))) {
            if let Some(bytes) = object.bytes(section, *self.budget) {
                *self.budget -= bytes.len() as u64;
                self.add(name, elf::SHT_PROGBITS.0, &bytes, 0, 0)?;
            } else {
                self.headers.truncate(headers);
                self.names.truncate(names);
                (self.at, *self.budget) = (at, budget);
                self.file.set_len(at)?;
                self.file.seek(SeekFrom::Start(at))?;
                break;
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &[u8], kind: u32, bytes: &[u8], link: u32, entry: u64) -> io::Result<()> {
        self.pad()?;
        let name_at = self.names.len() as u32;
        self.names.extend_from_slice(name);
        self.names.push(0);
        let (flags, address, info) = (0_u64, 0_u64, 0_u32);
        self.headers.extend([name_at, kind].iter().flat_map(|field| field.to_le_bytes()));
        self.headers.extend([flags, address, self.at, bytes.len() as u64].iter().flat_map(|field| field.to_le_bytes()));
        self.headers.extend([link, info].iter().flat_map(|field| field.to_le_bytes()));
        self.headers.extend([ALIGNMENT, entry].iter().flat_map(|field| field.to_le_bytes()));
        self.write(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        let gap = self.at.next_multiple_of(ALIGNMENT) - self.at;
        self.write([0; ALIGNMENT as usize].get(..gap as usize).unwrap_or_default())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Writes the headers, and lets nobody change the file any more.
    fn finish(mut self, kind: u16) -> io::Result<File> {
        let names = [&*self.names, b".shstrtab"].concat();
        self.add(b".shstrtab", elf::SHT_STRTAB.0, &[&*names, &[0]].concat(), 0, 0)?;
        self.pad()?;
        let (headers_at, count) = (self.at, (self.headers.len() / usize::from(HEADER)) as u16);
        let headers = std::mem::take(&mut self.headers);
        self.write(&headers)?;

        let (entry, segments_at, flags, segment_size, segments) = (0_u64, 0_u64, 0_u32, 56_u16, 0_u16);
        let mut start = Vec::with_capacity(HEADER.into());
        start.extend(elf::ELFMAG);
        start.extend([elf::ELFCLASS64.0, elf::ELFDATA2LSB.0, elf::EV_CURRENT.0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        start.extend([kind, elf::EM_X86_64.0].iter().flat_map(|field| field.to_le_bytes()));
        start.extend(u32::from(elf::EV_CURRENT.0).to_le_bytes());
        start.extend([entry, segments_at, headers_at].iter().flat_map(|field| field.to_le_bytes()));
        start.extend(flags.to_le_bytes());
        start.extend([HEADER, segment_size, segments, HEADER, count, count - 1].iter().flat_map(|f| f.to_le_bytes()));
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&start)?;
        sealed::seal(self.file)
    }
}
