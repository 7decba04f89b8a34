//! The ledger: what is outstanding, per stack, from the records of the kernel side and nothing else.
//!
//! It is a pure function of the records: time comes in them, so a stored stream gives the same books as a live one.
//! It promises that for every stack outstanding = allocated - freed, and that a free it was told of leaves nothing
//! outstanding. Where allocations were sampled, sums are estimates; where frees were not watched for a time, what had
//! been outstanding is unknown from then on. It knows no names and no addresses of code: a stack is calls in modules.

mod ages;
mod amount;
mod brief;
mod by_slot;
mod classes;
mod heap;
mod mappings;
mod reuse;
mod stacks;
mod sums;

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use leak_ebpf::{AllocRecord, Draw, Frames, Record, Signature, SpillKey, SpillTime, TakeRecord};

pub use ages::{AGE_EDGES_S, AGE_PARTS, Ages};
pub use amount::Amount;
use amount::Periods;
use by_slot::BySlot;
pub use classes::Class;
use classes::Classes;
pub use heap::Block;
use heap::Heap;
use mappings::{Mappings, Piece};
use reuse::Reuses;
use stacks::Stacks;
pub use stacks::{Passage, Stack, StackIndex};
pub use sums::Sums;

use crate::process::modules::Location;

/// Everything outstanding in all traced processes.
#[derive(Debug, Default)]
pub struct Ledger {
    stacks: Stacks,
    processes: BySlot<Books>,
    sizes: Sizes,
    periods: Periods,
    totals: Sums,
    by_size: Classes,
    notes: Notes,
    reuses: Reuses,
    /// What processes had that had a child's slot before it.
    before: BySlot<Sums>,
}

/// Which allocations are written down at all, by bytes asked for.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Smallest.
    pub min: u64,
    /// Largest.
    pub max: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { min: 0, max: u64::MAX }
    }
}

/// What the ledger noticed and could not put into the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Frees of memory that was allocated before tracing began, or was refused.
    pub unknown_frees: u64,
    /// Allocations at an address that was still outstanding: its free was never seen.
    pub reused_addresses: u64,
    /// Allocations whose stack was never received.
    pub unknown_stacks: u64,
}

/// A block that is outstanding, or a stretch of a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Outstanding {
    /// Where it was allocated.
    pub stack: StackIndex,
    /// Where it begins.
    pub address: u64,
    /// Its size.
    pub bytes: u64,
    /// When it was allocated, nanoseconds of the records' clock.
    pub time: u64,
    /// What it counts for. A mapping that is in several stretches counts as a block with one of them.
    pub amount: Amount,
    /// Whether its free was watched for since.
    pub is_watched: bool,
}

/// One process's memory.
#[derive(Debug, Default)]
struct Books {
    heap: Heap,
    mappings: Mappings,
    /// What a thread's call under way has taken, until it is known to have succeeded.
    taken: HashMap<u32, Taking, RandomState>,
    /// Since when every free was watched for: of what is older, nobody knows. Never while frees are not watched.
    watched_since: u64,
}

/// See [`Books::watched_since`].
const NEVER: u64 = u64::MAX;

/// What a call has taken, and when.
#[derive(Debug)]
struct Taking {
    time: u64,
    what: Taken,
}

#[derive(Debug)]
enum Taken {
    Block(u64, Block),
    Pieces(Vec<Piece>),
    /// Nothing, but the mapping that the call copies counts, and so will the copy.
    Left,
}

impl Taken {
    fn stacks(&self) -> Vec<StackIndex> {
        match self {
            Self::Block(_, block) => vec![block.stack],
            Self::Pieces(pieces) => pieces.iter().map(|piece| piece.stack).collect(),
            Self::Left => Vec::new(),
        }
    }
}

/// Stacks that are kept whether or not they are of use.
const FEW_STACKS: usize = 4096;

impl Ledger {
    /// An empty ledger that writes down allocations of these sizes.
    pub fn new(sizes: Sizes) -> Self {
        Self { sizes, ..Self::default() }
    }

