//! What each process's probes were hit, summed over processors.

use anyhow::{Context, Result};
use aya::{
    Pod,
    maps::{Map, MapData, PerCpuArray},
};
use leak_ebpf::{Hits, Loader, Made, Places, PythonStack, Sampling, Seen, WriterKey, Writes};

/// A value of a map that is a struct of the wire.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct Shared<T>(pub T);

// SAFETY: both are whole words without padding, for which any bits are good.
unsafe impl Pod for Shared<Hits> {}
// SAFETY: as above; the two halves of the last word fill it.
unsafe impl Pod for Shared<Sampling> {}
// SAFETY: as above, and so for those below.
unsafe impl Pod for Shared<Places> {}
// SAFETY: as above.
unsafe impl Pod for Shared<PythonStack> {}
// SAFETY: as above.
unsafe impl Pod for Shared<Seen> {}
// SAFETY: as above.
unsafe impl Pod for Shared<Writes> {}
// SAFETY: as above.
unsafe impl Pod for Shared<WriterKey> {}
// SAFETY: as above.
unsafe impl Pod for Shared<Made> {}
// SAFETY: as above.
unsafe impl Pod for Shared<Loader> {}

/// The hits' reading end.
pub struct HitCounts(PerCpuArray<MapData, Shared<Hits>>);

impl HitCounts {
    pub(super) fn new(map: Map) -> Result<Self> {
        Ok(Self(PerCpuArray::try_from(map)?))
    }

    /// Hits in the process in this slot so far; those of a process that had it before are among them.
    pub fn of(&self, process: u16) -> Result<Hits> {
        let hits = self.0.get(&u32::from(process), 0).context("what the probes were hit cannot be read")?;
        Ok(hits.iter().fold(Hits::default(), |sum, hits| sum.and(&hits.0)))
    }
}
