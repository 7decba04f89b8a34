//! The part of a stack that was read last: one read of many words costs little more than a read of one, and a frame's
//! words lie close together.

use aya_ebpf::{cty::c_void, helpers::generated::bpf_probe_read_user};

use leak_ebpf::frame::REACH;

use crate::call::read_user;

/// Words that are read at once, at most.
const WORDS: usize = REACH;
const BYTES: u64 = 8 * WORDS as u64;

/// A frame larger than this has its end looked at alone.
const LARGE: u64 = BYTES / 2;

/// Registers are saved at most this far from the end of a frame, mostly.
const SAVED: u64 = 128;

/// No stack begins here.
const NOWHERE: u64 = u64::MAX - BYTES;

/// How many words are read at once: a power of two. Zero is not yet known, and as many as can be.
///
/// The lower bits count how many fewer these are than all, so that the verifier sees their bounds; one more bit says
/// that this is known.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Width(u8);

impl Width {
    /// [`WORDS`].
    pub const FULL: Self = Self(Self::PARTS);

    const PARTS: u8 = 32;
    const PART: u64 = BYTES / Self::PARTS as u64;

    /// The least in which so many words are.
    #[inline(always)]
    pub const fn of_words(words: u16) -> Self {
        Self(match words as usize {
            words if words <= WORDS / 8 => Self::PARTS + 28,
            words if words <= WORDS / 4 => Self::PARTS + 24,
            words if words <= WORDS / 2 => Self::PARTS + 16,
            _ => Self::PARTS,
        })
    }

    /// The greater of two, of which the other one is known.
    #[inline(always)]
    pub const fn max(self, other: Self) -> Self {
        if self.0 == 0 || self.missing() > other.missing() { other } else { self }
    }

    #[inline(always)]
    const fn missing(self) -> u64 {
        (self.0 % Self::PARTS) as u64
    }

    #[inline(always)]
    const fn bytes(self) -> u64 {
        BYTES - self.missing() * Self::PART
    }
}

/// The words from an address on.
#[repr(C)]
pub struct Window {
    base: u64,
    /// Bytes that are shown, a power of two.
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
            self.look(place, Width::FULL);
        }
        (self.base == place).then_some(&self.words)
    }

    /// The words at these places of a frame that begins at `sp` and whose return address is the first of them.
    #[inline(always)]
    pub fn read(&mut self, sp: u64, places: [u64; 4]) -> Option<[u64; 4]> {
        if !self.shows(places) {
            let end = places[0];
            let base = match end.wrapping_sub(self.base) {
                // It was narrow and is wide enough otherwise.
                from_here if self.bytes < BYTES && from_here < BYTES => self.base,
                _ if end.wrapping_sub(sp) < LARGE => sp,
                _ => end.wrapping_sub(SAVED),
            };
            self.look(base, Width::FULL);
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
        (one | two | three | four) & !(self.bytes - 8) == 0
    }
}
