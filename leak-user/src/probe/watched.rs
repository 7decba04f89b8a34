//! The blocks whose free the programs are to tell, while they do not tell every free.

use std::sync::atomic::Ordering;

use anyhow::{Result, bail};
use aya::maps::{Map, MapData};
use leak_ebpf::{BlockKey, WATCHED_BINS_LOG2};
use rustix::mm::ProtFlags;

use super::{bpf_call, ring_memory::Mapping};

/// The watched blocks.
pub(super) struct WatchedBlocks {
    blocks: MapData,
    bins: Mapping,
    /// Held open for programs that are loaded later.
    _bins: MapData,
}

impl WatchedBlocks {
    /// Takes over the map of blocks and that of their bins.
    pub fn new(blocks: Map, bins: Map) -> Result<Self> {
        let (Map::HashMap(blocks), Map::Array(bins)) = (blocks, bins) else {
            bail!("this build of leaktrace has other maps for watched blocks")
        };
        let mapping = Mapping::new(bins.fd(), 0, 8 << WATCHED_BINS_LOG2, ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(Self { blocks, bins: mapping, _bins: bins })
    }

    /// Watches these. Gives how many found room.
    pub fn add(&mut self, blocks: impl Iterator<Item = BlockKey>) -> Result<u64> {
        // A bin may count too many, never too few: so before.
        let counted = blocks.inspect(|block| self.count(*block, 1));
        bpf_call::put_all(self.blocks.fd(), counted.map(words))
    }

    /// Watches these no more.
    pub fn remove(&mut self, blocks: impl Iterator<Item = BlockKey>) -> Result<()> {
        bpf_call::drop_all(self.blocks.fd(), blocks.map(words), |[addr, process]| {
            self.count(BlockKey { addr, process }, u64::MAX);
        })
    }

    fn count(&self, block: BlockKey, by: u64) {
        // Relaxed: the call into the kernel that follows orders it.
        self.bins.word(8 * block.bin(WATCHED_BINS_LOG2) as usize).fetch_add(by, Ordering::Relaxed);
    }
}

fn words(block: BlockKey) -> [u64; 2] {
    [block.addr, block.process]
}
