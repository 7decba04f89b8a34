//! Every event of a trace, in blocks: what `--events` adds to a session.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use foldhash::fast::RandomState;
use leak_ebpf::{AllocRecord, Draw, Head, Record, SpillKey, SpillTime};

use super::bytes::{Rest, pack, put, put_signed, unpack};

/// Events of a block.
pub const BLOCK_EVENTS: usize = 1 << 15;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Memory was allocated.
    Allocated,
    /// A block was given back.
    Freed,
    /// Realloc, mremap or munmap has begun on memory.
    Taken,
    /// That came to nothing: the memory is still there.
    Restored,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Allocated, Self::Freed, Self::Taken, Self::Restored];
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// Nanoseconds of the machine's monotonic clock, to within a tick.
    pub time: u64,
    /// The process.
    pub pid: u32,
    /// The thread; 0 for a free.
    pub tid: u32,
    /// Where the memory begins.
    pub address: u64,
    /// Bytes asked for, or of address space taken.
    pub bytes: u64,
    /// Names the stack that allocated it; 0 for what is no allocation.
    pub stack: u64,
    /// Mean bytes between samples when it was taken; 1 is every allocation.
    pub period: u64,
}

impl Event {
    /// The events in a record, if it is one of memory.
    pub fn of(record: &Record<'_>, pid: impl FnOnce(u16) -> u32) -> [Option<Self>; 2] {
        let Head { process, tid, time, .. } = record.head();
        let plain = Self { kind: Kind::Freed, time, pid: 0, tid, address: 0, bytes: 0, stack: 0, period: 0 };
        let allocated = |alloc: &AllocRecord| Self {
            kind: Kind::Allocated,
            address: alloc.addr,
            bytes: alloc.size,
            stack: alloc.stack,
            period: Draw::unpack(alloc.draw).period,
            ..plain
        };
        let (first, second) = match record {
            Record::Alloc(alloc) => (allocated(alloc), None),
            Record::Brief { alloc, freed } => {
                (allocated(alloc), Some(Self { time: *freed, tid: 0, address: alloc.addr, ..plain }))
            }
            Record::Free(free) => (Self { address: free.addr, ..plain }, None),
            Record::Take(take) => (Self { kind: Kind::Taken, address: take.addr, bytes: take.len, ..plain }, None),
            Record::Restore(_) => (Self { kind: Kind::Restored, ..plain }, None),
            _ => return [None; 2],
        };
        let pid = pid(process);
        [Some(first), second].map(|event| event.map(|event| Self { pid, ..event }))
    }

    /// The event of a free or an unmapping for which the ring had no room. Who did it was not kept.
    pub fn of_spilled(key: SpillKey, time: SpillTime, pid: u32) -> Self {
        let kind = if key.pages == 0 { Kind::Freed } else { Kind::Taken };
        Self { kind, time, pid, tid: 0, address: key.addr, bytes: key.bytes(), stack: 0, period: 0 }
    }
}

/// Events in the order in which they came about.
#[derive(Clone, Debug, Default)]
pub struct Block {
    events: Vec<Event>,
}

impl Block {
    /// Adds an event. Says whether the block is full.
    pub fn push(&mut self, event: Event) -> bool {
        self.events.push(event);
        self.events.len() >= BLOCK_EVENTS
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// As it is stored: each event as its difference from the one before, and names of stacks once.
    pub fn pack(&self) -> Result<Vec<u8>> {
        let mut stacks: HashMap<u64, u64, RandomState> = HashMap::default();
        let mut bytes = Vec::with_capacity(self.events.len() * 16);
        put(&mut bytes, self.events.len() as u64);
        let mut last = Event { kind: Kind::Freed, time: 0, pid: 0, tid: 0, address: 0, bytes: 0, stack: 0, period: 0 };
        for event in &self.events {
            bytes.push(event.kind as u8);
            put_signed(&mut bytes, event.time.wrapping_sub(last.time) as i64);
            put_signed(&mut bytes, i64::from(event.pid) - i64::from(last.pid));
            put(&mut bytes, event.tid.into());
            put_signed(&mut bytes, event.address.wrapping_sub(last.address) as i64);
            put(&mut bytes, event.bytes);
            if event.kind == Kind::Allocated {
                let next = stacks.len() as u64;
                let number = *stacks.entry(event.stack).or_insert(next);
                put(&mut bytes, number);
                if number == next {
                    bytes.extend(event.stack.to_le_bytes());
                }
                put(&mut bytes, event.period);
            }
            last = *event;
        }
        pack(&bytes)
    }

    /// Undoes [`Block::pack`].
    pub fn unpack(packed: &[u8]) -> Result<Self> {
        let bytes = unpack(packed)?;
        let mut rest = Rest(&bytes);
        let count = rest.count(BLOCK_EVENTS)?;
        let mut events = Vec::with_capacity(count);
        let mut stacks = Vec::new();
        let (mut time, mut pid, mut address) = (0_u64, 0_i64, 0_u64);
        for _ in 0..count {
            let kind = *Kind::ALL.get(usize::from(rest.byte()?)).context("it has an event of no known kind")?;
            time = time.wrapping_add(rest.signed()? as u64);
            pid = pid.wrapping_add(rest.signed()?);
            let tid = rest.number()? as u32;
            address = address.wrapping_add(rest.signed()? as u64);
            let bytes = rest.number()?;
            let (mut stack, mut period) = (0, 0);
            if kind == Kind::Allocated {
                let number = usize::try_from(rest.number()?).unwrap_or(usize::MAX);
                if number == stacks.len() {
                    let mut id = [0; 8];
                    for byte in &mut id {
                        *byte = rest.byte()?;
                    }
                    stacks.push(u64::from_le_bytes(id));
                }
                stack = *stacks.get(number).context("it has an event of a stack that it does not name")?;
                period = rest.number()?;
            }
            events.push(Event { kind, time, pid: pid as u32, tid, address, bytes, stack, period });
        }
        ensure!(rest.0.is_empty(), "it goes on after its end");
        Ok(Self { events })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_back_as_it_was_and_takes_few_bytes_an_event() {
        let mut block = Block::default();
        for number in 0..10_000_u64 {
            let is_free = number % 2 == 1;
            block.push(Event {
                kind: if is_free { Kind::Freed } else { Kind::Allocated },
                time: (1 << 50) | (number * 1000),
                pid: 4242,
                tid: if is_free { 0 } else { 4243 },
                address: 0x7f00_0000_0000 + number / 2 * 48,
                bytes: if is_free { 0 } else { 40 },
                stack: if is_free { 0 } else { 0xdead_beef_0000_0000 + number % 7 },
                period: u64::from(!is_free),
            });
        }
        let packed = block.pack().unwrap();
        assert!(packed.len() < 10_000 * 4, "{} bytes", packed.len());
        assert_eq!(Block::unpack(&packed).unwrap().events(), block.events());
    }

    #[test]
    fn nonsense_is_refused() {
        for length in 0..200_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37) ^ length).collect();
            let _ = Block::unpack(&pack(&bytes).unwrap());
            assert!(Block::unpack(&bytes).is_err());
        }
    }
}
