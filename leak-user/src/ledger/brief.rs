//! Blocks that were gone before anybody read of them: most are. They come to the sums alone.

use leak_ebpf::{AllocRecord, Draw, Signature};

use super::{Amount, Ledger, blocks, heap};

impl Ledger {
    /// Enters a block that was freed at `freed`: what is left is as if its allocation and its free were entered.
    pub(super) fn brief(&mut self, alloc: &AllocRecord, freed: u64) {
        if self.pass(alloc, freed).is_none() {
            self.alloc(alloc);
            self.free(alloc.head.process, alloc.addr, freed);
        }
    }

    /// Enters it where it leaves nothing but sums. `None` where there is more to it.
    fn pass(&mut self, alloc: &AllocRecord, freed: u64) -> Option<()> {
        let Draw { period, function } = Draw::unpack(alloc.draw);
        let moves_nothing = Signature::from_u8(alloc.head.signature)
            .is_some_and(|signature| !signature.may_move() && !signature.is_mapping());
        let size = alloc.size.min(heap::MAX_SIZE);
        if !moves_nothing || !(self.sizes.min..=self.sizes.max).contains(&alloc.size) {
            return None;
        }
        let index = self.stacks.index(alloc.stack)?;
        if self.books(alloc.head.process).heap.contains(alloc.addr) {
            return None;
        }
        let stack = self.stacks.get_mut(index).filter(|stack| !stack.passage.leads_inside(function, false))?;
        let amount = Amount::of(size, period);
        stack.sums.passed(&amount);
        stack.lifetimes.add(freed.saturating_sub(alloc.head.time), blocks(&amount));
        self.totals.passed(&amount);
        self.by_size.add(size, &amount);
        Some(())
    }
}
