//! Reading an object file (a program or a library) whose bytes a hostile target may control.
//!
//! [`ElfFile`] answers what is needed to put probes into an object: which functions it defines, where their code lies
//! in the file, and which build it is. It reads what the loader reads, program headers and the dynamic table; section
//! headers serve only to find `.symtab`, which has no other way to it, and a build ID no segment shows.
//!
//! It promises an answer or an error sentence, never a panic, for any bytes; no allocation sized by a header, and work
//! at most linear in the bytes it was given. It does not open files, and it knows nothing but 64-bit x86-64.
//!
//! Give it bytes read into memory, not a mapping: who owns a mapped file can truncate it, and a read is then SIGBUS.
//! They must begin at a multiple of 8, as what an allocator gives does; else they count as a broken file.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramFlags, ProgramHeader64, SectionHeader64, Sym64, Versym};
use object::pod;
use object::read::elf::{
    Dyn as _, FileHeader as _, GnuHashTable, HashTable, NoteIterator, ProgramHeader as _, SectionHeader as _, Sym as _,
};

/// Most program headers an object may have: as many as fit the 64 KiB that Linux accepts.
const MAX_SEGMENTS: usize = 1170;

/// Most entries of a dynamic table that are read.
const MAX_DYNAMICS: usize = 4096;

/// Most notes that are looked at for a build ID.
const MAX_NOTES: usize = 256;

/// Longest build ID that is believed, in bytes.
const MAX_BUILD_ID: usize = 64;

/// Longest symbol name that is looked at, the version after its `@` included.
const MAX_NAME: usize = 128;

/// Most addresses that one name may stand for: more is no program but an attack.
const MAX_ADDRESSES: usize = 8;

/// Bytes of code taken for a function that does not say how long it is.
const UNSIZED_CODE: usize = 256;

/// A function or a variable that an object defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'name> {
    /// The name, without a version.
    pub name: &'name str,
    /// Its virtual address, as linked.
    pub vaddr: u64,
    /// Its length in bytes, or 0 when the object does not say.
    pub size: u64,
    /// Whether this is an IFUNC: what stands at the address chooses the function rather than being it.
    pub indirect: bool,
    /// Whether it is what a reference without a version binds to (`name@@VERSION`, or no version at all).
    pub default: bool,
}

/// A part of the file that is loaded to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    vaddr: u64,
    offset: u64,
    size: u64,
}

impl Segment {
    /// The virtual address, as linked, of what stands here in the file, if it is in this part.
    pub fn vaddr_of(&self, file_offset: u64) -> Option<u64> {
        let inside = file_offset.checked_sub(self.offset)?;
        (inside < self.size).then(|| self.vaddr.wrapping_add(inside))
    }

    /// Where in the file stands what has this virtual address, as linked, if it is in this part.
    pub fn file_offset_of(&self, vaddr: u64) -> Option<u64> {
        let inside = vaddr.checked_sub(self.vaddr)?;
        (inside < self.size).then(|| self.offset.wrapping_add(inside))
    }

    /// The virtual address, as linked, of where a mapping of this part begins. It begins with a page, so perhaps ahead
    /// of the part: linkers other than GNU's do not fill pages up.
    pub fn vaddr_of_mapping(&self, file_offset: u64) -> Option<u64> {
        let ahead = self.offset % PAGE;
        let inside = file_offset.checked_sub(self.offset - ahead)?;
        (inside < self.size.saturating_add(ahead)).then(|| self.vaddr.wrapping_sub(ahead).wrapping_add(inside))
    }
}

/// What mappings are counted in.
const PAGE: u64 = 4096;

/// A function's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code<'data> {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes, at least one.
    pub bytes: &'data [u8],
}

/// An object file.
#[derive(Clone)]
pub struct ElfFile<'data> {
    what: String,
    data: &'data [u8],
    segments: &'data [ProgramHeader64<LE>],
    sections: &'data [SectionHeader64<LE>],
    dynamic: Dynamic,
}

/// The entries of the dynamic table that are used here: addresses, but for `strings_len`, `soname` and `flags`.
#[derive(Clone, Copy, Debug, Default)]
struct Dynamic {
    symbols: Option<u64>,
    strings: Option<u64>,
    strings_len: Option<u64>,
    versions: Option<u64>,
    hash: Option<u64>,
    gnu_hash: Option<u64>,
    soname: Option<u64>,
    flags: Option<u64>,
}

/// A table of symbols, with one version a symbol where there are versions.
#[derive(Clone, Copy, Default)]
struct SymbolTable<'data> {
    symbols: &'data [Sym64<LE>],
    strings: &'data [u8],
    versions: &'data [Versym<LE>],
}

