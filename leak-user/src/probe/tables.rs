//! The way down for unwind tables: rows, rules, and which table holds where in which process.
//!
//! The kernel takes some 10 ms to put a map into a place of another, so tables wait until several can go down at once.

use std::os::fd::{AsFd, BorrowedFd};

use super::bpf_call;
use anyhow::{Context, Result, bail, ensure};
use aya::maps::{Array, Map, MapData};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;
use leak_ebpf::{
    MAX_SEGMENTS, Segment,
    frame::{MAX_ROWS, Rule},
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// `BPF_F_MMAPABLE` and `BPF_F_INNER_MAP`, as the programs declare the maps that they look into.
const INNER_FLAGS: u32 = 1 << 10 | 1 << 12;

/// The maps.
pub struct Tables {
    rows: MapData,
    /// Tables that are not down there yet.
    waiting: Vec<(u32, MapData)>,
    spaces: MapData,
    epochs: Array<MapData, u32>,
    rules: Array<MapData, u64>,
    /// How many rules are down there.
    rules_sent: u32,
}

impl Tables {
    pub(super) fn new(rows: Map, spaces: Map, epochs: Map, rules: Map) -> Result<Self> {
        let (Map::ArrayOfMaps(rows), Map::ArrayOfMaps(spaces)) = (rows, spaces) else {
            bail!("this build of leaktrace has other maps for its unwind tables")
        };
        let (epochs, rules) = (Array::try_from(epochs)?, Array::try_from(rules)?);
        Ok(Self { rows, waiting: Vec::new(), spaces, epochs, rules, rules_sent: 0 })
    }

    /// Sends the rules that are new since the last time; those that rows name must be down there before the rows.
    pub fn send_rules(&mut self, all: &[Rule]) -> Result<()> {
        for rule in all.iter().skip(self.rules_sent as usize) {
            self.rules.set(self.rules_sent, rule.raw(), 0).context("an unwind rule cannot be stored")?;
            self.rules_sent += 1;
        }
        Ok(())
    }

    /// Makes these the rows of a table, from the next [`set_spaces`](Self::set_spaces) on.
    pub fn set_rows(&mut self, table: u32, rows: &[u64]) -> Result<()> {
        ensure!(rows.len() <= MAX_ROWS as usize, "a module has more unwind rows than a table holds");
        self.waiting.push((table, filled(rows)?));
        if self.waiting.len() == MOST_WAITING { self.send_rows() } else { Ok(()) }
    }

    fn send_rows(&mut self) -> Result<()> {
        // Those that are refused once would be again.
        let waiting = std::mem::take(&mut self.waiting);
        put(&self.rows, &waiting).context("a table of unwind rows cannot be stored")
    }

    /// Makes these the segments of the processes in these slots; they are in order and do not overlap.
    pub fn set_spaces(&mut self, spaces: &[(u16, Vec<Segment>)]) -> Result<()> {
        self.send_rows()?;
        let maps: Result<Vec<_>> =
            spaces.iter().map(|(slot, segments)| Ok((u32::from(*slot), space(segments)?))).collect();
        put(&self.spaces, &maps?).context("a process's unwind tables cannot be stored")?;
        for slot in spaces.iter().map(|(slot, _)| u32::from(*slot)) {
            let epoch = self.epochs.get(&slot, 0)?.wrapping_add(1);
            self.epochs.set(slot, epoch, 0)?;
        }
        Ok(())
    }
}

/// Tables that may wait, each with a descriptor.
const MOST_WAITING: usize = 256;

/// Puts maps into places of an array of maps.
fn put(array: &MapData, maps: &[(u32, MapData)]) -> Result<()> {
    let (places, maps): (Vec<u32>, Vec<BorrowedFd<'_>>) =
        maps.iter().map(|(place, map)| (*place, map.fd().as_fd())).unzip();
    if places.is_empty() || bpf_call::set_all(array.fd(), &places, &maps).is_ok() {
        return Ok(());
    }
    // An older kernel, or not one of them can be put: one by one, that one says why.
    places.iter().zip(maps).try_for_each(|(place, map)| bpf_call::set_one(array.fd(), *place, map))?;
    Ok(())
}

/// A process's segments as a map.
fn space(segments: &[Segment]) -> Result<MapData> {
    // What is above is left without rules.
    let segments = &segments[..segments.len().min(MAX_SEGMENTS as usize - 1)];
    let header = Segment { start: segments.len() as u64, ..Segment::default() };
    let words: Vec<[u64; 4]> = [&header].into_iter().chain(segments).map(words).collect();
    filled(&words)
}

/// A segment as the programs read it.
fn words(segment: &Segment) -> [u64; 4] {
    let Segment { start, end, base, table, rows } = *segment;
    [start, end, base, u64::from(table) | u64::from(rows) << 32]
}

/// An array map that holds these values.
fn filled<T: aya::Pod>(values: &[T]) -> Result<MapData> {
    let count = values.len().max(1) as u32;
    let array = BPF_MAP_TYPE_ARRAY as u32;
    let map = aya_obj::Map::new_from_params(array, size_of::<u32>() as u32, size_of::<T>() as u32, count, INNER_FLAGS);
    let map = MapData::create(map, "unwind", None).context("the kernel has no memory for a table of unwind rows")?;
    if values.is_empty() {
        return Ok(map);
    }
    let length = size_of_val(values);
    let descriptor = map.fd().as_fd();
    // SAFETY: a new mapping, of a map that nobody else has yet and that is at least so long; what it is made of is plain
    // old data whose size is a multiple of 8, which is how arrays space their values.
    unsafe {
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        let memory = mmap(std::ptr::null_mut(), length, flags, MapFlags::SHARED, descriptor, 0)
            .context("a table of unwind rows cannot be mapped")?;
        std::ptr::copy_nonoverlapping(values.as_ptr().cast::<u8>(), memory.cast::<u8>(), length);
        munmap(memory, length)?;
    }
    Ok(map)
}
