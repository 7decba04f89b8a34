//! The programs that tell which Python line writes to watched words: a container's size.
//!
//! They are loaded for themselves, for one process at a time. Each write traps into `write`, which compares the word with
//! what it was, walks the Python stack, and adds the difference to that stack's sums: nothing is sent, and nobody is
//! woken. A write is over before it traps, and the interpreter's lock keeps others from writing meanwhile. Where there is
//! no word to watch, `instance` tells which line makes objects of a type, and where those lie: user space sees which stay.
#![no_std]
#![no_main]
#![expect(
    clippy::inline_always,
    reason = "a call in BPF costs a frame of its 512-byte stack and hides bounds from the verifier"
)]
#![expect(clippy::needless_pass_by_value, reason = "the program macros call with the context by value")]
#![expect(missing_docs, reason = "the program macros make functions without them")]

mod python;
mod repeat;

use aya_ebpf::{
    Global,
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC, BPF_NOEXIST},
    helpers::bpf_probe_read_user,
    macros::{map, perf_event, uretprobe},
    maps::{Array, HashMap, PerCpuArray},
    programs::{PerfEventContext, RetProbeContext},
};
use leak_ebpf::{MAX_MADE, MAX_WATCHED_WORDS, MAX_WRITERS, Made, Places, Seen, UNSEEN, UNWATCHED, WriterKey, Writes};
use python::Sheet;

/// The addresses of the watched words, or of the types whose instances are counted; 0 where there is none.
#[unsafe(no_mangle)]
static WORDS: Global<[u64; MAX_WATCHED_WORDS]> = Global::new([0; MAX_WATCHED_WORDS]);

/// What each word was last, or [`UNWATCHED`], or [`UNSEEN`].
#[map]
static LAST: Array<u64> = Array::with_max_entries(MAX_WATCHED_WORDS as u32, 0);

#[map]
static SEEN: Array<Seen> = Array::with_max_entries(MAX_WATCHED_WORDS as u32, 0);

/// How often `instance` was hit, whatever for.
#[map]
static HITS: Array<u64> = Array::with_max_entries(1, 0);

#[map]
static WRITERS: HashMap<WriterKey, Writes> = HashMap::with_max_entries(MAX_WRITERS, 0);

/// The objects that `instance` has seen, by address, until user space takes them away.
#[map]
static MADE: HashMap<u64, Made> = HashMap::with_max_entries(MAX_MADE, BPF_F_NO_PREALLOC);

/// Where the process's interpreter has its frames.
#[map]
static PLACES: Array<Places> = Array::with_max_entries(1, 0);

/// What is written down on the way.
#[repr(C)]
struct Scratch {
    sheet: Sheet,
    writes: Writes,
}

/// A program is not interrupted by another one that uses it: who runs it holds the interpreter's lock.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// On each write to a watched word.
#[perf_event]
pub fn write(ctx: PerfEventContext) -> u32 {
    // SAFETY: the context of a program is valid while it runs.
    let addr = unsafe { (*ctx.ctx).addr };
    let words = WORDS.load();
    for (place, word) in words.iter().enumerate() {
        if addr == *word {
            let _ = written(place as u32, addr);
            return 0;
        }
    }
    0
}

#[inline(always)]
fn written(place: u32, addr: u64) -> Option<()> {
    let last = LAST.get_ptr_mut(place)?;
    let seen = SEEN.get_ptr_mut(place)?;
    // SAFETY: the helper fails on an address that is not the target's.
    let now = unsafe { bpf_probe_read_user(addr as *const u64) }.ok()?;
    // SAFETY: both pointers are into arrays, and who writes to the word holds the interpreter's lock.
    let before = unsafe { last.read_volatile() };
    if before == UNWATCHED {
        return None;
    }
    // SAFETY: as above.
    unsafe {
        last.write_volatile(now);
        (*seen).writes += 1;
    }
    if before == UNSEEN || before == now {
        return None;
    }
    sum(place, now.saturating_sub(before), before.saturating_sub(now), seen)?;
    Some(())
}

/// Where the function that makes instances of classes returns one: an object begins with a count and its type.
#[uretprobe]
pub fn instance(ctx: RetProbeContext) -> u32 {
    let _ = returned(&ctx);
    0
}

#[inline(always)]
fn returned(ctx: &RetProbeContext) -> Option<()> {
    // SAFETY: the context of a program is valid while it runs.
    let object = unsafe { (*ctx.regs).rax };
    let hits = HITS.get_ptr_mut(0)?;
    // SAFETY: the pointer is into the array, and who makes an instance holds the interpreter's lock.
    let number = unsafe {
        *hits += 1;
        *hits
    };
    // SAFETY: the helper fails on an address that is not the target's, such as null where there was no memory.
    let kind = unsafe { bpf_probe_read_user((object as *const u64).wrapping_add(1)) }.ok()?;
    let words = WORDS.load();
    for (place, word) in words.iter().enumerate() {
        if kind == *word {
            return made(place as u32, object, number);
        }
    }
    None
}

#[inline(always)]
fn made(place: u32, object: u64, number: u64) -> Option<()> {
    let seen = SEEN.get_ptr_mut(place)?;
    // SAFETY: as in `returned`.
    unsafe { (*seen).writes += 1 };
    let by = sum(place, 1, 0, seen)?;
    MADE.insert(object, Made { by, number }, u64::from(BPF_ANY)).ok()
}

/// Adds to the sums of the stack that the running thread is in. Gives the key of those, if there was room for them.
#[inline(always)]
fn sum(place: u32, added: u64, removed: u64, seen: *mut Seen) -> Option<WriterKey> {
    let scratch = SCRATCH.get_ptr_mut(0)?;
    // SAFETY: the pointer is to this processor's value, which no other program uses meanwhile.
    let scratch = unsafe { &mut *scratch };
    let hash = python::walk(PLACES.get(0)?, &mut scratch.sheet);
    let key = WriterKey { stack: hash, word: u64::from(place) };
    if let Some(writes) = WRITERS.get_ptr_mut(key) {
        // SAFETY: the value lives as long as the map, and entries are never removed.
        unsafe {
            (*writes).added += added;
            (*writes).removed += removed;
        }
        return Some(key);
    }
    let writes = &mut scratch.writes;
    (writes.added, writes.removed, writes.stack) = (added, removed, scratch.sheet.stack);
    if WRITERS.insert(key, writes, u64::from(BPF_NOEXIST)).is_err() {
        // SAFETY: as above.
        unsafe { (*seen).lost += added + removed };
        return None;
    }
    Some(key)
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