    /// Enters one record. `locate` is asked where a stack's return addresses lie, in which generation of its process's
    /// mappings, and which allocators' functions its calls have called, when the stack is new.
    pub fn enter(
        &mut self,
        record: &Record<'_>,
        locate: impl FnOnce(u16, u32, Frames<'_>) -> (Box<[Location]>, Passage),
    ) {
        match record {
            Record::Stack { head, id, is_whole, generation, frames } => {
                self.stacks.intern(*id, head.process, *is_whole, || locate(head.process, *generation, *frames));
            }
            Record::Alloc(alloc) => self.alloc(alloc),
            Record::Brief { alloc, freed } => self.brief(alloc, *freed),
            Record::Free(free) => self.free(free.head.process, free.addr, free.head.time),
            Record::Take(take) => self.take(take),
            Record::Restore(restore) => self.restore(restore.head.process, restore.head.tid),
            Record::Exec(exec) => self.forget_process(exec.head.process),
            Record::Libraries(_) | Record::Fork(_) | Record::Vfork(_) | Record::Newcomer(_) => {}
        }
    }

    /// Enters the frees that had been set aside, for want of room in the ring, before it was last read.
    pub fn enter_spilled(&mut self, frees: impl IntoIterator<Item = (SpillKey, SpillTime)>) {
        for (key, time) in frees {
            self.enter_one_spilled(key, time);
        }
        self.reuses.settle();
    }

    /// Gone is what was allocated there before it.
    fn enter_one_spilled(&mut self, key: SpillKey, time: SpillTime) {
        let process = key.process;
        if key.pages != 0 {
            let pieces = self.books(process).mappings.remove(key.addr, key.bytes(), Some(time));
            self.pieces_gone(process, &pieces, time);
            return;
        }
        self.reuses.explained_by(process, key.addr, time);
        if let Some(block) = self.books(process).heap.remove_older(key.addr, time) {
            self.block_gone(process, &block, time);
        }
    }

    /// Gives a process that was just made a copy of what its parent holds.
    pub fn fork(&mut self, parent: u16, child: u16) {
        self.begin_child(child);
        let Some(books) = self.processes.get(parent) else { return };
        let watched_since = books.watched_since;
        let blocks: Vec<(u64, Block)> = books.heap.iter().collect();
        let pieces: Vec<Piece> = books.mappings.iter().map(|(_, piece)| *piece).collect();
        let mut copies = HashMap::new();
        self.books(child).watched_since = watched_since;
        for (addr, block) in blocks {
            let Some(stack) = self.copied_stack(block.stack, child, &mut copies) else { continue };
            self.books(child).heap.insert(addr, Block { stack, ..block });
            self.came(child, stack, block.time, &self.amount_of(&block));
        }
        for piece in pieces {
            let Some(stack) = self.copied_stack(piece.stack, child, &mut copies) else { continue };
            let len = piece.end - piece.start;
            self.books(child).mappings.insert(piece.start, len, piece.time, stack);
            self.came(child, stack, piece.time, &Amount::exact(len, 1));
        }
    }

    /// What is in the books under this slot is another process's, which is gone. A slot has not often had one.
    fn begin_child(&mut self, slot: u16) {
        let was_taken = self.before.get(slot).is_some();
        let before = self.before.or_default(slot);
        if was_taken {
            let sums = self.stacks.by_process().get(slot).copied().unwrap_or_default();
            // It holds nothing any more.
            *before = Sums { allocated: sums.allocated, freed: sums.freed, ..Sums::default() };
        }
    }

    /// The stack as one of the child's.
    fn copied_stack(
        &mut self,
        stack: StackIndex,
        child: u16,
        copies: &mut HashMap<StackIndex, StackIndex>,
    ) -> Option<StackIndex> {
        if let Some(copy) = copies.get(&stack) {
            return Some(*copy);
        }
        let copy = self.stacks.copy(stack, child)?;
        copies.insert(stack, copy);
        Some(copy)
    }

    /// From now on nobody watches what a process gives back: of what it holds, nobody will know.
    pub fn unwatch(&mut self, process: u16) {
        self.books(process).watched_since = NEVER;
        for stack in self.stacks.of_process(process) {
            let outstanding = stack.sums.unwatch();
            self.totals.outstanding.subtract(&outstanding);
            self.totals.unknown.add(&outstanding);
        }
    }

    /// What a process allocates after this time, by the records' clock, is watched until it is given back.
    pub fn watch_again(&mut self, process: u16, since: u64) {
        self.books(process).watched_since = since;
    }

    /// Whether frees of this process are watched.
    pub fn is_watched(&self, process: u16) -> bool {
        self.processes.get(process).is_none_or(|books| books.watched_since != NEVER)
    }

    /// The heap blocks of a process that were not seen to be freed.
    pub fn addresses(&self, process: u16) -> impl Iterator<Item = u64> {
        self.processes.get(process).into_iter().flat_map(|books| books.heap.iter()).map(|(addr, _)| addr)
    }

    /// Drops all that a process holds, as freed: it has exited its program.
    pub fn forget_process(&mut self, process: u16) {
        let Some(books) = self.processes.get_mut(process) else { return };
        let (blocks, pieces) = (books.heap.drain(), books.mappings.drain());
        for (_, block) in blocks {
            self.gone(process, block.stack, block.time, &self.amount_of(&block));
        }
        for (piece, count) in pieces {
            self.gone(process, piece.stack, piece.time, &Amount::exact(piece.end - piece.start, count));
        }
        self.processes.remove(process);
    }

    /// Drops stacks that are of no use any more, if there are many. Gives the ids that the kernel side must forget, or it
    /// would not send those stacks again.
    pub fn sweep(&mut self) -> Vec<u64> {
        if self.stacks.len() < FEW_STACKS {
            return Vec::new();
        }
        let taken: HashSet<StackIndex, RandomState> = self
            .processes
            .iter()
            .flat_map(|books| books.taken.values())
            .flat_map(|taking| taking.what.stacks())
            .collect();
        self.stacks.sweep(|stack| taken.contains(&stack))
    }

    /// Sums over everything.
    pub fn totals(&self) -> Sums {
        self.totals
    }

    /// Sums over everything of each of these processes, by their slots. It looks at every stack.
    pub fn totals_of(&self, slots: impl IntoIterator<Item = u16>) -> Vec<Sums> {
        let all = self.stacks.by_process();
        let totals = slots.into_iter().map(|slot| {
            let mut sums = all.get(slot).copied().unwrap_or_default();
            if let Some(before) = self.before.get(slot) {
                sums.subtract(before);
            }
            sums
        });
        totals.collect()
    }

    /// What was allocated, by size.
    pub fn allocated_by_size(&self) -> impl Iterator<Item = Class> + '_ {
        self.by_size.iter()
    }