impl<'data> ElfFile<'data> {
    /// Reads the headers of the object file that `data` holds. `what` names it in errors, and is printed as it is.
    pub fn parse(data: &'data [u8], what: &str) -> Result<Self> {
        ensure!(data.starts_with(&elf::ELFMAG), "{what} is not an ELF file");
        let header = FileHeader64::<LE>::parse(data)
            .ok()
            .filter(|header| header.is_little_endian() && header.e_machine(LE) == elf::EM_X86_64)
            .with_context(|| format!("{what} is not a 64-bit x86-64 object"))?;
        ensure!(
            matches!(header.e_type(LE), elf::ET_EXEC | elf::ET_DYN),
            "{what} is neither a program nor a shared library"
        );
        let segments = header
            .program_headers(LE, data)
            .ok()
            .filter(|segments| segments.len() <= MAX_SEGMENTS)
            .with_context(|| format!("{what} has broken program headers"))?;
        // Broken or stripped section headers do not keep a program from running, nor this from reading it.
        let sections = header.section_headers(LE, data).unwrap_or_default();
        let dynamic = Dynamic::read(segments, data);
        Ok(Self { what: what.to_owned(), data, segments, sections, dynamic })
    }

    /// The build ID in lower-case hexadecimal, if the object has one.
    pub fn build_id(&self) -> Option<String> {
        let in_segments = self.segments.iter().filter_map(|s| s.notes(LE, self.data).ok().flatten());
        let in_sections = self.sections.iter().filter_map(|s| s.notes(LE, self.data).ok().flatten());
        in_segments.chain(in_sections).flat_map(build_ids).take(MAX_NOTES).flatten().next().map(hex)
    }

    /// Where in the file the program begins to run.
    pub fn entry_offset(&self) -> Option<u64> {
        let header = FileHeader64::<LE>::parse(self.data).ok()?;
        self.loaded(header.e_entry(LE), elf::PF_X).map(|(offset, _)| offset)
    }

    /// Path of the dynamic loader that the program asks for.
    pub fn interpreter(&self) -> Option<String> {
        let name = self.segments.iter().find_map(|s| s.interpreter(LE, self.data).ok().flatten())?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// Whether it is a program that can be loaded anywhere and needs no dynamic loader. Nobody else is to call its
    /// functions, and its linker makes them local.
    pub fn is_static_pie(&self) -> bool {
        let flags = self.dynamic.flags.unwrap_or_default();
        flags & elf::DF_1_PIE.0 != 0 && self.interpreter().is_none()
    }

    /// The parts of the file that are loaded to run.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        let is_code = |s: &&ProgramHeader64<LE>| s.p_type(LE) == elf::PT_LOAD && s.p_flags(LE).contains(elf::PF_X);
        self.segments.iter().filter(is_code).map(|s| Segment {
            vaddr: s.p_vaddr(LE),
            offset: s.p_offset(LE),
            size: s.p_filesz(LE),
        })
    }

