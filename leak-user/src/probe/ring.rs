//! Reads what the programs send: the ring, and the frees that found it full.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Result, bail};
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use leak_ebpf::{Record, SpillKey, SpillTime};

use super::{bell::Bell, bpf_call, ring_memory::RingMemory};

/// The ring's reading end.
pub struct Ring {
    memory: RingMemory,
    /// Held open for programs that are loaded later.
    _maps: [MapData; 2],
    skipped: HashMap<MapData, u64, u64>,
    spilled: MapData,
    bell: Bell,
    woken: Array<MapData, u32>,
    /// How many frees had been set aside at the last collection.
    collected_at: u64,
}

/// The maps that it is made of.
pub(super) struct RingMaps {
    pub slots: Map,
    pub positions: Map,
    pub skipped: Map,
    pub spilled: Map,
    pub bell: Map,
    pub woken: Map,
}

impl Ring {
    /// Takes over the maps.
    pub(super) fn new(maps: RingMaps) -> Result<Self> {
        let Map::Array(slots) = maps.slots else { bail!("this build of leaktrace has another map for its ring") };
        let Map::Array(positions) = maps.positions else {
            bail!("this build of leaktrace has another map for the positions of its ring")
        };
        let Map::HashMap(spilled) = maps.spilled else {
            bail!("this build of leaktrace has another map for spilled frees")
        };
        Ok(Self {
            memory: RingMemory::map(slots.fd(), positions.fd(), slots.info()?.max_entries())?,
            _maps: [slots, positions],
            skipped: HashMap::try_from(maps.skipped)?,
            spilled,
            bell: Bell::new(maps.bell)?,
            woken: Array::try_from(maps.woken)?,
            collected_at: 0,
        })
    }

    /// Gives every record that is in the ring to `take`, in the order in which they came about.
    pub fn drain(&mut self, mut take: impl FnMut(&Record<'_>)) -> Result<()> {
        let skipped = &mut self.skipped;
        self.memory.drain(
            |words, life| {
                if let Some(record) = Record::decode(words) {
                    take(&record.of_life(life));
                }
            },
            |position| match skipped.get(&position, 0) {
                Ok(slots) => {
                    skipped.remove(&position)?;
                    Ok(Some(slots))
                }
                Err(MapError::KeyNotFound) => Ok(None),
                Err(error) => Err(error.into()),
            },
        )
    }

    /// Lets the programs wake the reader again.
    pub fn rearm(&mut self) -> Result<()> {
        self.bell.silence();
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
        self.bell.as_fd()
    }
}
