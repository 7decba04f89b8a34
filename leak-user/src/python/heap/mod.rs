//! What is in an interpreter's heap: which blocks are in use, which object each holds, and of what type it is.
//!
//! The blocks are found in a snapshot by how the interpreter's allocator writes them ([`pools`], [`large`]), the objects
//! in them by how they begin ([`objects`]). So also what the collector does not know is counted, and what was there before
//! anybody looked. Types are found on the way ([`types`]). A heap that does not come from that allocator is refused.

mod large;
#[cfg(test)]
mod made_up;
mod objects;
mod pools;
mod shape;
#[cfg(test)]
mod tests;
mod types;

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::{
    interpreter::Interpreter,
    layout::{BYTEARRAY_DATA, DEQUE_BLOCK, GC_HEAD, LIST_ITEMS, SIZE, of_dict, of_set},
    reader::Reader,
    snapshot::Snapshot,
};
use large::Large;
use objects::{Finder, Held, beginning, is_count};
use pools::Pool;
pub use shape::{Outside, Shape};
use types::Types;
pub use types::{Type, TypeIndex};

/// See the module. It reads the snapshot that it was found in.
#[derive(Debug)]
pub struct Heap<'s> {
    /// What it reads.
    pub reader: Reader<'s>,
    /// Types that have objects, those with most bytes first.
    pub types: Vec<TypeCount>,
    /// Blocks in use: in pools, and of large objects.
    pub live_blocks: u64,
    /// Bytes of them.
    pub live_bytes: u64,
    /// Pools that blocks were found in.
    pub pools: u64,
    /// Pools that were being changed as they were read, so that not all of their blocks are judged right.
    pub doubtful: u64,
    /// How long finding all this took, without the snapshot.
    pub took: Duration,
    found_pools: Vec<Pool>,
    large: Vec<Large>,
    known: RefCell<Types>,
}

/// How many objects of a type there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeCount {
    /// The type, by its place.
    pub index: TypeIndex,
    /// The type.
    pub kind: Arc<Type>,
    /// Its objects.
    pub count: u64,
    /// Bytes of their blocks, and of those that belong to them alone: items of a list, tables of dicts and sets, values
    /// of instances.
    pub bytes: u64,
}

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where it is, behind the heads ahead of it: what pointers to it hold.
    pub address: u64,
    /// Its block.
    pub block: u64,
    /// Bytes of the block.
    pub block_bytes: u64,
    /// Its type.
    pub kind: TypeIndex,
}

impl<'s> Heap<'s> {
    /// The heap of an interpreter as a snapshot has it.
    pub fn scan(interpreter: &'s Interpreter, snapshot: &'s Snapshot) -> Result<Self> {
        let heap = Self::of(Reader::new(interpreter, snapshot));
        let pid = interpreter.pid;
        let modules = interpreter.states().last().and_then(|state| {
            let field = state.checked_add(interpreter.layout.interpreter.modules)?;
            interpreter.memory.pointer(field)
        });
        let block = modules.and_then(|modules| heap.block_of_small(modules));
        ensure!(block.is_some() || !interpreter.is_gone(), "process {pid} ended while it was looked at");
        ensure!(
            block.is_some(),
            "the objects of Python in process {pid} do not come from Python's own allocator (PYTHONMALLOC=malloc, or a \
             build without it), so they cannot be told apart; trace it as any program, by `leaktrace -p {pid}`"
        );
        // A dict has a head of the collector and nothing else ahead of it.
        ensure!(
            block.zip(modules).is_some_and(|(block, modules)| block + GC_HEAD == modules),
            "Python in process {pid} runs with debug hooks on its allocator (PYTHONMALLOC=debug, or -X dev), which put \
             objects elsewhere; look at one that runs without"
        );
        Ok(heap)
    }

