//! The ring's memory, shared with the programs: its slots, and how far they were written and read.

use std::{
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering, fence},
};

use anyhow::{Context, Result, ensure};
use leak_ebpf::{MAX_SLOTS, Positions, SLOT_BYTES, SLOT_WORDS, Slot, Turn, slots_of};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// After so many slots the programs are told that they may write there again: each time costs them a look at a line
/// that this processor wrote to.
const TELL_EVERY: u64 = 64;

/// The ring's memory, and how far it was read.
pub struct RingMemory {
    slots: Mapping,
    positions: Mapping,
    position: u64,
    /// Slots of the ring, a power of two.
    count: u64,
    /// A record of several slots.
    joined: [u64; MAX_SLOTS * SLOT_WORDS],
}

impl RingMemory {
    /// Maps the arrays of a ring of so many slots.
    pub fn map(slots: impl AsFd, positions: impl AsFd, count: u32) -> Result<Self> {
        ensure!(count.is_power_of_two(), "a ring of {count} slots cannot be read");
        let slots = Mapping::new(slots, 0, count as usize * SLOT_BYTES, ProtFlags::READ)?;
        let positions = Mapping::new(positions, 0, size_of::<Positions>(), ProtFlags::READ | ProtFlags::WRITE)?;
        Ok(Self::over(slots, positions, count))
    }

    fn over(slots: Mapping, positions: Mapping, count: u32) -> Self {
        Self { slots, positions, position: 0, count: count.into(), joined: [0; _] }
    }

    /// Gives the words of every record that is there to `take`, in the order in which their places were claimed, and for how
    /// long the block lived, in nanoseconds, whose free is noted there. `skipped` says how many slots from a position on
    /// were given up, if they were.
    pub fn drain(
        &mut self,
        mut take: impl FnMut(&[u64], Option<u64>),
        mut skipped: impl FnMut(u64) -> Result<Option<u64>>,
    ) -> Result<()> {
        let (mut told, mut settled) = (self.position, self.position);
        loop {
            if self.position >= settled {
                settled = self.written().load(Ordering::Acquire);
                self.reading().store(settled, Ordering::Relaxed);
                // Whoever notes a free from here on sees that, or the note is seen below.
                fence(Ordering::SeqCst);
            }
            let (turn, words) = self.slots.slot(self.position % self.count);
            let turn = Turn(turn.load(Ordering::Acquire));
            let taken = if turn.is(self.position) {
                let slots = slots_of(words) as u64;
                if slots == 1 {
                    take(words, turn.life());
                } else {
                    for (index, part) in (0..slots).zip(self.joined.chunks_exact_mut(SLOT_WORDS)) {
                        part.copy_from_slice(self.slots.slot((self.position + index) % self.count).1);
                    }
                    take(&self.joined, None);
                }
                slots
            } else if settled == self.position {
                break;
            } else {
                // Else it is still being written.
                let Some(slots) = skipped(self.position)? else { break };
                slots
            };
            self.position += taken;
            if self.position - told >= TELL_EVERY {
                told = self.position;
                self.read().store(told, Ordering::Release);
            }
        }
        self.read().store(self.position, Ordering::Release);
        // A record that comes now finds that all was read, or has been seen.
        fence(Ordering::SeqCst);
        Ok(())
    }

    fn written(&self) -> &AtomicU64 {
        self.positions.word(std::mem::offset_of!(Positions, written))
    }

    fn read(&self) -> &AtomicU64 {
        self.positions.word(std::mem::offset_of!(Positions, read))
    }

    fn reading(&self) -> &AtomicU64 {
        self.positions.word(std::mem::offset_of!(Positions, reading))
    }
}

