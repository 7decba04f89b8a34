//! A file as bytes of which only those parts are read that are of use: programs run to gigabytes, and what says how to
//! unwind them, or what they define, is a small part. The rest is zeros that take no memory.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use object::{
    LittleEndian as LE, elf,
    read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _},
};

/// Bytes from the start of an object that are read: its header, mostly its program headers, and notes.
const HEADER_BYTES: u64 = 1 << 16;

/// Largest file, and most bytes that are read of it.
const MAX_FILE: u64 = 16 << 30;
const MAX_READ: u64 = 1 << 30;

/// Section names are looked for in so many bytes of their table.
const MAX_NAMES: u64 = 1 << 20;

type Header = elf::FileHeader64<LE>;

/// Reads the headers and the sections that `is_wanted` by name. Where there are no sections, the whole segment of
/// read-only data that the C++ runtime finds its tables in.
///
/// What a header says and is not so leaves zeros, which whoever parses the bytes has to bear.
pub fn read_sections(file: &File, is_wanted: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
    let (mut parts, header) = Parts::begin(file)?;
    let Some(header) = header else { return Ok(parts.data) };
    if let Some(names) = names_of(&header, &parts.data) {
        parts.read(names)?;
    }
    let wanted = wanted(&header, &parts.data, is_wanted);
    for range in wanted {
        parts.read(range)?;
    }
    Ok(parts.data)
}

/// Reads the headers and the tables of symbols, and so much that the symbols are found that a loader would find: where
/// the sections do not say where all its tables are, the whole file.
pub fn read_symbols(file: &File) -> io::Result<Vec<u8>> {
    let (mut parts, header) = Parts::begin(file)?;
    let Some(header) = header else { return Ok(parts.data) };
    let segments = header.program_headers(LE, &*parts.data).unwrap_or_default().to_vec();
    let sections = header.section_headers(LE, &*parts.data).unwrap_or_default().to_vec();
    let of_loader = segments.iter().filter(|s| matches!(s.p_type(LE), elf::PT_DYNAMIC | elf::PT_INTERP));
    for (start, size) in of_loader.map(|segment| segment.file_range(LE)) {
        parts.read(start..start.saturating_add(size))?;
    }
    let of_symbols = sections.iter().filter(|section| SYMBOLS.contains(&section.sh_type(LE)));
    let of_symbols: Vec<Range<u64>> = of_symbols.filter_map(range_of).collect();
    let entries = segments.iter().find_map(|segment| segment.dynamic(LE, &*parts.data).ok().flatten());
    let tables = entries.unwrap_or_default().iter().filter(|entry| TABLES.contains(&entry.tag(LE)));
    let is_in_section = |address: u64| {
        file_offset(&segments, address).is_none_or(|offset| of_symbols.iter().any(|range| range.contains(&offset)))
    };
    if !tables.map(|entry| entry.val(LE)).all(is_in_section) {
        parts.read(0..MAX_FILE)?;
        return Ok(parts.data);
    }
    for range in of_symbols {
        parts.read(range)?;
    }
    Ok(parts.data)
}

fn range_of(section: &elf::SectionHeader64<LE>) -> Option<Range<u64>> {
    section.file_range(LE).map(|(start, size)| start..start.saturating_add(size))
}

/// Sections of which symbols are made.
const SYMBOLS: [elf::SectionType; 6] =
    [elf::SHT_SYMTAB, elf::SHT_DYNSYM, elf::SHT_STRTAB, elf::SHT_HASH, elf::SHT_GNU_HASH, elf::SHT_GNU_VERSYM];

/// What in a dynamic table leads to them.
const TABLES: [elf::DynamicTag; 5] = [elf::DT_SYMTAB, elf::DT_STRTAB, elf::DT_HASH, elf::DT_GNU_HASH, elf::DT_VERSYM];

/// Where in the file an address is loaded from.
fn file_offset(segments: &[elf::ProgramHeader64<LE>], address: u64) -> Option<u64> {
    segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD).find_map(|segment| {
        let inside = address.checked_sub(segment.p_vaddr(LE))?;
        (inside < segment.p_filesz(LE)).then(|| segment.p_offset(LE).saturating_add(inside))
    })
}

struct Parts<'a> {
    file: &'a File,
    data: Vec<u8>,
    left: u64,
}