    /// What is outstanding, by size, smallest first. It looks at every block.
    pub fn held_by_size(&self) -> Vec<Class> {
        let mut held = Classes::default();
        self.for_each_outstanding(|block| held.add(block.bytes, &block.amount));
        held.iter().collect()
    }

    /// What could not be put into the books.
    pub fn notes(&self) -> Notes {
        Notes { reused_addresses: self.reuses.unexplained(), ..self.notes }
    }

    /// Every stack that ever allocated, with its index.
    pub fn stacks(&self) -> impl Iterator<Item = (StackIndex, &Stack)> {
        self.stacks.iter()
    }

    /// Calls `visit` with each outstanding block, in no order.
    pub fn for_each_outstanding(&self, mut visit: impl FnMut(Outstanding)) {
        for books in self.processes.iter() {
            for (address, block) in books.heap.iter() {
                let Block { stack, time, size: bytes, .. } = block;
                let (amount, is_watched) = (self.amount_of(&block), time >= books.watched_since);
                visit(Outstanding { stack, address, bytes, time, amount, is_watched });
            }
            let mut seen = HashSet::new();
            for (address, piece) in books.mappings.iter() {
                let Piece { stack, time, .. } = *piece;
                let bytes = piece.end - piece.start;
                let amount = Amount::exact(bytes, u64::from(seen.insert(piece.owner)));
                visit(Outstanding { stack, address, bytes, time, amount, is_watched: time >= books.watched_since });
            }
        }
    }

