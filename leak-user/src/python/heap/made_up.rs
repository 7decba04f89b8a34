//! Memory of an interpreter that nobody ran, made of random bytes: for tests and fuzzers.
//!
//! Random words alone would never be a pool. So the heads of pools are right but for what the bytes say, and of the
//! words that follow many are addresses of what else is there: the type of all types, at the very beginning, is the
//! only thing that is always right.

use super::{Heap, Object};

/// Where it lies. Its first words are the type of all types.
pub const START: u64 = 0x7f00_0000_0000;

/// Pools of it, behind a stretch of types.
const POOLS: u64 = 6;

/// Bytes between types.
const TYPE_BYTES: u64 = 1024;

/// The memory that these bytes make.
pub fn memory(data: &[u8], pool_bytes: u64) -> Vec<u8> {
    let mut draw = Draw { data, at: 0, state: 1 };
    let mut words: Vec<u64> = Vec::new();
    for nth in 0..pool_bytes / TYPE_BYTES {
        words.extend(kind(nth, &mut draw));
    }
    for _ in 0..POOLS {
        words.extend(pool(pool_bytes, &mut draw));
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A type at this place.
fn kind(nth: u64, draw: &mut Draw<'_>) -> Vec<u64> {
    let mut words = vec![0; TYPE_BYTES as usize / 8];
    // Few of them: each makes another type of it.
    let flags = draw.next() & draw.next() & draw.next() & 0xff05_431c | 1 << 12;
    words[0] = 1;
    words[1] = if nth == 0 || !draw.next().is_multiple_of(4) { START } else { draw.pointer() };
    // Its name is its last word.
    words[3] = START + nth * TYPE_BYTES + TYPE_BYTES - 8;
    words[4] = if nth == 0 { 904 } else { 16 + draw.next() % 112 };
    words[5] = if draw.next().is_multiple_of(2) { 0 } else { draw.next() % 32 };
    words[21] = if nth == 0 { 1 << 31 | 1 << 14 } else { flags };
    for field in [33, 105, 106, 107, 108, 109] {
        words[field] = draw.pointer();
    }
    if let Some(name) = words.last_mut() {
        *name = u64::from_le_bytes(*b"set\0\0\0\0\0") + nth / 4;
    }
    words
}

/// A pool: its head, nearly right, and words.
fn pool(pool_bytes: u64, draw: &mut Draw<'_>) -> Vec<u64> {
    let class = draw.next() % if draw.next().is_multiple_of(4) { 32 } else { 8 };
    let size = (class + 1) * 16;
    let blocks = (pool_bytes - 48) / size;
    let free = if draw.next().is_multiple_of(2) { draw.pointer() } else { 0 };
    let live = blocks.saturating_sub(draw.next() % 3);
    let mut words = vec![live, free, 0, 0, class << 32, (48 + blocks * size) | (pool_bytes - size) << 32];
    if draw.next().is_multiple_of(16) {
        let field = draw.next() as usize % words.len();
        words[field] ^= draw.next();
    }
    while words.len() < pool_bytes as usize / 8 {
        let is_first = (words.len() as u64 - 6).is_multiple_of(size / 8);
        if is_first && draw.next().is_multiple_of(2) {
            // The head of the collector, and of an object.
            words.extend(&[0; 4][..draw.next() as usize % 3 * 2]);
            words.extend([1, START + draw.next() % (pool_bytes / TYPE_BYTES) * TYPE_BYTES]);
        }
        words.push(match draw.next() % 4 {
            0 => draw.next(),
            1 => draw.next() % 8,
            2 => START + draw.next() % 16 * TYPE_BYTES,
            _ => draw.pointer(),
        });
    }
    words.truncate(pool_bytes as usize / 8);
    words
}

/// Words that the bytes say and, once they are at their end, random ones.
struct Draw<'d> {
    data: &'d [u8],
    at: usize,
    state: u64,
}

impl Draw<'_> {
    fn next(&mut self) -> u64 {
        let said = self.data.get(self.at..).and_then(<[u8]>::first_chunk).map(|bytes| u64::from_le_bytes(*bytes));
        self.at += 8;
        self.state =
            (self.state ^ said.unwrap_or(0)).wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        said.unwrap_or(self.state >> 11 ^ self.state)
    }

    /// An address in what is made, mostly.
    fn pointer(&mut self) -> u64 {
        START + self.next() % (1 << 17) / 8 * 8
    }
}

/// Fails unless what a heap says of itself goes together.
pub fn check(heap: &Heap<'_>, bytes: u64) {
    let end = START + bytes;
    let mut objects: Vec<Object> = Vec::new();
    heap.for_each_object(|object| objects.push(object));
    let mut told = 0;
    for counted in &heap.types {
        told += counted.count;
        let of_kind = objects.iter().filter(|object| object.kind == counted.index).count() as u64;
        assert_eq!(counted.count, of_kind, "{}", counted.kind.name);
        assert!(counted.kind.name.chars().count() <= 512);
    }
    assert_eq!(told, objects.len() as u64);
    for object in &objects {
        assert!(object.block >= START && object.block + object.block_bytes <= end, "{object:x?}");
        assert!((object.block..object.block + object.block_bytes).contains(&object.address), "{object:x?}");
        assert_eq!(heap.type_of(object.address), Some(object.kind), "{object:x?}");
    }
    let small = objects.iter().filter(|object| object.block_bytes <= 512);
    assert!(small.is_sorted_by(|one, next| one.block + one.block_bytes <= next.block), "blocks overlap");
    for address in (START..end).step_by(4096).chain([0, 1, 7, 8, u64::MAX, u64::MAX - 7]) {
        let _ = (heap.type_of(address), heap.block_bytes_at(address), heap.reader.string(address, 100));
        assert!(heap.reader.entries(address, 100).count() <= 100);
    }
}