impl<'a> Parts<'a> {
    /// Reads the headers: that of the file, unless it is no object, and those that it leads to.
    fn begin(file: &'a File) -> io::Result<(Self, Option<Header>)> {
        let length = file.metadata()?.len();
        if length > MAX_FILE {
            return Err(io::Error::other("the file is larger than 16 GiB"));
        }
        let mut parts = Parts { file, data: vec![0; length as usize], left: MAX_READ };
        parts.read(0..HEADER_BYTES)?;
        let Ok(header) = Header::parse(&*parts.data) else { return Ok((parts, None)) };
        let table = |first: u64, count: u16, size: usize| first..first.saturating_add(u64::from(count) * size as u64);
        // Tools that change a finished file move its program headers to the end.
        let programs = table(header.e_phoff(LE), header.e_phnum(LE), size_of::<elf::ProgramHeader64<LE>>());
        let sections = table(header.e_shoff(LE), header.e_shnum(LE), size_of::<elf::SectionHeader64<LE>>());
        let header = *header;
        parts.read(programs)?;
        parts.read(sections)?;
        Ok((parts, Some(header)))
    }

    fn read(&mut self, range: Range<u64>) -> io::Result<()> {
        let length = self.data.len() as u64;
        let (start, end) = (range.start.min(length), range.end.min(length));
        let size = end.saturating_sub(start);
        if size > self.left {
            return Err(io::Error::other("it claims to have more than 1 GiB that is of use"));
        }
        self.left -= size;
        let Some(part) = self.data.get_mut(start as usize..(start + size) as usize) else { return Ok(()) };
        match self.file.read_exact_at(part, start) {
            // It has become shorter meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            read => read,
        }
    }
}

fn names_of(header: &Header, data: &[u8]) -> Option<Range<u64>> {
    let sections = header.section_headers(LE, data).ok()?;
    let index = header.shstrndx(LE, data).ok()?;
    let (start, size) = sections.get(index as usize)?.file_range(LE)?;
    Some(start..start.saturating_add(size.min(MAX_NAMES)))
}

fn wanted(header: &Header, data: &[u8], is_wanted: impl Fn(&[u8]) -> bool) -> Vec<Range<u64>> {
    let ranges: Vec<Range<u64>> = header.sections(LE, data).map_or_else(
        |_| Vec::new(),
        |sections| {
            let named = |section: &&elf::SectionHeader64<LE>| sections.section_name(LE, section).is_ok_and(&is_wanted);
            sections.iter().filter(named).filter_map(range_of).collect()
        },
    );
    if ranges.is_empty() { segment_of_tables(header, data).into_iter().collect() } else { ranges }
}

/// The segment that the table for the C++ runtime lies in.
fn segment_of_tables(header: &Header, data: &[u8]) -> Option<Range<u64>> {
    let segments = header.program_headers(LE, data).ok()?;
    let table = segments.iter().find(|segment| segment.p_type(LE) == elf::PT_GNU_EH_FRAME)?.p_vaddr(LE);
    let holds = |segment: &&elf::ProgramHeader64<LE>| {
        segment.p_type(LE) == elf::PT_LOAD && table.wrapping_sub(segment.p_vaddr(LE)) < segment.p_filesz(LE)
    };
    let (start, size) = segments.iter().find(holds)?.file_range(LE);
    Some(start..start.saturating_add(size))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::super::{
        elf::{
            ElfFile,
            tests::{LIBC, library},
        },
        sealed,
    };
    use super::*;

    const NAMES: [&str; 4] = ["malloc", "free", "gnu_get_libc_version", "no_such_function"];

    fn vaddrs(data: &[u8]) -> Vec<u64> {
        let symbols = ElfFile::parse(data, "it").and_then(|object| object.symbols(&NAMES, |_| true));
        symbols.expect("symbols").iter().map(|symbol| symbol.vaddr).collect()
    }

    #[test]
    fn a_part_of_a_file_has_the_symbols_of_the_whole() {
        for path in [LIBC, "/proc/self/exe"] {
            let Some(whole) = library(path) else { continue };
            let part = read_symbols(&File::open(path).unwrap()).unwrap();
            assert_eq!(vaddrs(&part), vaddrs(&whole));
            assert_eq!(part.len(), whole.len());
            assert_ne!(part, *whole, "the code of {path} is left out");
        }
    }

    #[test]
    fn a_file_without_sections_is_read_whole() {
        let Ok(mut whole) = fs::read(LIBC) else { return };
        // `e_shoff`, `e_shnum` and `e_shstrndx`.
        whole[40..48].fill(0);
        whole[60..64].fill(0);
        let mut file = sealed::new().unwrap();
        file.write_all(&whole).unwrap();
        assert_eq!(read_symbols(&file).unwrap(), whole);
    }
}