    /// The name the object gives itself, `DT_SONAME`. As the object has it: not to be printed raw.
    pub fn soname(&self) -> Option<&'data [u8]> {
        name_at(self.dynamic_strings()?, self.dynamic.soname?)
    }

    /// The functions of these names that the object defines, in `.dynsym` and `.symtab`; local ones only of names that
    /// `accept_local` agrees to.
    ///
    /// In the order of `wanted`. A name comes once for each address it stands for, its default version first.
    pub fn symbols<'name>(
        &self,
        wanted: &[&'name str],
        accept_local: impl Fn(&str) -> bool,
    ) -> Result<Vec<Symbol<'name>>> {
        let mut found: HashMap<&[u8], (&'name str, Vec<Symbol<'name>>)> =
            wanted.iter().map(|name| (name.as_bytes(), (*name, Vec::new()))).collect();
        for table in [self.dynamic_symbols().unwrap_or_default(), self.static_symbols().unwrap_or_default()] {
            for (index, symbol) in table.symbols.iter().enumerate().filter(|(_, symbol)| is_function(symbol)) {
                let Some((name, default)) = table.name_of(index, symbol) else { continue };
                if let Some((name, same_name)) = found.get_mut(name)
                    && (is_shared(symbol) || accept_local(name))
                {
                    add(same_name, new_symbol(name, symbol, default));
                    ensure!(same_name.len() <= MAX_ADDRESSES, "{} defines {name} too many times", self.what);
                }
            }
        }
        let in_order = wanted.iter().filter_map(|name| found.remove(name.as_bytes())).flat_map(|(_, mut same_name)| {
            same_name.sort_by_key(|symbol| !symbol.default);
            same_name
        });
        Ok(in_order.collect())
    }

    /// The variables of these names that the object defines for others, one for each name that it has.
    pub fn variables<'name>(&self, wanted: &[&'name str]) -> Vec<Symbol<'name>> {
        let mut found: Vec<Symbol<'name>> = Vec::new();
        for table in [self.dynamic_symbols().unwrap_or_default(), self.static_symbols().unwrap_or_default()] {
            for (index, symbol) in table.symbols.iter().enumerate().filter(|(_, symbol)| is_variable(symbol)) {
                let Some((name, default)) = table.name_of(index, symbol) else { continue };
                if let Some(name) = wanted.iter().find(|wanted| wanted.as_bytes() == name)
                    && is_shared(symbol)
                    && !found.iter().any(|known| known.name == *name)
                {
                    found.push(new_symbol(name, symbol, default));
                }
            }
        }
        found
    }

    /// Where a function's code is, which must be whole and executable.
    pub fn code(&self, symbol: &Symbol<'_>) -> Result<Code<'data>> {
        let inside = self.loaded(symbol.vaddr, elf::PF_X).and_then(|(offset, rest)| {
            let bytes = match usize::try_from(symbol.size).ok()? {
                0 => rest.get(..rest.len().min(UNSIZED_CODE)),
                size => rest.get(..size),
            };
            Some(Code { offset, bytes: bytes.filter(|bytes| !bytes.is_empty())? })
        });
        inside.with_context(|| format!("symbol {} of {} points outside its code", symbol.name, self.what))
    }

    /// The file's bytes from a virtual address to the end of the segment that holds it, and their place in the file.
    fn loaded(&self, vaddr: u64, flags: ProgramFlags) -> Option<(u64, &'data [u8])> {
        let is_loaded = |s: &&ProgramHeader64<LE>| s.p_type(LE) == elf::PT_LOAD && s.p_flags(LE).contains(flags);
        self.segments.iter().filter(is_loaded).find_map(|s| {
            let skipped = vaddr.checked_sub(s.p_vaddr(LE))?;
            let left = s.p_filesz(LE).checked_sub(skipped)?;
            let offset = s.p_offset(LE).checked_add(skipped)?;
            let rest = self.data.get(usize::try_from(offset).ok()?..)?;
            let rest = rest.get(..usize::try_from(left).ok()?.min(rest.len()))?;
            (!rest.is_empty()).then_some((offset, rest))
        })
    }

    /// The bytes at an address that the dynamic table gives.
    fn at(&self, vaddr: Option<u64>) -> Option<&'data [u8]> {
        Some(self.loaded(vaddr?, elf::PF_R)?.1)
    }

    fn dynamic_strings(&self) -> Option<&'data [u8]> {
        let rest = self.at(self.dynamic.strings)?;
        let len = self.dynamic.strings_len.map_or(rest.len(), |len| rest.len().min(len as usize));
        rest.get(..len)
    }

    fn dynamic_symbols(&self) -> Option<SymbolTable<'data>> {
        let symbols = array(self.at(self.dynamic.symbols)?, self.dynamic_symbol_count()?);
        let versions = self.at(self.dynamic.versions).map_or(&[][..], |bytes| array(bytes, symbols.len()));
        Some(SymbolTable { symbols, strings: self.dynamic_strings()?, versions })
    }

    /// Only the hash tables say how long `.dynsym` is.
    fn dynamic_symbol_count(&self) -> Option<usize> {
        let sysv = self.at(self.dynamic.hash).and_then(|bytes| {
            let table = HashTable::<FileHeader64<LE>>::parse(LE, bytes).ok()?;
            Some(table.symbol_table_length())
        });
        let count = sysv.or_else(|| {
            let table = GnuHashTable::<FileHeader64<LE>>::parse(LE, self.at(self.dynamic.gnu_hash)?).ok()?;
            table.symbol_table_length(LE)
        });
        count.map(|count| count as usize)
    }

    fn static_symbols(&self) -> Option<SymbolTable<'data>> {
        let section = self.sections.iter().find(|section| section.sh_type(LE) == elf::SHT_SYMTAB)?;
        let symbols = section.data_as_array(LE, self.data).ok()?;
        let strings = self.sections.get(section.sh_link(LE) as usize)?.data(LE, self.data).ok()?;
        Some(SymbolTable { symbols, strings, versions: &[] })
    }
}

