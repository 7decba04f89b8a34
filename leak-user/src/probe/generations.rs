//! How often each process has changed what it runs, as the kernel side counts: what an address means depends on it.

use std::{cell::RefCell, rc::Rc};

use anyhow::Result;
use aya::maps::{Array, Map, MapData};
use leak_ebpf::Changes;

/// The counts, by process slot.
#[derive(Clone)]
pub struct Generations(Rc<RefCell<Array<MapData, u64>>>);

impl Generations {
    pub(super) fn new(map: Map) -> Result<Self> {
        Ok(Self(Rc::new(RefCell::new(Array::try_from(map)?))))
    }

    /// How often the process in this slot has changed; not at all for a slot that is none.
    pub fn of(&self, process: u16) -> Changes {
        self.0.borrow().get(&u32::from(process), 0).map_or_else(|_| Changes::default(), Changes::unpack)
    }

    /// Counts a change that the kernel side does not see, after which nothing is what it was.
    pub fn advance(&self, process: u16) -> Result<()> {
        let next = self.of(process).and_one(true).pack();
        Ok(self.0.borrow_mut().set(u32::from(process), next, 0)?)
    }
}
