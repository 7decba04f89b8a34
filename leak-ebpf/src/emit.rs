//! What goes up: records through the ring, frees that found it full through a map, and counters.
//!
//! Allocations are refused first: the last part of the ring is kept for frees. A free that does not fit even there is
//! set aside with its time, for user space to collect, so that a full ring never leaves a freed block outstanding.
//! No record wakes the reader by itself: it polls, and is woken once when the ring passes a mark.

use aya_ebpf::{
    Global,
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::{bpf_ktime_get_ns, bpf_ringbuf_output},
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use leak_ebpf::{
    AllocRecord, COUNTERS, Cookie, Counter, FreeRecord, Head, Kind, MAX_FRAMES, MAX_SPILLED_FREES, ProcessRecord,
    RestoreRecord, Settings, Signature, SpillKey, SpillTime, StackRecord, TakeRecord,
};

/// Its size is set by the loader.
#[map]
static RING: RingBuf = RingBuf::with_byte_size(1 << 16, 0);

#[map]
static SPILLED_FREES: HashMap<SpillKey, SpillTime> = HashMap::with_max_entries(MAX_SPILLED_FREES, BPF_F_NO_PREALLOC);

#[map]
static COUNTS: PerCpuArray<[u64; COUNTERS]> = PerCpuArray::with_max_entries(1, 0);

/// Not 0 from when the reader was woken until it has read.
#[map]
static WOKEN: Array<u32> = Array::with_max_entries(1, 0);

#[unsafe(no_mangle)]
static SETTINGS: Global<Settings> =
    Global::new(Settings { refuse_above: 0, wake_above: 0, usual_trampoline: 0, walk: 0 });

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

/// The beginning of a record of this kind by this probe, now.
#[inline(always)]
pub fn head(kind: Kind, cookie: Cookie) -> Head {
    // SAFETY: the helper takes nothing and cannot fail.
    head_at(kind, cookie, unsafe { bpf_ktime_get_ns() })
}

#[inline(always)]
fn head_at(kind: Kind, cookie: Cookie, time: u64) -> Head {
    Head {
        kind: kind as u8,
        signature: cookie.signature,
        process: cookie.process,
        tid: aya_ebpf::helpers::bpf_get_current_pid_tgid() as u32,
        time,
    }
}

/// Sends a stack, or `None` when there is no room.
#[inline(always)]
pub fn stack(record: &StackRecord) -> Option<()> {
    let used = used();
    if used > settings().refuse_above {
        return None;
    }
    let depth = u64::from(record.depth).min(MAX_FRAMES as u64);
    let bytes = (size_of::<StackRecord>() - 8 * MAX_FRAMES) as u64 + 8 * depth;
    // SAFETY: the record is at least `bytes` long and the map is a ring buffer.
    let sent = unsafe {
        bpf_ringbuf_output(
            core::ptr::from_ref(&RING).cast_mut().cast(),
            core::ptr::from_ref(record).cast_mut().cast(),
            bytes,
            wake_flags(used),
        )
    };
    (sent == 0).then_some(())
}

/// Sends an allocation, or counts it as refused. Says whether it was sent.
#[inline(always)]
pub fn alloc(record: AllocRecord) -> bool {
    let used = used();
    let room = used <= settings().refuse_above;
    if room && send(record, used).is_some() {
        return true;
    }
    refused(record.size);
    false
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
    let look = look();
    // The clock costs as much as sending does; in the ring, frees stand in the order in which they came.
    let record = FreeRecord { head: head_at(Kind::Free, cookie, look.time), addr };
    if send(record, look.used).is_none() {
        // What is allocated there after this moment is another block.
        spill(head(Kind::Free, cookie), addr, 0);
    }
}

/// Sends that memory was taken, or sets it aside. Says whether it was sent.
#[inline(always)]
pub fn take(record: TakeRecord) -> bool {
    let sent = send(record, used()).is_some();
    if !sent && record.head.signature != Signature::MremapCopy as u8 {
        spill(record.head, record.addr, record.len);
    }
    sent
}

/// Sends that what was taken is still there. `None` when there is no room.
#[inline(always)]
pub fn restore(record: RestoreRecord) -> Option<()> {
    send(record, used())
}

/// Sends what happened to a process, and wakes the reader: probes may have to follow. `None` when there is no room.
#[inline(always)]
pub fn process(record: ProcessRecord) -> Option<()> {
    send_with(record, u64::from(BPF_RB_FORCE_WAKEUP))
}

#[inline(always)]
fn send<T: 'static>(record: T, used: u64) -> Option<()> {
    send_with(record, wake_flags(used))
}

#[inline(always)]
fn send_with<T: 'static>(record: T, flags: u64) -> Option<()> {
    let mut entry = RING.reserve::<T>(0)?;
    entry.write(record);
    entry.submit(flags);
    Some(())
}

/// Records of a processor between two looks at how full the ring is, and at the clock. A look costs about as much as
/// sending does.
const LOOK_EVERY: u64 = 16;

/// A ring that could fill up between two looks is looked at for every record.
const SMALL: u64 = 1 << 18;

/// What a processor saw last.
#[derive(Clone, Copy)]
#[repr(C)]
struct Look {
    /// Bytes of the ring in use.
    used: u64,
    /// `CLOCK_MONOTONIC`.
    time: u64,
    /// Records until the next look.
    left: u64,
}

#[map]
static LOOKS: PerCpuArray<Look> = PerCpuArray::with_max_entries(1, 0);

/// How full the ring is and what time it is, to within what a few records take.
#[inline(always)]
fn look() -> Look {
    let Some(look) = LOOKS.get_ptr_mut(0) else { return Look { used: u64::MAX, time: 0, left: 0 } };
    // SAFETY: the pointer is to this processor's value, which lives as long as the map; programs that interrupt one
    // another here look a little more or less often.
    let look = unsafe { &mut *look };
    let settings = settings();
    // Nearly full, it matters how full.
    if look.left == 0 || look.used > settings.wake_above || settings.wake_above < SMALL {
        look.used = RING.query(u64::from(BPF_RB_AVAIL_DATA));
        // SAFETY: the helper takes nothing and cannot fail.
        look.time = unsafe { bpf_ktime_get_ns() };
        look.left = LOOK_EVERY;
    }
    look.left -= 1;
    *look
}

#[inline(always)]
fn used() -> u64 {
    look().used
}

#[inline(always)]
fn wake_flags(used: u64) -> u64 {
    if used > settings().wake_above
        && let Some(woken) = WOKEN.get_ptr_mut(0)
    {
        // SAFETY: the pointer is into the array. Two programs that both find 0 wake the reader twice, no more.
        unsafe {
            if *woken == 0 {
                *woken = 1;
                return u64::from(BPF_RB_FORCE_WAKEUP);
            }
        }
    }
    u64::from(BPF_RB_NO_WAKEUP)
}

#[inline(always)]
fn spill(head: Head, addr: u64, len: u64) {
    let key = SpillKey::new(head.process, addr, len);
    let counter = match SPILLED_FREES.insert(key, head.time, u64::from(BPF_ANY)) {
        Ok(()) => Counter::FreesSpilled,
        Err(_) => Counter::FreesLost,
    };
    count(counter, 1);
}
