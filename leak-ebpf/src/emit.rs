//! What goes up: records through the ring, frees that found it full through a map, and counters.
//!
//! Allocations are refused first: the last part of the ring is kept for frees. A free that does not fit even there is
//! set aside with its time, for user space to collect, so that a full ring never leaves a freed block outstanding.
//! No record wakes the reader by itself: it polls, and is woken once when the ring passes a mark.

use aya_ebpf::{
    Global,
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC},
    helpers::generated::{bpf_get_current_pid_tgid, bpf_jiffies64, bpf_ktime_get_ns},
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};
use leak_ebpf::{
    AllocRecord, COUNTERS, Cookie, Counter, FreeRecord, Head, Kind, MAX_SPILLED_FREES, ProcessRecord, RestoreRecord,
    Settings, Signature, SpillKey, SpillTime, StackRecord, TakeRecord,
};

use crate::{
    brief,
    ring::{self, Appended},
    shared,
};

#[map]
static SPILLED_FREES: HashMap<SpillKey, SpillTime> = HashMap::with_max_entries(MAX_SPILLED_FREES, BPF_F_NO_PREALLOC);

#[map]
static COUNTS: PerCpuArray<[u64; COUNTERS]> = PerCpuArray::with_max_entries(1, 0);

#[unsafe(no_mangle)]
static SETTINGS: Global<Settings> = Global::new(Settings {
    slots: 1,
    refuse_above: 0,
    wake_above: 0,
    usual_trampoline: 0,
    walk: 0,
    newcomers: 0,
    python: 0,
});

/// What user space has set.
#[inline(always)]
pub fn settings() -> Settings {
    SETTINGS.load()
}

/// Adds to a counter of this processor. Programs may be preempted here, so a count can be off by a hit in a blue moon.
#[inline(always)]
pub fn count(counter: Counter, by: u64) {
    if let Some(counts) = COUNTS.get_ptr_mut(0) {
        // SAFETY: the pointer is to this processor's counters, which live as long as the map.
        unsafe { (*counts)[counter as usize] += by };
    }
}

/// The running thread's id, in the initial PID namespace.
#[inline(always)]
pub fn tid() -> u32 {
    // SAFETY: the helper takes nothing and cannot fail.
    unsafe { bpf_get_current_pid_tgid() as u32 }
}

/// The beginning of a record of this kind by this probe, in this tick, in this thread.
#[inline(always)]
pub fn head(kind: Kind, cookie: Cookie, tid: u32) -> Head {
    head_at(kind, cookie, tid, recent_time())
}

/// The same, with the time of this very moment.
#[inline(always)]
pub fn head_now(kind: Kind, cookie: Cookie, tid: u32) -> Head {
    head_at(kind, cookie, tid, time())
}

#[inline(always)]
fn head_at(kind: Kind, cookie: Cookie, tid: u32, time: u64) -> Head {
    Head { kind: kind as u8, signature: cookie.signature, process: cookie.process, tid, time }
}

/// Sends a stack, or `None` when there is no room.
#[inline(always)]
pub fn stack(record: &StackRecord) -> Option<()> {
    sent(ring::append_stack(record, settings().refuse_above)).map(|_| ())
}

/// Sends an allocation of a block or, if not `is_block`, of address space; or counts it as refused. Says whether it was
/// sent.
#[inline(always)]
pub fn alloc(record: AllocRecord, is_block: bool) -> bool {
    let Some(sent) = sent(ring::append(record, settings().refuse_above)) else {
        refused(record.size);
        return false;
    };
    if is_block {
        brief::remember(record.head.process, record.addr, sent.at);
    }
    true
}

/// Counts an allocation that user space will not hear of.
#[inline(always)]
pub fn refused(size: u64) {
    count(Counter::AllocsRefused, 1);
    count(Counter::AllocsRefusedBytes, size);
}

/// Sends that this block is being freed, or sets it aside.
#[inline(always)]
pub fn free(cookie: Cookie, addr: u64) {
    let head = head(Kind::Free, cookie, 0);
    if brief::note_freed(head.process, addr, head.time).is_some() {
        return;
    }
    if send(FreeRecord { head, addr }).is_none() {
        spill(head, addr, 0);
    }
}

/// Sends that memory was taken, or sets it aside. Says whether it was sent.
#[inline(always)]
pub fn take(record: TakeRecord) -> bool {
    let is_sent = send(record).is_some();
    if !is_sent && record.head.signature != Signature::MremapCopy as u8 {
        spill(record.head, record.addr, record.len);
    }
    is_sent
}

/// Sends that what was taken is still there. `None` when there is no room.
#[inline(always)]
pub fn restore(record: RestoreRecord) -> Option<()> {
    send(record)
}

/// Sends what happened to a process, and wakes the reader: probes may have to follow. `None` when there is no room.
#[inline(always)]
pub fn process(record: ProcessRecord) -> Option<()> {
    let sent = ring::append(record, settings().slots);
    ring::ring_bell();
    sent.map(|_| ())
}

#[inline(always)]
fn send<T: 'static>(record: T) -> Option<()> {
    sent(ring::append(record, settings().slots)).map(|_| ())
}

/// Wakes the reader when the ring has filled up to the mark.
#[inline(always)]
fn sent(appended: Option<Appended>) -> Option<Appended> {
    if appended?.used > settings().wake_above {
        ring::wake();
    }
    appended
}

/// When a processor last looked at the clock, which costs as much as sending a record does.
#[repr(C)]
struct Look {
    /// The tick that it was in.
    tick: u64,
    /// What [`SPILLS`] was.
    spills: u64,
    /// `CLOCK_MONOTONIC`, later than both.
    time: u64,
}

#[map]
static LOOKS: PerCpuArray<Look> = PerCpuArray::with_max_entries(1, 0);

/// How many frees have been set aside, counted after their time was taken.
#[map]
static SPILLS: Array<u64> = Array::with_max_entries(1, 0);

/// What time it was at some moment of this tick, and behind every free that was set aside before: what is allocated there
/// now is another block, and must not seem to be older.
#[inline(always)]
fn recent_time() -> u64 {
    // SAFETY: the helper takes nothing and cannot fail.
    let tick = unsafe { bpf_jiffies64() };
    let (Some(look), Some(spills)) = (LOOKS.get_ptr_mut(0), SPILLS.get_ptr(0)) else { return time() };
    // SAFETY: the pointers are to this processor's value and into an array, which live as long as their maps. A program
    // that interrupts another one here sets what that one would have set.
    let (look, spills) = unsafe { (&mut *look, shared::load(spills)) };
    if look.tick != tick || look.spills != spills {
        *look = Look { tick, spills, time: time() };
    }
    look.time
}

#[inline(always)]
fn time() -> u64 {
    // SAFETY: the helper takes nothing and cannot fail.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn spill(head: Head, addr: u64, len: u64) {
    let time = time();
    if let Some(spills) = SPILLS.get_ptr_mut(0) {
        // SAFETY: the pointer is into the array.
        unsafe { shared::fetch_add(spills, 1) };
    }
    let key = SpillKey::new(head.process, addr, len);
    let counter = match SPILLED_FREES.insert(key, time, u64::from(BPF_ANY)) {
        Ok(()) => Counter::FreesSpilled,
        Err(_) => Counter::FreesLost,
    };
    count(counter, 1);
}
