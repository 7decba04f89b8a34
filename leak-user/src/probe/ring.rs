//! Reads what the programs send: the ring, and the frees that found it full.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Result, bail};
use aya::maps::{Array, Map, MapData};
use leak_ebpf::{Record, SpillKey, SpillTime};

use super::{bpf_call, ring_memory::RingMemory};

/// The ring's reading end.
pub struct Ring {
    map: MapData,
    memory: RingMemory,
    spilled: MapData,
    woken: Array<MapData, u32>,
    /// How many frees had been set aside at the last collection.
    collected_at: u64,
}

impl Ring {
    /// Takes over the three maps.
    pub(super) fn new(ring: Map, spilled: Map, woken: Map) -> Result<Self> {
        let Map::HashMap(spilled) = spilled else { bail!("this build of leaktrace has another map for spilled frees") };
        let Map::RingBuf(map) = ring else { bail!("this build of leaktrace has another map for its ring") };
        let memory = RingMemory::map(map.fd().as_fd(), map.info()?.max_entries())?;
        Ok(Self { map, memory, spilled, woken: Array::try_from(woken)?, collected_at: 0 })
    }

    /// Gives every record that is in the ring to `take`, in the order in which they came about.
    pub fn drain(&mut self, mut take: impl FnMut(&Record<'_>)) {
        self.memory.drain(|bytes| {
            if let Some(record) = Record::decode(bytes) {
                take(&record);
            }
        });
    }

    /// Lets the programs wake the reader again.
    pub fn rearm(&mut self) -> Result<()> {
        Ok(self.woken.set(0, 0, 0)?)
    }

    /// Takes out the frees that were set aside, given how many ever were. They must be entered after the ring has been
    /// drained once more: the allocation that one ends may still stand in it.
    pub fn take_spilled(&mut self, spilled_so_far: u64) -> Result<Vec<(SpillKey, SpillTime)>> {
        if spilled_so_far == self.collected_at {
            return Ok(Vec::new());
        }
        self.collected_at = spilled_so_far;
        let mut frees = Vec::new();
        bpf_call::take_all(self.spilled.fd(), |[addr, rest], time| frees.push((SpillKey::unpack(addr, rest), time)))?;
        Ok(frees)
    }
}

impl AsFd for Ring {
    /// Readable when the programs have woken the reader.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}
