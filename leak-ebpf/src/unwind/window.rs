//! The part of a stack that was read last: one read of many words costs little more than a read of one, and a frame's
//! words lie close together.

use aya_ebpf::{cty::c_void, helpers::generated::bpf_probe_read_user};

use crate::call::read_user;

/// Words that are read at once.
const WORDS: usize = 256;
const BYTES: u64 = 8 * WORDS as u64;

/// A frame larger than this has its end looked at alone.
const LARGE: u64 = BYTES / 2;

/// Registers are saved at most this far from the end of a frame, mostly.
const SAVED: u64 = 128;

/// No stack begins here.
const NOWHERE: u64 = u64::MAX - BYTES;

/// The words from an address on.
#[repr(C)]
pub struct Window {
    base: u64,
    /// See [`Window::word`].
    offset: u64,
    words: [u64; WORDS],
}

impl Window {
    /// Moves the window to this address, rounded down to a word.
    #[inline(always)]
    pub fn open(&mut self, base: u64) {
        let base = base & !7;
        let words = core::ptr::from_mut(&mut self.words).cast::<c_void>();
        // SAFETY: the helper writes so many bytes to `words`, and fails on an address that is not the target's.
        let read = unsafe { bpf_probe_read_user(words, BYTES as u32, base as *const c_void) };
        self.base = if read == 0 { base } else { NOWHERE };
    }

    /// The words at these places of a frame that begins at `sp` and whose return address is the first of them.
    #[inline(always)]
    pub fn read(&mut self, sp: u64, places: [u64; 4]) -> Option<[u64; 4]> {
        if !self.shows(places) {
            let end = places[0];
            self.open(if end.wrapping_sub(sp) < LARGE { sp } else { end.wrapping_sub(SAVED) });
            if !self.shows(places) {
                let [one, two, three, four] = places;
                return Some([read_user(one)?, read_user(two)?, read_user(three)?, read_user(four)?]);
            }
        }
        // Most rules need two words, and the others lead to the first.
        let [end, rest @ ..] = places;
        let first = self.word(end);
        let [second, third, fourth] = rest.map(|place| if place == end { first } else { self.word(place) });
        Some([first, second, third, fourth])
    }

    /// The word that the window shows at this place.
    ///
    /// The offset goes through memory, where the verifier loses sight of it: else it would hold every register that the
    /// place was computed from for important, and follow each path to here by itself.
    #[inline(always)]
    fn word(&mut self, place: u64) -> u64 {
        let offset = core::ptr::from_mut(&mut self.offset);
        // SAFETY: the pointer is to a field of `self`.
        let offset = unsafe {
            offset.write_volatile(place.wrapping_sub(self.base));
            offset.read_volatile()
        };
        self.words[(offset / 8) as usize % WORDS]
    }

    /// Whether all of these are whole words inside.
    #[inline(always)]
    fn shows(&self, places: [u64; 4]) -> bool {
        let [one, two, three, four] = places.map(|place| place.wrapping_sub(self.base));
        (one | two | three | four) & !(BYTES - 8) == 0
    }
}
