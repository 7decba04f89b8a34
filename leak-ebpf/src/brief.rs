//! Blocks that live so briefly that they are freed before user space has read of their allocation.
//!
//! Most blocks do. Their free needs no record of its own: it is noted in the allocation's, which saves the ring half of its
//! traffic and user space most of its work. Two things are not to be mixed up: the same address handed out again, and a
//! record that is being read. So a table says where the last allocation at an address was recorded, and the note is made
//! in one step that fails when the slot holds anything else; and a note that may have come too late is no free.

use aya_ebpf::{macros::map, maps::Array};
use leak_ebpf::{AllocRecord, BlockKey, Kind, Turn};

use crate::{emit::settings, ring, shared};

/// Entries of the table, as a power of two: few enough to stay in a processor's cache.
const PLACES_LOG2: u32 = 15;

/// The lower half of the position behind the last allocation that was recorded, of the blocks of a bin.
#[map]
static PLACES: Array<u32> = Array::with_max_entries(1 << PLACES_LOG2, 0);

/// Remembers where an allocation was recorded.
#[inline(always)]
pub fn remember(process: u16, addr: u64, at: u64) {
    if let Some(place) = PLACES.get_ptr_mut(BlockKey::new(process, addr).bin(PLACES_LOG2)) {
        // SAFETY: the pointer is into the array. Of programs that write at once one prevails, and the other's block is
        // freed by a record.
        unsafe { place.write_volatile((at + 1) as u32) };
    }
}

/// Notes in the record of its allocation that a block is freed at `time`. `None` if that may not be read.
#[inline(always)]
pub fn note_freed(process: u16, addr: u64, time: u64) -> Option<()> {
    let place = PLACES.get_ptr(BlockKey::new(process, addr).bin(PLACES_LOG2))?;
    let positions = ring::positions()?;
    // SAFETY: the pointers are into arrays, which live as long as the programs.
    let (behind, reading, copied) =
        unsafe { (place.read_volatile(), &raw const (*positions).reading.0, &raw const (*positions).copied.0) };
    // SAFETY: as above.
    let unread = unsafe { shared::load(reading) };
    let ahead = u64::from(behind.wrapping_sub(1).wrapping_sub(unread as u32));
    if behind == 0 || ahead >= settings().slots {
        return None;
    }
    let at = unread + ahead;
    let slot = ring::slot(at)?;
    // SAFETY: the pointer is into the ring. The slot may be written anew meanwhile: then its turn changes, or has been
    // passed, which is looked at last.
    let (turn, record) = unsafe { (&raw mut (*slot).turn, &*(&raw const (*slot).words).cast::<AllocRecord>()) };
    if record.addr != addr || record.head.process != process || record.head.kind != Kind::Alloc as u8 {
        return None;
    }
    let freed = Turn::of(at).freed_after(time.saturating_sub(record.head.time));
    // SAFETY: as above.
    if !unsafe { shared::replace(turn, Turn::of(at).0, freed.0) } {
        return None;
    }
    // SAFETY: as above.
    let settled = unsafe { shared::load(reading).max(shared::load(copied)) };
    (at >= settled).then_some(())
}

/// Has what is recorded so far stay as it is: a process is copied with all that it holds.
#[inline(always)]
pub fn settle() {
    let Some(positions) = ring::positions() else { return };
    // SAFETY: the pointer is into the array.
    let (written, copied) = unsafe { (&raw const (*positions).written.0, &raw mut (*positions).copied.0) };
    for _ in 0..TRIES {
        // SAFETY: as above.
        let (so_far, before) = unsafe { (shared::load(written), shared::load(copied)) };
        // SAFETY: as above.
        if before >= so_far || unsafe { shared::replace(copied, before, so_far) } {
            break;
        }
    }
}

/// More than processors ever copy processes at the same moment.
const TRIES: u32 = 64;