/// A mapped part of a map.
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is memory like any other, and nothing in it belongs to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps so many bytes from an offset on.
    pub(super) fn new(map: impl AsFd, offset: u64, bytes: usize, protection: ProtFlags) -> Result<Self> {
        // SAFETY: a new mapping, at a place that the kernel chooses.
        let start = unsafe { mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, map, offset) }
            .context("the ring cannot be mapped")?;
        Ok(Self { start: NonNull::new(start.cast()).context("the ring cannot be mapped")?, bytes })
    }

    /// A word that the programs and this side change. Where it may not be written, it is only loaded.
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes);
        // SAFETY: inside the mapping, which is there as long as `self`, and aligned, for it begins with a page.
        unsafe { self.start.add(offset).cast().as_ref() }
    }

    /// The turn of a slot, and its words: which are only to be looked at when it is their turn.
    fn slot(&self, index: u64) -> (&AtomicU64, &[u64; SLOT_WORDS]) {
        let offset = index as usize * SLOT_BYTES;
        assert!(offset + SLOT_BYTES <= self.bytes);
        // SAFETY: inside the mapping and aligned, as above; the programs write to a slot's words when they have claimed
        // it, which they do again when it was read.
        let words = unsafe { self.start.add(offset + std::mem::offset_of!(Slot, words)).cast().as_ref() };
        (self.word(offset), words)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing that was borrowed from the mapping outlives it. An error leaves it mapped, which does no harm.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use leak_ebpf::Kind;

    use super::*;

    const COUNT: u32 = 64;

    /// A ring in memory of its own, written to as programs do.
    struct Writer {
        slots: Mapping,
        positions: Mapping,
    }

    fn ring() -> (Writer, RingMemory) {
        let memory = |bytes| {
            rustix::fs::memfd_create("ring", rustix::fs::MemfdFlags::CLOEXEC)
                .inspect(|file| rustix::fs::ftruncate(file, bytes).unwrap())
        };
        let (slots, positions) = (memory(1 << 12).unwrap(), memory(1 << 12).unwrap());
        let map = |file| Mapping::new(file, 0, 1 << 12, ProtFlags::READ | ProtFlags::WRITE).unwrap();
        let ring = RingMemory::over(map(&slots), map(&positions), COUNT);
        (Writer { slots: map(&slots), positions: map(&positions) }, ring)
    }

    impl Writer {
        fn claim(&self, slots: u64) -> u64 {
            self.positions.word(std::mem::offset_of!(Positions, written)).fetch_add(slots, Ordering::Relaxed)
        }

        fn write(&self, at: u64, words: &[u64]) {
            for (index, word) in words.iter().enumerate() {
                let slot = (at as usize + index / SLOT_WORDS) % COUNT as usize;
                self.slots.word(slot * SLOT_BYTES + 8 + 8 * (index % SLOT_WORDS)).store(*word, Ordering::Relaxed);
            }
            self.slots.word(at as usize % COUNT as usize * SLOT_BYTES).store(Turn::of(at).0, Ordering::Release);
        }

        /// Notes in a record that its block was freed, as a program does: whether that is in time it must look itself.
        fn note_freed(&self, at: u64, life: u64) -> bool {
            let turn = self.slots.word(at as usize % COUNT as usize * SLOT_BYTES);
            let noted = Turn::of(at).freed_after(life).0;
            turn.compare_exchange(Turn::of(at).0, noted, Ordering::SeqCst, Ordering::SeqCst).is_ok()
                && self.positions.word(std::mem::offset_of!(Positions, reading)).load(Ordering::SeqCst) <= at
        }

        fn read(&self) -> u64 {
            self.positions.word(std::mem::offset_of!(Positions, read)).load(Ordering::Acquire)
        }
    }

    fn drain(ring: &mut RingMemory) -> Vec<u64> {
        let mut records = Vec::new();
        ring.drain(|words, _| records.push(words[1]), |_| Ok(None)).unwrap();
        records
    }

    #[test]
    fn records_come_in_order_and_their_places_are_given_back_round_after_round() {
        let (writer, mut ring) = ring();
        for round in 0..1000 {
            let count = round % u64::from(COUNT);
            for number in 0..count {
                writer.write(writer.claim(1), &[Kind::Free as u64, number]);
            }
            assert_eq!(drain(&mut ring), (0..count).collect::<Vec<_>>());
            assert_eq!(writer.read(), ring.position);
        }
    }

    fn drain_lives(ring: &mut RingMemory) -> Vec<Option<u64>> {
        let mut lives = Vec::new();
        ring.drain(|_, life| lives.push(life), |_| Ok(None)).unwrap();
        lives
    }

    #[test]
    fn a_free_that_is_noted_before_its_block_is_read_of_comes_with_it_and_one_that_is_late_is_refused() {
        let (writer, mut ring) = ring();
        let places: Vec<u64> = (0..3).map(|_| writer.claim(1)).collect();
        for at in &places {
            writer.write(*at, &[Kind::Alloc as u64, 0]);
        }
        assert!(writer.note_freed(places[1], 7 << 16));
        assert!(!writer.note_freed(places[1], 9 << 16), "it was freed");
        assert_eq!(drain_lives(&mut ring), [None, Some(7 << 16), None]);
        assert!(!writer.note_freed(places[2], 0), "it was read");
    }

    #[test]
    fn of_notes_that_race_with_the_reader_each_is_read_or_refused() {
        let (writer, mut ring) = ring();
        let done = &std::sync::atomic::AtomicBool::new(false);
        let rounds = 200_000;
        let (mut read, mut noted) = (0_u64, 0_u64);
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || {
                let mut noted = 0;
                for _ in 0..rounds {
                    let at = writer.claim(1);
                    while at - writer.read() >= u64::from(COUNT) {
                        std::thread::yield_now();
                    }
                    writer.write(at, &[Kind::Alloc as u64, 0]);
                    noted += u64::from(writer.note_freed(at, 0));
                }
                done.store(true, Ordering::Release);
                noted
            });
            while !done.load(Ordering::Acquire) {
                read += drain_lives(&mut ring).into_iter().flatten().count() as u64;
            }
            noted = writing.join().unwrap();
        });
        read += drain_lives(&mut ring).into_iter().flatten().count() as u64;
        assert!(noted <= read && noted > 0, "{noted} were noted in time, {read} read");
    }

    #[test]
    fn what_is_behind_a_record_that_is_still_being_written_waits_for_it() {
        let (writer, mut ring) = ring();
        let (late, early) = (writer.claim(1), writer.claim(1));
        writer.write(early, &[Kind::Free as u64, 2]);
        assert_eq!(drain(&mut ring), [0_u64; 0]);
        writer.write(late, &[Kind::Free as u64, 1]);
        assert_eq!(drain(&mut ring), [1, 2]);
    }

    #[test]
    fn a_stack_that_runs_over_the_end_is_put_together() {
        let (writer, mut ring) = ring();
        for _ in 0..60 {
            writer.write(writer.claim(1), &[Kind::Free as u64, 0]);
        }
        drain(&mut ring);
        let depth = 60;
        let words: Vec<u64> = [Kind::Stack as u64, 9, 10, depth].into_iter().chain(100..100 + depth).collect();
        writer.write(writer.claim(words.len().div_ceil(SLOT_WORDS) as u64), &words);
        writer.write(writer.claim(1), &[Kind::Free as u64, 5]);
        let mut records = Vec::new();
        ring.drain(|words, _| records.push(words.to_vec()), |_| Ok(None)).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(records[0][..words.len()], words);
        assert_eq!(records[1][1], 5);
    }

    #[test]
    fn slots_that_were_given_up_are_passed_over() {
        let (writer, mut ring) = ring();
        let given_up = writer.claim(3);
        writer.write(writer.claim(1), &[Kind::Free as u64, 7]);
        let mut records = Vec::new();
        ring.drain(|words, _| records.push(words[1]), |at| Ok((at == given_up).then_some(3))).unwrap();
        assert_eq!(records, [7]);
    }
}
