//! The programs' counters, summed over processors.

use anyhow::Result;
use aya::maps::{Map, MapData, PerCpuArray};
use leak_ebpf::{COUNTERS, Counter};

/// The counters' reading end.
pub struct Counts {
    map: PerCpuArray<MapData, [u64; COUNTERS]>,
    nothing: Snapshot,
}

/// All counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot([u64; COUNTERS]);

impl Counts {
    pub(super) fn new(map: Map) -> Result<Self> {
        Ok(Self { map: PerCpuArray::try_from(map)?, nothing: Snapshot::default() })
    }

    /// Counts from now on.
    pub(super) fn start_from_nothing(&mut self) -> Result<()> {
        let now = self.read()?;
        for (nothing, now) in self.nothing.0.iter_mut().zip(now.0) {
            *nothing += now;
        }
        Ok(())
    }

    /// The counters now.
    pub fn read(&self) -> Result<Snapshot> {
        let mut sums = [0; COUNTERS];
        for counts in self.map.get(&0, 0)?.iter() {
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        Ok(Snapshot(sums).since(&self.nothing))
    }
}

impl Snapshot {
    /// One counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// What was counted since an earlier snapshot.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut diff = self.0;
        for (now, then) in diff.iter_mut().zip(earlier.0) {
            *now = now.wrapping_sub(then);
        }
        Self(diff)
    }
}
