//! What user space has made of the modules' unwind information: rows by table, rules, and where in each process which
//! table holds. A cache answers for places that were asked for before.
//!
//! A process's space is replaced as a whole, and its epoch counted up after that: what the cache holds of an older
//! epoch is not found any more.

use aya_ebpf::{
    btf_maps::{Array as BtfArray, ArrayOfMaps},
    macros::{btf_map, map},
    maps::Array,
};
use leak_ebpf::{
    CACHED_RULES, MAX_PROCESSES, MAX_SEGMENTS, MAX_TABLES, Segment,
    frame::{Code, MAX_RULES, Rule, search},
};

use super::mix;

/// `BPF_F_MMAPABLE`, to be filled in one go, and `BPF_F_INNER_MAP`: maps of any number of entries fit.
const OF_ANY_SIZE: usize = 1 << 10 | 1 << 12;

/// Rows, by table.
#[btf_map]
static ROWS: ArrayOfMaps<BtfArray<u64, 1, OF_ANY_SIZE>, { MAX_TABLES as usize }> = ArrayOfMaps::new();

/// Segments in order of address, by process; the first entry's `start` is how many follow.
#[btf_map]
static SPACES: ArrayOfMaps<BtfArray<Segment, 1, OF_ANY_SIZE>, { MAX_PROCESSES as usize }> = ArrayOfMaps::new();

/// How often each process's space was replaced.
#[map]
static EPOCHS: Array<u32> = Array::with_max_entries(MAX_PROCESSES, 0);

/// The rules that rows name.
#[map]
static RULES: Array<u64> = Array::with_max_entries(MAX_RULES as u32, 0);

/// Rules found before, each at the place that its key picks.
#[map]
static CACHE: Array<Cached> = Array::with_max_entries(CACHED_RULES, 0);

/// Written without a lock: what two processors have written at once does not fit together, and counts as nothing.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct Cached {
    key: u64,
    rule: u64,
    check: u64,
}

/// Stand in the cache for code without a rule; no rule looks like them.
const FOREIGN: u64 = u64::MAX;
const GAP: u64 = u64::MAX - 1;

/// The address space of a process, for the length of a walk.
pub struct Space {
    process: u16,
    /// How often it was replaced.
    epoch: u32,
    /// Tells it from other processes' and from what it was.
    hash: u64,
}

impl Space {
    #[inline(always)]
    pub fn of(process: u16) -> Self {
        let epoch = EPOCHS.get(u32::from(process)).copied().unwrap_or(0);
        Self { process, epoch, hash: mix(u64::from(epoch), u64::from(process)) }
    }

    /// How often it had been replaced.
    #[inline(always)]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What is known of the code here.
    #[inline(always)]
    pub fn code_at(&self, pc: u64) -> Code {
        let key = mix(self.hash, pc);
        let place = (key >> (u64::BITS - CACHED_RULES.ilog2())) as u32;
        let Some(cached) = CACHE.get_ptr_mut(place) else { return Code::Foreign };
        // SAFETY: the pointer is into the array; torn reads and writes are told by the check.
        let known = unsafe { *cached };
        let rule = if known.key == key && known.check == key ^ known.rule {
            known.rule
        } else {
            let rule = find_rule(u64::from(self.process), pc);
            // SAFETY: as above.
            unsafe { *cached = Cached { key, rule, check: key ^ rule } };
            rule
        };
        match rule {
            FOREIGN => Code::Foreign,
            GAP => Code::Gap,
            rule => Code::Ruled(Rule::from_raw(rule)),
        }
    }
}

/// What the tables of the process in this slot say of the code here.
///
/// It is exported, for then the verifier looks at it once, by itself, and not again on each of the many ways to it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn find_rule(process: u64, pc: u64) -> u64 {
    let Some(segment) = segment_of(process as u16, pc) else { return FOREIGN };
    find_in(&segment, pc).unwrap_or(GAP)
}

#[inline(always)]
fn find_in(segment: &Segment, pc: u64) -> Option<u64> {
    let pc = pc.wrapping_sub(segment.base);
    if pc > u64::from(u32::MAX) {
        return None;
    }
    let rows = ROWS.get(segment.table)?;
    let rule = search(segment.rows, pc as u32, |row| rows.get(row).copied())?;
    RULES.get(u32::from(rule)).copied()
}

#[inline(always)]
fn segment_of(process: u16, pc: u64) -> Option<Segment> {
    let segments = SPACES.get(u32::from(process))?;
    let mut left = segments.get(0)?.start as u32;
    let mut first = 1;
    for _ in 0..MAX_SEGMENTS.ilog2() {
        if left < 2 {
            break;
        }
        let half = left / 2;
        // Arithmetic and no branch: the verifier would follow both sides of each of these.
        let is_below = (segments.get(first + half)?.start.wrapping_sub(pc).wrapping_sub(1) as i64) >> 63;
        first += half & is_below as u32;
        left -= half;
    }
    let segment = *segments.get(first)?;
    (segment.start <= pc && pc < segment.end).then_some(segment)
}