    fn books(&mut self, process: u16) -> &mut Books {
        self.processes.or_default(process)
    }

    fn alloc(&mut self, alloc: &AllocRecord) {
        let process = alloc.head.process;
        let signature = Signature::from_u8(alloc.head.signature);
        let moved = match signature {
            Some(signature) if signature.may_move() => self.books(process).taken.remove(&alloc.head.tid),
            _ => None,
        };
        // A mapping from before tracing, or of a file, is not ours to count because it was moved. What it was moved over
        // is gone all the same.
        if matches!(signature, Some(Signature::Mremap | Signature::MremapCopy)) && moved.is_none() {
            self.unmapped(process, alloc.addr, page_rounded(alloc.size), alloc.head.time);
            return;
        }
        let is_mapping = signature.is_some_and(Signature::is_mapping);
        if !(self.sizes.min..=self.sizes.max).contains(&alloc.size) {
            return;
        }
        let Some(stack) = self.stacks.index(alloc.stack) else {
            self.notes.unknown_stacks += 1;
            return;
        };
        let draw = Draw::unpack(alloc.draw);
        if self.stacks.get(stack).is_some_and(|stack| stack.passage.leads_inside(draw.function, is_mapping)) {
            return;
        }
        // Whatever a hostile target claims of its size, the sums must stay sums.
        let (time, size, addr) = (alloc.head.time, alloc.size.min(heap::MAX_SIZE), alloc.addr);
        if is_mapping {
            let len = page_rounded(size);
            self.unmapped(process, addr, len, time);
            self.books(process).mappings.insert(addr, len, time, stack);
            let amount = Amount::exact(len, 1);
            self.by_size.add(len, &amount);
            self.came(process, stack, time, &amount);
        } else {
            let block = Block { size, time, stack, period: self.periods.number(draw.period) };
            let books = self.books(process);
            let watched_since = books.watched_since;
            if let Some(older) = books.heap.insert(addr, block) {
                // While nobody watched, it may well have been freed.
                if older.time >= watched_since {
                    self.reuses.noticed(process, addr, older.time);
                }
                self.block_gone(process, &older, time);
            }
            let amount = self.amount_of(&block);
            self.by_size.add(size, &amount);
            self.came(process, stack, time, &amount);
        }
    }

    fn free(&mut self, process: u16, addr: u64, time: u64) {
        match self.books(process).heap.remove(addr) {
            Some(block) => self.block_gone(process, &block, time),
            None => self.notes.unknown_frees += 1,
        }
    }

    fn unmapped(&mut self, process: u16, addr: u64, len: u64, time: u64) {
        let pieces = self.books(process).mappings.remove(addr, len, None);
        self.pieces_gone(process, &pieces, time);
    }

    fn take(&mut self, take: &TakeRecord) {
        let (process, time) = (take.head.process, take.head.time);
        let signature = Signature::from_u8(take.head.signature);
        let taken = if signature == Some(Signature::MremapCopy) {
            self.books(process).mappings.is_any_at(take.addr, take.len).then_some(Taken::Left)
        } else if signature.is_some_and(Signature::is_mapping) {
            let pieces = self.books(process).mappings.remove(take.addr, page_rounded(take.len), None);
            self.pieces_gone(process, &pieces, time);
            if pieces.is_empty() { None } else { Some(Taken::Pieces(pieces)) }
        } else {
            let block = self.books(process).heap.remove(take.addr);
            match &block {
                Some(block) => self.block_gone(process, block, time),
                None => self.notes.unknown_frees += 1,
            }
            block.map(|block| Taken::Block(take.addr, block))
        };
        match taken {
            Some(what) => self.books(process).taken.insert(take.head.tid, Taking { time, what }),
            None => self.books(process).taken.remove(&take.head.tid),
        };
    }