impl Dynamic {
    fn read(segments: &[ProgramHeader64<LE>], data: &[u8]) -> Self {
        let mut dynamic = Self::default();
        let entries = segments.iter().find_map(|s| s.dynamic(LE, data).ok().flatten()).unwrap_or_default();
        let entries = entries.iter().take(MAX_DYNAMICS).map(|entry| (entry.tag(LE), entry.val(LE)));
        for (tag, value) in entries.take_while(|(tag, _)| *tag != elf::DT_NULL) {
            let field = match tag {
                elf::DT_SYMTAB => &mut dynamic.symbols,
                elf::DT_STRTAB => &mut dynamic.strings,
                elf::DT_STRSZ => &mut dynamic.strings_len,
                elf::DT_VERSYM => &mut dynamic.versions,
                elf::DT_HASH => &mut dynamic.hash,
                elf::DT_GNU_HASH => &mut dynamic.gnu_hash,
                elf::DT_SONAME => &mut dynamic.soname,
                elf::DT_FLAGS_1 => &mut dynamic.flags,
                _ => continue,
            };
            *field = Some(value);
        }
        dynamic
    }
}

impl<'data> SymbolTable<'data> {
    /// The symbol's name without its version, and whether it is the default one.
    fn name_of(&self, index: usize, symbol: &Sym64<LE>) -> Option<(&'data [u8], bool)> {
        let name = name_at(self.strings, symbol.st_name(LE).into())?;
        let shown = self.versions.get(index).is_none_or(|version| !version.0.get(LE).is_hidden());
        // In .symtab the version is part of the name: `name@OLD`, `name@@DEFAULT`.
        Some(match name.iter().position(|byte| *byte == b'@').and_then(|at| name.split_at_checked(at)) {
            Some((name, version)) => (name, version.starts_with(b"@@")),
            None => (name, shown),
        })
    }
}

/// Whether others than this object may call the symbol's function.
fn is_shared(symbol: &Sym64<LE>) -> bool {
    matches!(symbol.st_bind(), elf::STB_GLOBAL | elf::STB_WEAK)
}

/// Whether a symbol is a function that this object defines.
fn is_function(symbol: &Sym64<LE>) -> bool {
    matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC) && is_defined(symbol)
}

/// Whether a symbol is a variable that this object defines.
fn is_variable(symbol: &Sym64<LE>) -> bool {
    symbol.st_type() == elf::STT_OBJECT && is_defined(symbol)
}

fn is_defined(symbol: &Sym64<LE>) -> bool {
    !(symbol.is_undefined(LE) || symbol.is_absolute(LE) || symbol.is_common(LE))
}

fn new_symbol<'name>(name: &'name str, symbol: &Sym64<LE>, default: bool) -> Symbol<'name> {
    let indirect = symbol.st_type() == elf::STT_GNU_IFUNC;
    Symbol { name, vaddr: symbol.st_value(LE), size: symbol.st_size(LE), indirect, default }
}

/// Adds a symbol, unless its address is known: then only what it adds to that.
fn add<'name>(same_name: &mut Vec<Symbol<'name>>, symbol: Symbol<'name>) {
    match same_name.iter_mut().find(|known| known.vaddr == symbol.vaddr) {
        Some(known) => {
            known.default |= symbol.default;
            known.indirect |= symbol.indirect;
        }
        None => same_name.push(symbol),
    }
}

/// The first `count` items of a table, or as many as there are.
fn array<T: pod::Pod>(bytes: &[u8], count: usize) -> &[T] {
    let there = bytes.len().checked_div(size_of::<T>()).unwrap_or(0);
    pod::slice_from_bytes(bytes, count.min(there)).map_or(&[], |(items, _)| items)
}

/// The string at an offset of a string table. Looks no further than a name may be long, so that a table without ends
/// costs no more than another.
fn name_at(strings: &[u8], offset: u64) -> Option<&[u8]> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let window = rest.get(..rest.len().min(MAX_NAME))?;
    window.get(..window.iter().position(|byte| *byte == 0)?)
}

/// For each note its build ID, if that is what it holds.
fn build_ids(notes: NoteIterator<'_, FileHeader64<LE>>) -> impl Iterator<Item = Option<&[u8]>> {
    notes.map(|note| {
        let note = note.ok()?;
        let is_build_id = note.name() == elf::ELF_NOTE_GNU && note.n_type(LE) == elf::NT_GNU_BUILD_ID;
        (is_build_id && (1..=MAX_BUILD_ID).contains(&note.desc().len())).then(|| note.desc())
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
