//! The stacks that allocated, each once, with its sums.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{Ages, Sums, by_slot::BySlot};
use crate::process::modules::Location;

/// Place of a stack in the ledger. Small, because every outstanding block carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackIndex(pub(super) u32);

impl StackIndex {
    /// The stack's place in the order in which stacks appeared.
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

/// A stack and its sums since tracing began.
#[derive(Clone, Debug)]
pub struct Stack {
    /// The id that the kernel side gave it: it covers frames and process.
    pub id: u64,
    /// The process slot.
    pub process: u16,
    /// Whether its walk reached the bottom.
    pub is_whole: bool,
    /// Its calls, from the allocator's caller outwards.
    pub frames: Box<[Location]>,
    /// Which functions of allocators its calls have called.
    pub passage: Passage,
    /// Sums over its blocks.
    pub sums: Sums,
    /// Blocks that were freed, by the age that they reached. What was lost with its process was not freed.
    pub lifetimes: Ages,
}

/// Which functions of allocators the calls of a stack have called, as far as that can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// The number of the one that its innermost call has called, or 0.
    pub innermost: u16,
    /// Whether another of its calls has called one.
    pub is_inside: bool,
    /// Whether it leaves the allocator's file by a call of which nothing is known.
    pub may_be_inside: bool,
}

impl Passage {
    /// Whether a call of this function with such a stack is one that an allocator made to itself. Of address space, an
    /// allocator asks for itself more often than a program that calls it from its own library does.
    pub fn leads_inside(&self, function: u16, is_mapping: bool) -> bool {
        let went_on = self.innermost != 0 && self.innermost != function;
        function != 0 && (self.is_inside || went_on || is_mapping && self.may_be_inside)
    }
}

/// Most stacks: a block has 24 bits for its own.
const MOST: usize = 1 << 24;

/// All stacks.
#[derive(Debug, Default)]
pub struct Stacks {
    all: Vec<Option<Entry>>,
    by_id: HashMap<u64, StackIndex, RandomState>,
    /// Places whose stack was dropped.
    free: Vec<StackIndex>,
    /// What those had that were dropped, by process.
    dropped: BySlot<Sums>,
}

#[derive(Debug)]
struct Entry {
    stack: Stack,
    /// How many of its blocks had been seen at the last sweep.
    swept_at: u64,
    /// Whether the kernel side was told to forget it.
    is_condemned: bool,
}

impl Stacks {
    /// Takes note of a stack; one that is known already stays as it is.
    /// Beyond [`MOST`] of them it is not noted.
    pub fn intern(
        &mut self,
        id: u64,
        process: u16,
        is_whole: bool,
        walked: impl FnOnce() -> (Box<[Location]>, Passage),
    ) {
        if self.by_id.contains_key(&id) || self.by_id.len() == MOST {
            return;
        }
        let (frames, passage) = walked();
        let stack = Stack { id, process, is_whole, frames, passage, sums: Sums::default(), lifetimes: Ages::default() };
        let entry = Some(Entry { stack, swept_at: 0, is_condemned: false });
        let index = if let Some(index) = self.free.pop() {
            self.all[index.place()] = entry;
            index
        } else {
            self.all.push(entry);
            StackIndex((self.all.len() - 1) as u32)
        };
        self.by_id.insert(id, index);
    }

