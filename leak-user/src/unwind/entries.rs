//! The entries of a section with unwind information: which code each of them describes.
//!
//! A section is a chain of entries, each with its length. One that makes no sense is skipped; one that ends behind the
//! section ends the chain, for nobody knows where the next begins.

use std::collections::HashMap;

use gimli::{BaseAddresses, CommonInformationEntry, EndianSlice, FrameDescriptionEntry, LittleEndian, UnwindSection};

use super::image::{Image, Section};

/// How gimli reads a section.
pub type Reader<'bytes> = EndianSlice<'bytes, LittleEndian>;

/// Most entries that are looked at; the largest programs that are known have a tenth of it.
const MAX_ENTRIES: usize = 1 << 22;

/// Longest shared entry (CIE) that is believed, in bytes. They come to some 30, and are gone through again for each
/// entry that shares them.
const MAX_SHARED: usize = 4096;

/// Most shared entries that are kept read.
const MAX_SHARED_KEPT: usize = 1024;

/// An entry, and the code that it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Where the code begins, in bytes from the base.
    pub start: u32,
    /// Where the entry lies in its section.
    pub offset: u32,
    /// Where the code ends.
    pub end: u32,
}

/// What was found on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Entries that make no sense, or are too many.
    pub broken: u32,
    /// Entries that describe nothing that is code: of functions that the linker left out.
    pub outside: u32,
}

/// A section's entries as gimli reads them, with those that are shared kept at hand.
pub struct Parser<'input, S: UnwindSection<Reader<'input>>> {
    /// The section.
    pub section: S,
    /// What addresses in it count from.
    pub bases: BaseAddresses,
    shared: HashMap<usize, Option<CommonInformationEntry<Reader<'input>>>, foldhash::fast::RandomState>,
}

impl<'input, S: UnwindSection<Reader<'input>>> Parser<'input, S> {
    /// For the section that gimli knows as the one, and we as the other.
    pub fn new(section: S, source: &Section<'_>, image: &Image<'_>) -> Self {
        let mut bases = BaseAddresses::default();
        if let Some(vaddr) = source.vaddr {
            bases = bases.set_eh_frame(vaddr);
        }
        if let Some(text) = image.text {
            bases = bases.set_text(text);
        }
        if let Some(got) = image.got {
            bases = bases.set_got(got);
        }
        Self { section, bases, shared: HashMap::default() }
    }

    /// The entry at this place, if there is one that makes sense and describes code.
    pub fn parse(&mut self, offset: usize) -> Option<FrameDescriptionEntry<Reader<'input>>> {
        let partial = self.section.partial_fde_from_offset(&self.bases, offset.into()).ok()?;
        let shared = &mut self.shared;
        partial
            .parse(|section, bases, offset| {
                let offset: usize = gimli::UnwindOffset::into(offset);
                if shared.len() > MAX_SHARED_KEPT {
                    shared.clear();
                }
                let entry = shared.entry(offset).or_insert_with(|| {
                    let entry = section.cie_from_offset(bases, offset.into()).ok()?;
                    (entry.entry_len() <= MAX_SHARED && entry.address_size() == 8).then_some(entry)
                });
                entry.clone().ok_or(gimli::Error::NotCieId(offset as u64))
            })
            .ok()
    }

    /// All entries that describe code, in order of it, no two beginning at the same place.
    pub fn entries(&mut self, source: &Section<'_>, image: &Image<'_>) -> (Vec<Entry>, Found) {
        let mut entries = Vec::new();
        let mut found = Found::default();
        for offset in Offsets::new(source) {
            if entries.len() == MAX_ENTRIES {
                found.broken += 1;
                break;
            }
            let Some(entry) = self.parse(offset) else {
                found.broken += 1;
                continue;
            };
            match code_of(image, entry.initial_address(), entry.len()) {
                Some((start, end)) => entries.push(Entry { start, offset: offset as u32, end }),
                None => found.outside += 1,
            }
        }
        entries.sort_unstable();
        entries.dedup_by_key(|entry| entry.start);
        (entries, found)
    }
}

/// The part of these addresses that is code, relative to the base; they must begin in it.
fn code_of(image: &Image<'_>, vaddr: u64, len: u64) -> Option<(u32, u32)> {
    let start = u32::try_from(vaddr.checked_sub(image.base)?).ok()?;
    let next = image.code.partition_point(|(from, _)| *from <= start);
    let (_, limit) = *image.code.get(next.checked_sub(1)?)?;
    let end = u64::from(start).saturating_add(len).min(limit.into()) as u32;
    (start < end).then_some((start, end))
}

/// Places of a section's entries, but for those that others share.
struct Offsets<'source> {
    bytes: &'source [u8],
    next: usize,
    is_sized: bool,
    shared_id: u32,
}

impl<'source> Offsets<'source> {
    fn new(source: &'source Section<'_>) -> Self {
        // What marks a shared entry differs between `.eh_frame`, which is loaded, and `.debug_frame`.
        let shared_id = if source.vaddr.is_some() { 0 } else { u32::MAX };
        Self { bytes: &source.bytes, next: 0, is_sized: source.is_sized, shared_id }
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }
}

impl Iterator for Offsets<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let offset = self.next;
            let mut body = offset + 4;
            let len = match self.word(offset)? {
                0 if self.is_sized => {
                    self.next = body;
                    continue;
                }
                0 => return None,
                u32::MAX => {
                    body += 8;
                    usize::try_from(u64::from_le_bytes(*self.bytes.get(offset + 4..)?.first_chunk()?)).ok()?
                }
                len => len as usize,
            };
            let rest = self.bytes.len().checked_sub(body)?;
            if len > rest {
                self.next = self.bytes.len();
                return None;
            }
            self.next = body + len;
            if self.word(body)? != self.shared_id {
                return Some(offset);
            }
        }
    }
}
