//! The walk from a thread's innermost frame outwards.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use leak_ebpf::{ENTERED, FRAME_BYTES, MAX_PYTHON_FRAMES, MAX_PYTHON_STEPS, NOWHERE, Places, PythonCall, PythonStack};

use super::innermost;
use crate::repeat::{GO_ON, STOP, repeat};

/// Bytes of memory that are read at once where frames lie one behind the other.
const WINDOW: usize = 1024;

/// How far below what was read the next frame may be for the window to move there. Some lie elsewhere, alone.
const NEAR: u64 = 16 << 10;

/// Frames that are looked at each time that the loop comes round.
const AT_A_TIME: u32 = 4;

/// What a walk is written on. It lies in a map, where the verifier lets a place in it be any number.
#[repr(C)]
pub struct Sheet {
    /// What was read: first the window, then a frame that was read alone.
    memory: [u64; 2 * WINDOW / 8],
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
    /// Where the window begins, once there is one.
    window: u64,
    places: &'a Places,
    sheet: &'a mut Sheet,
}

/// Walks the running thread's frames into the sheet. Gives a hash of them, 0 where there are none.
#[inline(always)]
pub fn walk(places: &Places, sheet: &mut Sheet) -> u64 {
    let frame = innermost(places).unwrap_or(0);
    let mut walker = Walker { frame, depth: 0, hash: 0, window: 0, places, sheet };
    if frame != 0 {
        repeat(MAX_PYTHON_STEPS / AT_A_TIME, go_out, &mut walker);
    }
    walker.sheet.stack.depth = walker.depth;
    walker.hash ^ walker.hash >> 32
}

/// Some frames outwards.
#[inline(never)]
extern "C" fn go_out(_time: u64, walker: *mut Walker<'_>) -> i64 {
    // SAFETY: `repeat` hands over a reference that nobody else uses meanwhile.
    let walker = unsafe { &mut *walker };
    for _ in 0..AT_A_TIME {
        if !step(walker) {
            return STOP;
        }
    }
    GO_ON
}

/// One frame outwards. Says whether there may be more.
#[inline(always)]
fn step(walker: &mut Walker<'_>) -> bool {
    let depth = walker.depth as usize;
    if walker.frame == 0 || depth >= MAX_PYTHON_FRAMES {
        return false;
    }
    let Some(at) = read_frame(walker) else { return false };
    let places = walker.places;
    let sheet = &mut *walker.sheet;
    let memory = &sheet.memory;
    walker.frame = word(memory, at.wrapping_add(places.previous));
    let sort = if places.sort == NOWHERE { NOWHERE } else { byte(memory, at.wrapping_add(places.sort)) };
    if sort != NOWHERE && sort >= places.first_foreign {
        // C code has called the frame inside this one.
        if let Some(inside) = depth.checked_sub(1) {
            sheet.stack.calls[inside % MAX_PYTHON_FRAMES].code |= ENTERED;
        }
        walker.hash = mix(walker.hash, ENTERED);
        return true;
    }
    let entered = if sort == places.entered { ENTERED } else { 0 };
    let instruction = at.wrapping_add(places.instruction);
    let call = PythonCall {
        code: word(memory, at.wrapping_add(places.code)) & !places.code_tag | entered,
        instruction: if places.instruction_bytes == 8 {
            word(memory, instruction)
        } else {
            i64::from(half(memory, instruction)) as u64
        },
    };
    sheet.stack.calls[depth % MAX_PYTHON_FRAMES] = call;
    walker.depth += 1;
    walker.hash = mix(mix(walker.hash, call.code), call.instruction);
    true
}

/// Has what is wanted of the next frame on the sheet, and gives where. A read costs as much as all the rest, and one of
/// a window hardly more than one of a frame: so where a caller's frame lies just below, several are read together.
#[inline(always)]
fn read_frame(walker: &mut Walker<'_>) -> Option<u64> {
    let places = walker.places;
    let bytes = places.bytes & (FRAME_BYTES as u64 - 1);
    let start = walker.frame.wrapping_add(places.first);
    let in_window = WINDOW as u64 - bytes;
    let at = start.wrapping_sub(walker.window);
    if walker.window != 0 && at <= in_window {
        return Some(at);
    }
    let is_near = walker.window == 0 || walker.window.wrapping_sub(start) < NEAR;
    let window = start.wrapping_sub(in_window);
    let memory = &mut walker.sheet.memory;
    if places.is_stacked != 0 && is_near && read(memory, 0, WINDOW as u32, window) {
        walker.window = window;
        return Some(in_window);
    }
    read(memory, WINDOW / 8, bytes as u32, start).then_some(WINDOW as u64)
}

/// Odd, with its bits spread: Fibonacci hashing's multiplier.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(MIX)
}

type Memory = [u64; 2 * WINDOW / 8];

/// Reads so many bytes to the place of this word. Says whether they are there.
#[inline(always)]
fn read(to: &mut Memory, word: usize, bytes: u32, from: u64) -> bool {
    // SAFETY: there is room for a window at the beginning and for a frame behind it, which are the two that are read; the
    // helper fails on an address that is not the target's.
    unsafe { bpf_probe_read_user(to.as_mut_ptr().add(word).cast(), bytes, from as *const _) == 0 }
}

/// A word of what was read.
#[inline(always)]
fn word(read: &Memory, place: u64) -> u64 {
    read[place as usize / 8 % (2 * WINDOW / 8)]
}

/// Four bytes of it.
#[inline(always)]
fn half(read: &Memory, place: u64) -> i32 {
    (word(read, place) >> (place % 8 * 8)) as i32
}

/// A byte of it.
#[inline(always)]
fn byte(read: &Memory, place: u64) -> u64 {
    word(read, place) >> (place % 8 * 8) & 0xff
}
