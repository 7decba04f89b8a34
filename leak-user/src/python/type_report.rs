//! How many objects of each type a process has, and how fast they become more: figures by the types' names.
//!
//! Two types of one name are told as one: a class that a program makes again and again is what grows then.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::heap::Heap;

/// The schema of the JSON document.
const SCHEMA: &str = "leaktrace.python-types/1";

/// Figures of one scan.
#[derive(Debug)]
pub struct Sums {
    at: Instant,
    by_name: HashMap<String, Sum>,
    /// Snapshot and search.
    took: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    bytes: u64,
}

impl Sums {
    /// Those of a heap.
    pub fn of(heap: &Heap<'_>) -> Self {
        let mut by_name: HashMap<String, Sum> = HashMap::new();
        for counted in &heap.types {
            let sum = by_name.entry(counted.kind.name.clone()).or_default();
            sum.count = sum.count.saturating_add(counted.count);
            sum.bytes = sum.bytes.saturating_add(counted.bytes);
        }
        Self { at: heap.reader.snapshot.at, by_name, took: heap.reader.snapshot.took + heap.took }
    }
}

/// What is told of a process.
#[derive(Debug, Serialize)]
pub struct TypeReport {
    /// Which form this has.
    pub schema: &'static str,
    /// The process.
    pub pid: u32,
    /// The kernel's name for it; the target may set it to anything.
    pub comm: String,
    /// Its release of Python.
    pub version: String,
    /// Blocks in use.
    pub live_blocks: u64,
    /// Bytes of them.
    pub live_bytes: u64,
    /// Seconds that a scan took, copying included.
    pub scan_s: f64,
    /// Seconds between the two scans, if there were two.
    pub interval_s: Option<f64>,
    /// Pools of blocks that were being changed as they were read.
    pub doubtful_pools: u64,
    /// Bytes of the process that were swapped out, and so not looked at.
    pub swapped_bytes: u64,
    /// How many types have objects.
    pub types_found: u64,
    /// Those with most bytes, or that grow fastest, first.
    pub types: Vec<Told>,
}

/// What is told of a type.
#[derive(Debug, Serialize)]
pub struct Told {
    /// Its name, as the target has it.
    #[serde(rename = "type")]
    pub name: String,
    /// Objects.
    pub count: u64,
    /// Bytes of them, and of what belongs to each alone.
    pub bytes: u64,
    /// How many more there are each second, if there were two scans.
    pub count_per_s: Option<f64>,
    /// How many more bytes they have each second.
    pub bytes_per_s: Option<f64>,
}

impl TypeReport {
    /// The figures of a heap and, by an earlier scan of it, their growth: the types with most bytes, or that grow fastest.
    pub fn of(pid: u32, comm: &str, heap: &Heap<'_>, earlier: Option<&Sums>, top: usize) -> Self {
        let sums = Sums::of(heap);
        let interval = earlier.map(|earlier| sums.at.saturating_duration_since(earlier.at).as_secs_f64());
        let told = |name: &String, sum: Sum| {
            let before = earlier.map(|earlier| earlier.by_name.get(name).copied().unwrap_or_default());
            let growth = |now: u64, before: Option<u64>| {
                Some((now as f64 - before? as f64) / interval.filter(|seconds| *seconds > 0.0)?)
            };
            Told {
                name: name.clone(),
                count: sum.count,
                bytes: sum.bytes,
                count_per_s: growth(sum.count, before.map(|before| before.count)),
                bytes_per_s: growth(sum.bytes, before.map(|before| before.bytes)),
            }
        };
        let gone = earlier.into_iter().flat_map(|earlier| earlier.by_name.keys());
        let gone = gone.filter(|name| !sums.by_name.contains_key(*name)).map(|name| told(name, Sum::default()));
        let mut types: Vec<Told> = sums.by_name.iter().map(|(name, sum)| told(name, *sum)).chain(gone).collect();
        let growth = |told: &Told| told.bytes_per_s.unwrap_or(0.0);
        types.sort_by(|one, other| {
            growth(other)
                .total_cmp(&growth(one))
                .then_with(|| other.bytes.cmp(&one.bytes))
                .then_with(|| one.name.cmp(&other.name))
        });
        types.truncate(top);
        Self {
            schema: SCHEMA,
            pid,
            comm: comm.to_owned(),
            version: heap.reader.version.to_string(),
            live_blocks: heap.live_blocks,
            live_bytes: heap.live_bytes,
            scan_s: sums.took.as_secs_f64(),
            interval_s: interval,
            doubtful_pools: heap.doubtful,
            swapped_bytes: heap.reader.snapshot.swapped_bytes,
            types_found: sums.by_name.len() as u64,
            types,
        }
    }
}
