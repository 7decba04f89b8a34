//! The programs that tell which Python line writes to watched words: a container's size.
//!
//! They are loaded for themselves, for one process at a time. Each write traps into `write`, which compares the word with
//! what it was, walks the Python stack, and adds the difference to that stack's sums: nothing is sent, and nobody is
//! woken. A write is over before it traps, and the interpreter's lock keeps others from writing meanwhile. What grows
//! in no container is told by `instance`: which line makes objects of a type.
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
    bindings::BPF_NOEXIST,
    helpers::bpf_probe_read_user,
    macros::{map, perf_event, uprobe},
    maps::{Array, HashMap, PerCpuArray},
    programs::{PerfEventContext, ProbeContext},
};
use leak_ebpf::{MAX_WATCHED_WORDS, MAX_WRITERS, Places, Seen, UNSEEN, UNWATCHED, WriterKey, Writes};
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
    sum(place, now.saturating_sub(before), before.saturating_sub(now), seen)
}

/// On the function that makes instances of classes, whose type is its first argument.
#[uprobe]
pub fn instance(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a program is valid while it runs.
    let kind = unsafe { (*ctx.regs).rdi };
    if let Some(hits) = HITS.get_ptr_mut(0) {
        // SAFETY: the pointer is into the array, and who makes an instance holds the interpreter's lock.
        unsafe { *hits += 1 };
    }
    let words = WORDS.load();
    for (place, word) in words.iter().enumerate() {
        if kind == *word {
            let _ = made(place as u32);
            return 0;
        }
    }
    0
}

#[inline(always)]
fn made(place: u32) -> Option<()> {
    let seen = SEEN.get_ptr_mut(place)?;
    // SAFETY: as in `instance`.
    unsafe { (*seen).writes += 1 };
    sum(place, 1, 0, seen)
}

/// Adds to the sums of the stack that the running thread is in.
#[inline(always)]
fn sum(place: u32, added: u64, removed: u64, seen: *mut Seen) -> Option<()> {
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
        return Some(());
    }
    let writes = &mut scratch.writes;
    (writes.added, writes.removed, writes.stack) = (added, removed, scratch.sheet.stack);
    if WRITERS.insert(key, writes, u64::from(BPF_NOEXIST)).is_err() {
        // SAFETY: as above.
        unsafe { (*seen).lost += added + removed };
    }
    Some(())
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
