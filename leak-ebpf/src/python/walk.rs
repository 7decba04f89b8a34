//! The walk from a thread's innermost frame outwards.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use leak_ebpf::{ENTERED, FRAME_BYTES, MAX_PYTHON_FRAMES, MAX_PYTHON_STEPS, NOWHERE, Places, PythonCall, PythonStack};

use super::innermost;
use crate::repeat::{GO_ON, STOP, repeat};

/// What a walk is written on. It lies in a map, where the verifier lets a place in it be any number.
#[repr(C)]
pub struct Sheet {
    /// What was read of a frame.
    frame: [u64; FRAME_BYTES / 8],
    /// The frames.
    pub stack: PythonStack,
}

/// A walk under way.
#[repr(C)]
struct Walker<'a> {
    /// The frame to look at next, or null.
    frame: u64,
    depth: u64,
    hash: u64,
    places: &'a Places,
    sheet: &'a mut Sheet,
}

/// Walks the running thread's frames into the sheet. Gives a hash of them, 0 where there are none.
#[inline(always)]
pub fn walk(places: &Places, sheet: &mut Sheet) -> u64 {
    let frame = innermost(places).unwrap_or(0);
    let mut walker = Walker { frame, depth: 0, hash: 0, places, sheet };
    if frame != 0 {
        repeat(MAX_PYTHON_STEPS, go_out, &mut walker);
    }
    walker.sheet.stack.depth = walker.depth;
    walker.hash ^ walker.hash >> 32
}

/// One frame outwards.
#[inline(never)]
extern "C" fn go_out(_time: u64, walker: *mut Walker<'_>) -> i64 {
    // SAFETY: `repeat` hands over a reference that nobody else uses meanwhile.
    let walker = unsafe { &mut *walker };
    let depth = walker.depth as usize;
    if walker.frame == 0 || depth >= MAX_PYTHON_FRAMES {
        return STOP;
    }
    let places = walker.places;
    let sheet = &mut *walker.sheet;
    if !read(&mut sheet.frame, places.bytes, walker.frame.wrapping_add(places.first)) {
        return STOP;
    }
    let frame = &sheet.frame;
    walker.frame = word(frame, places.previous);
    let sort = if places.sort == NOWHERE { NOWHERE } else { byte(frame, places.sort) };
    if sort != NOWHERE && sort >= places.first_foreign {
        // C code has called the frame inside this one.
        if let Some(inside) = depth.checked_sub(1) {
            sheet.stack.calls[inside % MAX_PYTHON_FRAMES].code |= ENTERED;
        }
        walker.hash = mix(walker.hash, ENTERED);
        return GO_ON;
    }
    let entered = if sort == places.entered { ENTERED } else { 0 };
    let call = PythonCall {
        code: word(frame, places.code) & !places.code_tag | entered,
        instruction: if places.instruction_bytes == 8 {
            word(frame, places.instruction)
        } else {
            i64::from(half(frame, places.instruction)) as u64
        },
    };
    sheet.stack.calls[depth % MAX_PYTHON_FRAMES] = call;
    walker.depth += 1;
    walker.hash = mix(mix(walker.hash, call.code), call.instruction);
    GO_ON
}

/// Odd, with its bits spread: Fibonacci hashing's multiplier.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(MIX)
}

type Read = [u64; FRAME_BYTES / 8];

/// Reads so much of a frame, at once: a read costs as much as all the rest, and one of a word little less than this. Says
/// whether it is there.
#[inline(always)]
fn read(to: &mut Read, bytes: u64, place: u64) -> bool {
    let bytes = (bytes & (FRAME_BYTES as u64 - 1)) as u32;
    // SAFETY: there is room for as many bytes; the helper fails on an address that is not the target's.
    unsafe { bpf_probe_read_user(to.as_mut_ptr().cast(), bytes, place as *const _) == 0 }
}

/// A word of what was read.
#[inline(always)]
fn word(read: &Read, place: u64) -> u64 {
    read[place as usize % FRAME_BYTES / 8]
}

/// Four bytes of it.
#[inline(always)]
fn half(read: &Read, place: u64) -> i32 {
    (word(read, place) >> (place % 8 * 8)) as i32
}

/// A byte of it.
#[inline(always)]
fn byte(read: &Read, place: u64) -> u64 {
    word(read, place) >> (place % 8 * 8) & 0xff
}
