//! The part of a stack that was read last: one read of many words costs little more than a read of one, and a frame's
//! words lie close together.

use aya_ebpf::{cty::c_void, helpers::generated::bpf_probe_read_user};

use leak_ebpf::frame::REACH;

use crate::call::read_user;

/// Words that are read at once, at most.
const WORDS: usize = REACH;
const BYTES: u64 = 8 * WORDS as u64;

/// Bytes that are read at once where nothing is known of the stack. More can be too many: beyond its end is nothing.
const USUAL: u64 = BYTES / 2;

/// A frame larger than this has its end looked at alone.
const LARGE: u64 = USUAL / 2;

/// Registers are saved at most this far from the end of a frame, mostly.
const SAVED: u64 = 128;

/// No stack begins here.
const NOWHERE: u64 = u64::MAX - BYTES;

/// How many words are read at once, in parts of [`BYTES`]. Zero is not yet known, and as many as is usual.
///
/// One bit says that it is known, and the lower ones by how many parts it differs from what is usual, modulo [`PARTS`]:
/// so the verifier sees the bounds of what comes of it, whatever is in memory.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Width(u8);

const PARTS: u8 = 32;
const PART: u64 = BYTES / PARTS as u64;

impl Width {
    /// What is usual.
    pub const USUAL: Self = Self(PARTS);

    /// The least in which so many words are.
    #[inline(always)]
    pub const fn of_words(words: u16) -> Self {
        let parts = (8 * words as u64).div_ceil(PART) as u8;
        Self(PARTS | (parts.wrapping_sub(PARTS / 2) % PARTS))
    }

    /// The greater of two, of which the other one is known.
    #[inline(always)]
    pub const fn max(self, other: Self) -> Self {
        if self.0 == 0 || self.bytes() < other.bytes() { other } else { self }
    }

    #[inline(always)]
    const fn bytes(self) -> u64 {
        let parts = self.0.wrapping_add(PARTS / 2 - 1) % PARTS + 1;
        parts as u64 * PART
    }
}

/// The words from an address on.
#[repr(C)]
pub struct Window {
    base: u64,
    /// Bytes that are shown.
    bytes: u64,
    /// Whether a walk did with what it was first opened for.
    was_enough: bool,
    /// See [`Window::word`].
    offset: u64,
    words: [u64; WORDS],
}

impl Window {
    /// Opens the window at this address, rounded down to a word.
    #[inline(always)]
    pub fn open(&mut self, base: u64, width: Width) {
        self.look(base, width);
        self.was_enough = true;
    }

    /// Whether what it was opened for was enough so far.
    #[inline(always)]
    pub fn was_enough(&self) -> bool {
        self.was_enough
    }

    #[inline(always)]
    fn look(&mut self, base: u64, width: Width) {
        let base = base & !7;
        let words = core::ptr::from_mut(&mut self.words).cast::<c_void>();
        // SAFETY: the helper writes so many bytes to `words`, and fails on an address that is not the target's.
        let read = unsafe { bpf_probe_read_user(words, width.bytes() as u32, base as *const c_void) };
        self.base = if read == 0 { base } else { NOWHERE };
        self.bytes = width.bytes();
    }

    /// The word that it was opened at, if that is whole.
    #[inline(always)]
    pub fn first(&self, place: u64) -> Option<u64> {
        (self.base == place).then_some(self.words[0])
    }

    /// The words from this place on, of which it shows at least so many, if need be by looking again.
    #[inline(always)]
    pub fn show(&mut self, place: u64, words: u16) -> Option<&[u64; WORDS]> {
        if u64::from(words) * 8 > self.bytes {
            self.look(place, Width::of_words(words));
            self.was_enough = false;
        }
        (self.base == place).then_some(&self.words)
    }

    /// The words at these places of a frame that begins at `sp` and whose return address is the first of them.
    #[inline(always)]
    pub fn read(&mut self, sp: u64, places: [u64; 4]) -> Option<[u64; 4]> {
        if !self.shows(places) {
            let end = places[0];
            self.look(if end.wrapping_sub(sp) < LARGE { sp } else { end.wrapping_sub(SAVED) }, Width::USUAL);
            self.was_enough = false;
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
        let is_near = (one | two | three | four) & !(BYTES - 8) == 0;
        // Of what is near, this is below 0 where it is inside: in all four, or the sign is gone.
        let [one, two, three, four] = [one, two, three, four].map(|offset| offset.wrapping_sub(self.bytes));
        is_near && ((one & two & three & four) as i64) < 0
    }
}
