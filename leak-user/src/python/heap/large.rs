//! Objects that are larger than the blocks of pools: they come from `malloc`.
//!
//! The blocks of glibc's `malloc` are told by their heads: a size ahead of the block, and ahead of the next one a bit that
//! says the block is in use. Of other allocators nothing is known here, and large objects in them are not found.

use super::{
    super::reader::Reader,
    objects::Finder,
    pools::{self, Pool},
    types::{TypeIndex, Types},
};

/// Bytes of a block's head: the size of the block before it, and its own.
const HEAD: u64 = 16;

/// A block's bytes reach into the head of the next one.
const REACH: u64 = 8;

/// Smallest block of a large object.
const SMALLEST: u64 = 528;

/// Largest block that is believed.
const LARGEST: u64 = 1 << 40;

/// In the size of a block: the one before it is in use, it was mapped by itself, it is of another arena than the first.
const BEFORE_IS_USED: u64 = 1;
const IS_MAPPED: u64 = 2;
const FLAGS: u64 = 7;

/// Bytes that a block may have beyond what was asked for: of one that was mapped by itself, up to a page.
const SPARE: u64 = 64;
const SPARE_OF_MAPPED: u64 = 4096 + SPARE;

const PAGE: u64 = 4096;

/// A large object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Large {
    /// Its block.
    pub block: u64,
    /// Bytes of that.
    pub block_bytes: u64,
    /// From the block to the object.
    pub head: u64,
    /// Its type.
    pub kind: TypeIndex,
}

/// All in a snapshot, in order of address.
pub fn find(reader: &Reader<'_>, pools: &[Pool], types: &mut Types) -> Vec<Large> {
    let mut found = Vec::new();
    let mut finder = Finder::new(reader);
    let pool_bytes = reader.layout.pool_bytes;
    for (start, bytes) in reader.snapshot.regions() {
        let mut pools = pools[pools.partition_point(|pool| pool.address < start)..].iter().peekable();
        let mut at = start.next_multiple_of(HEAD);
        let end = start + bytes.len() as u64;
        while at + HEAD < end {
            if let Some(pool) = pools.next_if(|pool| pool.address <= at) {
                at = at.max(pool.address + pool_bytes);
                continue;
            }
            let limit = pools.peek().map_or(end, |pool| pool.address.min(end));
            at = search(reader, &bytes[..(limit - start) as usize], start, at, types, &mut finder, &mut found);
        }
    }
    found
}

/// Looks for objects in `bytes` from an address on. Gives where the next search is to begin.
fn search(
    reader: &Reader<'_>,
    bytes: &[u8],
    start: u64,
    from: u64,
    types: &mut Types,
    finder: &mut Finder<'_, '_>,
    found: &mut Vec<Large>,
) -> u64 {
    let end = start + bytes.len() as u64;
    let mut at = from;
    while at + HEAD < end {
        let size = bytes[(at - start) as usize + 8..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // Nearly everywhere this is no size of a block.
        if size & 8 == 0
            && (SMALLEST..LARGEST).contains(&size)
            && let Some(bytes_of_block) = bytes_of_block(reader, at, size)
        {
            // Of the block only the beginning need be there: a process need not have touched all of it.
            let content = reader.snapshot.tail(at + HEAD).unwrap_or_default();
            let spare = if size & IS_MAPPED == 0 { SPARE } else { SPARE_OF_MAPPED };
            if let Some(held) = finder.held_in(content, bytes_of_block, spare, types) {
                found.push(Large { block: at + HEAD, block_bytes: bytes_of_block, head: held.head, kind: held.kind });
                at += size & !FLAGS;
                continue;
            }
        }
        at += HEAD;
    }
    at.max(end)
}

/// How many bytes a block at this address has of which this is the size, if it is one and in use.
fn bytes_of_block(reader: &Reader<'_>, at: u64, size: u64) -> Option<u64> {
    let length = size & !FLAGS;
    if size & IS_MAPPED != 0 {
        let is_one = at.is_multiple_of(PAGE) && length.is_multiple_of(PAGE) && size & BEFORE_IS_USED == 0;
        return is_one.then_some(length - HEAD);
    }
    let next = reader.snapshot.word(at.checked_add(length)?.checked_add(8)?)?;
    (next & BEFORE_IS_USED != 0 && next & IS_MAPPED == 0 && next >= 16).then_some(length - HEAD + REACH)
}

/// Bytes of the block that something lies at the beginning of, in a pool or from `malloc`; 0 if that is not known.
pub fn bytes_around(reader: &Reader<'_>, pools: &[Pool], address: u64) -> u64 {
    if let Some(pool) = pools::around(pools, address, reader.layout.pool_bytes) {
        return pool.block_bytes.into();
    }
    let Some(at) = address.checked_sub(HEAD).filter(|at| at.is_multiple_of(HEAD)) else { return 0 };
    let size = reader.snapshot.word(at + 8).filter(|size| size & 8 == 0 && (SMALLEST..LARGEST).contains(size));
    size.and_then(|size| bytes_of_block(reader, at, size)).unwrap_or(0)
}
