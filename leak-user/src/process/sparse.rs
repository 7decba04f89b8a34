//! A file as bytes of which only those parts are read that are of use: programs run to gigabytes, and what says how to
//! unwind them is a small part. The rest is zeros that take no memory.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use object::{
    LittleEndian as LE, elf,
    read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _},
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
    let length = file.metadata()?.len();
    if length > MAX_FILE {
        return Err(io::Error::other("the file is larger than 16 GiB"));
    }
    let mut parts = Parts { file, data: vec![0; length as usize], left: MAX_READ };
    parts.read(0..HEADER_BYTES)?;
    let Ok(header) = Header::parse(&*parts.data) else { return Ok(parts.data) };
    let table = |first: u64, count: u16, size: usize| first..first.saturating_add(u64::from(count) * size as u64);
    // Tools that change a finished file move its program headers to the end.
    let programs = table(header.e_phoff(LE), header.e_phnum(LE), size_of::<elf::ProgramHeader64<LE>>());
    let sections = table(header.e_shoff(LE), header.e_shnum(LE), size_of::<elf::SectionHeader64<LE>>());
    parts.read(programs)?;
    parts.read(sections)?;
    let header = *Header::parse(&*parts.data).map_err(io::Error::other)?;
    if let Some(names) = names_of(&header, &parts.data) {
        parts.read(names)?;
    }
    let wanted = wanted(&header, &parts.data, is_wanted);
    for range in wanted {
        parts.read(range)?;
    }
    Ok(parts.data)
}

struct Parts<'a> {
    file: &'a File,
    data: Vec<u8>,
    left: u64,
}

impl Parts<'_> {
    fn read(&mut self, range: Range<u64>) -> io::Result<()> {
        let length = self.data.len() as u64;
        let (start, end) = (range.start.min(length), range.end.min(length));
        let size = end.saturating_sub(start);
        if size > self.left {
            return Err(io::Error::other("its unwind information is too large to be that of a program"));
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
            let range = |section: &elf::SectionHeader64<LE>| {
                section.file_range(LE).map(|(start, size)| start..start.saturating_add(size))
            };
            sections.iter().filter(named).filter_map(range).collect()
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
