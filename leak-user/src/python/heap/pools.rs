//! The pools that the interpreter's own allocator cuts into small blocks of one size, and which of those are in use.
//!
//! A pool lies at a multiple of its size and begins with a head of 48 bytes, in which six fields depend on each other.
//! Its free blocks are a list through their first words. Both are the target's word and may change while they are read: a
//! pool whose list does not agree with its count is doubtful, and believed only beside a sound one of its arena.

use super::super::snapshot::Snapshot;

/// Bytes ahead of a pool's first block.
const HEAD: u32 = 48;

/// Blocks are of so many bytes or a multiple of it.
pub const ALIGNMENT: u32 = 16;

/// Largest block, in bytes. What is larger comes from `malloc`.
pub const LARGEST: u32 = 512;

/// Pools of an arena.
const POOLS_OF_ARENA: u64 = 64;

/// Most blocks of a pool: 16 KiB in blocks of 16 bytes.
const MOST_BLOCKS: usize = 1024;

/// A pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its address.
    pub address: u64,
    /// Bytes of each of its blocks.
    pub block_bytes: u32,
    /// Blocks that were ever used.
    pub carved: u32,
    /// Blocks in use, as the pool counts them.
    pub live: u32,
    /// The number of its arena.
    arena: u32,
    /// Its first free block.
    free: u64,
    /// Whether its list of free blocks agrees with its count.
    pub is_sound: bool,
}

/// Which blocks of a pool are free.
#[derive(Clone, Copy, Debug)]
pub struct Free([u64; MOST_BLOCKS / 64]);

impl Free {
    fn has(&self, block: u32) -> bool {
        self.0.get(block as usize / 64).is_some_and(|word| word >> (block % 64) & 1 != 0)
    }

    fn add(&mut self, block: u32) {
        if let Some(word) = self.0.get_mut(block as usize / 64) {
            *word |= 1 << (block % 64);
        }
    }
}

impl Pool {
    /// The pool that lies at this address, if one does. `bytes` is what there is from there on.
    pub fn at(address: u64, bytes: &[u8], pool_bytes: u64) -> Option<Self> {
        let head: &[u8; HEAD as usize] = bytes.first_chunk()?;
        let word = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let half = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let (size_class, next, last) = (half(36), half(40), half(44));
        // Nothing else is looked at where this does not hold, as nearly everywhere.
        if size_class >= LARGEST / ALIGNMENT || last == 0 {
            return None;
        }
        let block_bytes = (size_class + 1) * ALIGNMENT;
        let is_carved = u64::from(last) + u64::from(block_bytes) == pool_bytes
            && next >= HEAD + 2 * block_bytes
            && next <= last + block_bytes
            && (next - HEAD).is_multiple_of(block_bytes);
        let is_linked = [16, 24].iter().all(|at| word(*at) % 8 == 0 && word(*at) >> 56 == 0);
        if !is_carved || !is_linked {
            return None;
        }
        let (carved, live, free) = ((next - HEAD) / block_bytes, half(0), word(8));
        let mut pool = Self { address, block_bytes, carved, live, arena: half(32), free, is_sound: false };
        if live > carved || (free != 0 && pool.block_of(free).is_none()) {
            return None;
        }
        let (_, count) = pool.free_blocks(bytes);
        pool.is_sound = count == Some(carved - live);
        Some(pool)
    }

    /// Which of its blocks begins at this address.
    fn block_of(&self, address: u64) -> Option<u32> {
        let offset = address.checked_sub(self.address)?.checked_sub(HEAD.into())?;
        let offset = u32::try_from(offset).ok()?;
        let block = offset / self.block_bytes;
        (offset % self.block_bytes == 0 && block < self.carved).then_some(block)
    }

    /// The block that this address lies in.
    pub fn block_around(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.address)?.checked_sub(HEAD.into())?;
        let block = offset / u64::from(self.block_bytes);
        (block < self.carved.into()).then(|| self.block(block as u32))
    }

    /// Address of a block.
    pub fn block(&self, block: u32) -> u64 {
        self.address + u64::from(HEAD + block * self.block_bytes)
    }

    /// Its free blocks as far as their list can be followed, and how many they are if it ends as it should.
    pub fn free_blocks(&self, bytes: &[u8]) -> (Free, Option<u32>) {
        let (mut free, mut count) = (Free([0; MOST_BLOCKS / 64]), 0);
        let mut at = self.free;
        while at != 0 {
            let Some(block) = self.block_of(at).filter(|block| !free.has(*block)) else { return (free, None) };
            free.add(block);
            count += 1;
            let offset = (at - self.address) as usize;
            let Some(next) = bytes.get(offset..).and_then(<[u8]>::first_chunk) else { return (free, None) };
            at = u64::from_le_bytes(*next);
        }
        (free, Some(count))
    }

    /// Calls this for each block in use, with its address and content. A block that is not all there is left out.
    pub fn for_each_live(&self, bytes: &[u8], mut visit: impl FnMut(u64, &[u8])) {
        let (free, _) = self.free_blocks(bytes);
        let blocks = bytes.get(HEAD as usize..).unwrap_or_default().chunks_exact(self.block_bytes as usize);
        for (block, content) in (0..self.carved).zip(blocks) {
            if !free.has(block) {
                visit(self.block(block), content);
            }
        }
    }
}

/// All pools in a snapshot, in order of address.
pub fn find(snapshot: &Snapshot, pool_bytes: u64) -> Vec<Pool> {
    let mut pools = Vec::new();
    for (start, bytes) in snapshot.regions() {
        let mut at = (start.next_multiple_of(pool_bytes) - start) as usize;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEAD as usize) {
            pools.extend(Pool::at(start + at as u64, &rest[..rest.len().min(pool_bytes as usize)], pool_bytes));
            at += pool_bytes as usize;
        }
    }
    keep_credible(&mut pools, pool_bytes);
    pools
}

/// Leaves out what only looks like a pool: one that is doubtful, or alone with its arena's number in its place while
/// others have that number elsewhere.
fn keep_credible(pools: &mut Vec<Pool>, pool_bytes: u64) {
    let span = pool_bytes * POOLS_OF_ARENA;
    pools.sort_unstable_by_key(|pool| (pool.arena, pool.address));
    let mut kept = Vec::with_capacity(pools.len());
    for group in pools.chunk_by(|pool, next| pool.arena == next.arena) {
        let is_beside = |pool: &Pool, other: Option<&Pool>| {
            other.is_some_and(|other| other.is_sound && other.address.abs_diff(pool.address) < span)
        };
        let sound = group.iter().filter(|pool| pool.is_sound).count();
        for (nth, pool) in group.iter().enumerate() {
            let before = group[..nth].iter().rev().find(|other| other.is_sound);
            let behind = group[nth + 1..].iter().find(|other| other.is_sound);
            let is_alone = !is_beside(pool, before) && !is_beside(pool, behind);
            if !is_alone || (pool.is_sound && sound == 1) {
                kept.push(*pool);
            }
        }
    }
    kept.sort_unstable_by_key(|pool| pool.address);
    *pools = kept;
}

/// The pool among these that an address lies in.
pub fn around(pools: &[Pool], address: u64, pool_bytes: u64) -> Option<&Pool> {
    let start = address & !(pool_bytes - 1);
    pools.binary_search_by_key(&start, |pool| pool.address).ok().map(|index| &pools[index])
}
