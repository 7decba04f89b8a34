//! The kernel side's cache of stacks that user space knows.

use anyhow::Result;
use aya::maps::{Array, Map, MapData};
use leak_ebpf::KNOWN_STACKS;

/// The cache.
pub struct Known(Array<MapData, u64>);

impl Known {
    pub(super) fn new(map: Map) -> Result<Self> {
        Ok(Self(Array::try_from(map)?))
    }

    /// Has the kernel side send these stacks again when they next allocate.
    pub fn forget(&mut self, ids: &[u64]) -> Result<()> {
        for id in ids {
            let place = *id as u32 % KNOWN_STACKS;
            for place in [place, place ^ 1] {
                if self.0.get(&place, 0)? == *id {
                    self.0.set(place, 0, 0)?;
                }
            }
        }
        Ok(())
    }
}