    /// The same stack in another process. Its id is none that the kernel side gives.
    pub fn copy(&mut self, index: StackIndex, process: u16) -> Option<StackIndex> {
        let original = &self.all.get(index.place())?.as_ref()?.stack;
        let id = original.id ^ (u64::from(process) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (is_whole, walked) = (original.is_whole, (original.frames.clone(), original.passage));
        self.intern(id, process, is_whole, || walked);
        self.index(id)
    }

    /// The stack with this id.
    pub fn index(&self, id: u64) -> Option<StackIndex> {
        self.by_id.get(&id).copied()
    }

    /// The stack at this place, as long as something refers to it.
    pub fn get(&self, index: StackIndex) -> Option<&Stack> {
        self.all.get(index.place())?.as_ref().map(|entry| &entry.stack)
    }

    /// The stack at this place, as long as something refers to it.
    pub fn get_mut(&mut self, index: StackIndex) -> Option<&mut Stack> {
        self.all.get_mut(index.place())?.as_mut().map(|entry| &mut entry.stack)
    }

    /// All of one process.
    pub fn of_process(&mut self, process: u16) -> impl Iterator<Item = &mut Stack> {
        self.all.iter_mut().flatten().map(|entry| &mut entry.stack).filter(move |stack| stack.process == process)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (StackIndex, &Stack)> {
        let indexed = self.all.iter().enumerate();
        indexed.filter_map(|(place, entry)| Some((StackIndex(place as u32), &entry.as_ref()?.stack)))
    }

    /// The sums of each process that ever had a stack, by its slot. They are added up here, so that no event has to.
    pub fn by_process(&self) -> BySlot<Sums> {
        let mut sums = self.dropped.clone();
        for (_, stack) in self.iter() {
            sums.or_default(stack.process).add(&stack.sums);
        }
        sums
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Drops stacks that hold nothing, allocate nothing any more and are not `in_use`: first the kernel side must forget
    /// them, or it would not send them again. Gives the ids that it must forget now; those go at the next sweep if
    /// they are idle until then.
    pub fn sweep(&mut self, in_use: impl Fn(StackIndex) -> bool) -> Vec<u64> {
        let mut to_forget = Vec::new();
        for (place, slot) in self.all.iter_mut().enumerate() {
            let index = StackIndex(place as u32);
            let Some(entry) = slot else { continue };
            let stack = &entry.stack;
            let is_idle =
                stack.sums.held().is_nothing() && stack.sums.allocated.seen == entry.swept_at && !in_use(index);
            if is_idle && entry.is_condemned {
                self.by_id.remove(&stack.id);
                self.free.push(index);
                self.dropped.or_default(stack.process).add(&stack.sums);
                *slot = None;
                continue;
            }
            if is_idle {
                to_forget.push(stack.id);
            }
            entry.is_condemned = is_idle;
            entry.swept_at = entry.stack.sums.allocated.seen;
        }
        to_forget
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Amount, *};

    fn stacks(ids: impl IntoIterator<Item = u64>) -> Stacks {
        let mut stacks = Stacks::default();
        ids.into_iter().for_each(|id| stacks.intern(id, 0, true, Default::default));
        stacks
    }

    #[test]
    fn a_stack_that_holds_nothing_goes_once_the_kernel_side_has_forgotten_it() {
        let mut stacks = stacks([1, 2]);
        let held = stacks.index(2).unwrap();
        stacks.get_mut(held).unwrap().sums.came(&Amount::exact(8, 1), true);
        assert_eq!(stacks.sweep(|_| false), [1]);
        assert_eq!(stacks.len(), 2);
        assert_eq!(stacks.sweep(|_| false), [0; 0]);
        assert_eq!(stacks.iter().map(|(_, stack)| stack.id).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_stack_that_allocates_again_stays() {
        let mut stacks = stacks([1]);
        let index = stacks.index(1).unwrap();
        assert_eq!(stacks.sweep(|_| false), [1]);
        let sums = &mut stacks.get_mut(index).unwrap().sums;
        sums.came(&Amount::exact(8, 1), true);
        sums.gone(&Amount::exact(8, 1), true);
        assert_eq!(stacks.sweep(|_| false), [0; 0]);
        assert_eq!(stacks.index(1), Some(index));
    }

    #[test]
    fn what_a_stack_had_that_went_stays_with_its_process() {
        let mut stacks = stacks([1]);
        let index = stacks.index(1).unwrap();
        let sums = &mut stacks.get_mut(index).unwrap().sums;
        sums.came(&Amount::exact(8, 1), true);
        sums.gone(&Amount::exact(8, 1), true);
        let freed = |stacks: &Stacks| stacks.by_process().get(0).map(|sums| sums.freed.bytes as u64);
        assert_eq!(freed(&stacks), Some(8));
        (0..3).for_each(|_| drop(stacks.sweep(|_| false)));
        assert_eq!((stacks.len(), freed(&stacks)), (0, Some(8)));
    }

    #[test]
    fn a_place_is_used_again() {
        let mut stacks = stacks([1]);
        stacks.sweep(|_| false);
        stacks.sweep(|_| false);
        stacks.intern(3, 0, true, Default::default);
        assert_eq!(stacks.index(3), Some(StackIndex(0)));
    }
}