    /// The heap in a snapshot, whosever it is.
    pub fn of(reader: Reader<'s>) -> Self {
        let began = Instant::now();
        let mut known = Types::default();
        let found_pools = pools::find(reader.snapshot, reader.layout.pool_bytes);
        let mut heap = Self {
            reader,
            types: Vec::new(),
            live_blocks: found_pools.iter().map(|pool| u64::from(pool.live)).sum(),
            live_bytes: found_pools.iter().map(|pool| u64::from(pool.live) * u64::from(pool.block_bytes)).sum(),
            pools: found_pools.len() as u64,
            doubtful: found_pools.iter().filter(|pool| !pool.is_sound).count() as u64,
            took: Duration::ZERO,
            found_pools,
            large: Vec::new(),
            known: RefCell::default(),
        };
        let mut sums: Vec<(u64, u64)> = Vec::new();
        let mut add = |kind: TypeIndex, bytes: u64| {
            let place = kind.place();
            if sums.len() <= place {
                sums.resize(place + 1, (0, 0));
            }
            sums[place].0 += 1;
            sums[place].1 = sums[place].1.saturating_add(bytes);
        };
        heap.for_each_small(&mut known, |content, object, held| {
            add(held.kind, object.block_bytes.saturating_add(heap.bytes_outside(content, object.address, held.shape)));
        });
        let large = large::find(&reader, &heap.found_pools, &mut known);
        for object in &large {
            let shape = known.shape(object.kind).copied();
            let address = object.block + object.head;
            let outside = shape
                .zip(reader.snapshot.tail(address))
                .map_or(0, |(shape, content)| heap.bytes_outside(content, address, shape));
            add(object.kind, object.block_bytes.saturating_add(outside));
            heap.live_blocks += 1;
            heap.live_bytes = heap.live_bytes.saturating_add(object.block_bytes);
        }
        let counts = known.all().zip(sums).filter(|(_, (count, _))| *count > 0);
        heap.types = counts
            .map(|((index, kind), (count, bytes))| TypeCount { index, kind: kind.clone(), count, bytes })
            .collect();
        heap.types.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.kind.name.cmp(&other.kind.name)));
        heap.large = large;
        heap.known = RefCell::new(known);
        heap.took = began.elapsed();
        heap
    }

    /// Calls this for every object: first those in pools in order of address, then the large ones.
    pub fn for_each_object(&self, mut visit: impl FnMut(Object)) {
        let mut small = Vec::new();
        let mut finder = Finder::new(&self.reader);
        for pool in &self.found_pools {
            self.for_each_of(pool, &mut finder, &mut self.known.borrow_mut(), |_, object, _| small.push(object));
            // Types may be asked for meanwhile.
            small.drain(..).for_each(&mut visit);
        }
        let large = self.large.iter().map(|large| Object {
            address: large.block + large.head,
            block: large.block,
            block_bytes: large.block_bytes,
            kind: large.kind,
        });
        large.for_each(visit);
    }

    /// The type of the object at this address, if what is there begins like one. It may lie anywhere: in a pool, in other
    /// memory, or in the interpreter's own data.
    pub fn type_of(&self, address: u64) -> Option<TypeIndex> {
        if !address.is_multiple_of(8) {
            return None;
        }
        let object = self.reader.snapshot.tail(address)?;
        let (references, of) = beginning(object)?;
        let is_object = of != 0 && of.is_multiple_of(8) && is_count(references, self.reader.version.minor);
        is_object.then(|| self.known.borrow_mut().find(of, &self.reader)).flatten()
    }

    /// The type at this place.
    pub fn kind(&self, index: TypeIndex) -> Option<Arc<Type>> {
        self.known.borrow().get(index).cloned()
    }

    /// Bytes of the block that begins at this address or, in a pool, around it; 0 if none is known there.
    pub fn block_bytes_at(&self, address: u64) -> u64 {
        large::bytes_around(&self.reader, &self.found_pools, address)
    }

    /// The block in a pool that this address lies in.
    fn block_of_small(&self, address: u64) -> Option<u64> {
        pools::around(&self.found_pools, address, self.reader.layout.pool_bytes)?.block_around(address)
    }

    fn for_each_small(&self, known: &mut Types, mut visit: impl FnMut(&[u8], Object, Held)) {
        let mut finder = Finder::new(&self.reader);
        for pool in &self.found_pools {
            self.for_each_of(pool, &mut finder, known, &mut visit);
        }
    }

    fn for_each_of(
        &self,
        pool: &Pool,
        finder: &mut Finder<'_, '_>,
        known: &mut Types,
        mut visit: impl FnMut(&[u8], Object, Held),
    ) {
        let bytes = self.reader.snapshot.tail(pool.address).unwrap_or_default();
        let bytes = bytes.get(..self.reader.layout.pool_bytes as usize).unwrap_or(bytes);
        let block_bytes = u64::from(pool.block_bytes);
        pool.for_each_live(bytes, |block, content| {
            if let Some(held) = finder.held_in(content, block_bytes, u64::from(pools::ALIGNMENT) - 1, known) {
                let object = Object { address: block + held.head, block, block_bytes, kind: held.kind };
                visit(&content[held.head as usize..], object, held);
            }
        });
    }

    /// Bytes of the blocks that belong to an object alone, which begins like this.
    fn bytes_outside(&self, object: &[u8], address: u64, shape: Shape) -> u64 {
        let word = |at: u64| {
            let bytes = object.get(at as usize..).and_then(<[u8]>::first_chunk);
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let at = match shape.outside {
            Outside::Nothing => 0,
            Outside::Blocks => {
                let (items, bytes) = DEQUE_BLOCK;
                let bytes = (word(SIZE) / items + 1).saturating_mul(bytes);
                // More than there is at all is the target's mere word.
                return Some(bytes).filter(|bytes| *bytes <= self.reader.snapshot.bytes_read()).unwrap_or(0);
            }
            Outside::Bytes => word(BYTEARRAY_DATA),
            Outside::Items => word(LIST_ITEMS),
            // Keys that are shared are no single dict's.
            Outside::Keys => Some(word(of_dict::VALUES)).filter(|values| *values != 0).unwrap_or(word(of_dict::KEYS)),
            // A small one is in the set itself.
            Outside::Places => {
                Some(word(of_set::TABLE)).filter(|table| table.wrapping_sub(address) > shape.basic).unwrap_or(0)
            }
            Outside::Values => self.values_of(address),
        };
        if at == 0 { 0 } else { self.block_bytes_at(at) }
    }

    /// Where the interpreter keeps the values of an instance, by the head ahead of it.
    fn values_of(&self, address: u64) -> u64 {
        let before = |bytes: u64| address.checked_sub(bytes).and_then(|at| self.reader.snapshot.word(at)).unwrap_or(0);
        if self.reader.version.minor == 11 {
            return before(32);
        }
        // Its lowest bit says that it is no dict.
        Some(before(24)).filter(|values| values & 1 != 0).map_or(0, |values| values & !1)
    }
}