    fn restore(&mut self, process: u16, tid: u32) {
        let Some(Taking { time, what }) = self.books(process).taken.remove(&tid) else { return };
        match what {
            Taken::Block(addr, block) => {
                self.books(process).heap.insert(addr, block);
                self.back(process, block.stack, block.time, &self.amount_of(&block), time);
            }
            Taken::Pieces(pieces) => {
                for piece in pieces {
                    let revived = self.books(process).mappings.put_back(piece);
                    let amount = Amount::exact(piece.end - piece.start, u64::from(revived));
                    self.back(process, piece.stack, piece.time, &amount, time);
                }
            }
            Taken::Left => {}
        }
    }

    fn amount_of(&self, block: &Block) -> Amount {
        Amount::of(block.size, self.periods.get(block.period))
    }

    fn came(&mut self, process: u16, stack: StackIndex, time: u64, amount: &Amount) {
        self.enter_both(process, stack, time, |sums, is_watched| sums.came(amount, is_watched));
    }

    fn gone(&mut self, process: u16, stack: StackIndex, time: u64, amount: &Amount) -> Option<&mut Stack> {
        self.enter_both(process, stack, time, |sums, is_watched| sums.gone(amount, is_watched))
    }

    /// It was gone at `freed`.
    fn freed(&mut self, process: u16, stack: StackIndex, time: u64, amount: &Amount, freed: u64) {
        if let Some(stack) = self.gone(process, stack, time, amount) {
            stack.lifetimes.add(freed.saturating_sub(time), blocks(amount));
        }
    }

    /// It was gone at `freed`, and is not after all.
    fn back(&mut self, process: u16, stack: StackIndex, time: u64, amount: &Amount, freed: u64) {
        if let Some(stack) = self.enter_both(process, stack, time, |sums, is_watched| sums.back(amount, is_watched)) {
            stack.lifetimes.subtract(freed.saturating_sub(time), blocks(amount));
        }
    }

    /// Enters what happened to memory that was allocated at `time` into the totals and the sums of its stack. Gives the
    /// stack.
    fn enter_both(
        &mut self,
        process: u16,
        stack: StackIndex,
        time: u64,
        enter: impl Fn(&mut Sums, bool),
    ) -> Option<&mut Stack> {
        let is_watched = self.processes.get(process).is_none_or(|books| time >= books.watched_since);
        enter(&mut self.totals, is_watched);
        let stack = self.stacks.get_mut(stack)?;
        enter(&mut stack.sums, is_watched);
        Some(stack)
    }

    fn block_gone(&mut self, process: u16, block: &Block, freed: u64) {
        self.freed(process, block.stack, block.time, &self.amount_of(block), freed);
    }

    fn pieces_gone(&mut self, process: u16, pieces: &[Piece], freed: u64) {
        for piece in pieces {
            let last = !self.books(process).mappings.is_owner_alive(piece.owner)
                && pieces.iter().rfind(|other| other.owner == piece.owner) == Some(piece);
            let amount = Amount::exact(piece.end - piece.start, u64::from(last));
            self.freed(process, piece.stack, piece.time, &amount, freed);
        }
    }
}

/// How many blocks it counts for, whole ones.
fn blocks(amount: &Amount) -> u64 {
    // Without `round`, which is a call of the C library's here.
    (amount.count + 0.5) as u64
}

/// The kernel maps whole pages, whatever was asked for.
fn page_rounded(len: u64) -> u64 {
    len.saturating_add(4095) & !4095
}

#[cfg(test)]
mod tests;
