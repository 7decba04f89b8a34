//! Words that programs on all processors add to.
//!
//! The language's own atomic additions are not there for this machine, and its other atomic operations are made for one
//! thread.

use core::{arch::asm, ptr};

/// Adds to the word in one step that all processors see, and gives what it was.
///
/// # Safety
///
/// The pointer is to a word in a map.
#[inline(always)]
pub unsafe fn fetch_add(word: *mut u64, by: u64) -> u64 {
    let mut value = by;
    // SAFETY: it touches the word and the register.
    unsafe {
        asm!("{value} = atomic_fetch_add((u64 *)({word} + 0), {value})", word = in(reg) word, value = inout(reg) value);
    }
    value
}

/// Sets the word if it is `old`, in one step that all processors see. Says whether it was. What was stored before is seen
/// by all before what is loaded after.
///
/// # Safety
///
/// As for [`fetch_add`].
#[inline(always)]
pub unsafe fn replace(word: *mut u64, old: u64, new: u64) -> bool {
    let mut was = old;
    // SAFETY: it touches the word and the registers.
    unsafe {
        asm!("r0 = cmpxchg_64({word} + 0, r0, {new})", word = in(reg) word, new = in(reg) new, inout("r0") was);
    }
    was == old
}

/// What the word is.
///
/// # Safety
///
/// As for [`fetch_add`].
#[inline(always)]
pub unsafe fn load(word: *const u64) -> u64 {
    // SAFETY: the caller's.
    unsafe { ptr::read_volatile(word) }
}
