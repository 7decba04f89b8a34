//! Outstanding heap blocks of one process, by address, in little room: a program may hold ten million.
//!
//! A block takes 20 bytes in a table that is between 7/9 and 7/8 full, so 24 on the average. The table is in parts that
//! grow one after the other and by an eighth, so that growing does not for a moment take much more. The hash is seeded:
//! the target chooses its addresses and must not choose our collisions. The few blocks that 20 bytes are too narrow for,
//! of 4 GiB and more or at addresses that only five levels of page tables reach, are kept aside.
//!
//! Parts do not shrink while blocks go: what a program held once it mostly holds again.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use super::StackIndex;

/// A block that was allocated and not freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bytes asked for.
    pub size: u64,
    /// When it was allocated, nanoseconds of the records' clock, to 64 of them.
    pub time: u64,
    /// Where.
    pub stack: StackIndex,
    /// What the ledger wants kept with it.
    pub period: u8,
}

/// The blocks.
#[derive(Debug, Default)]
pub struct Heap {
    parts: Vec<Part>,
    keys: Keys,
    /// By address, what no [`Slot`] holds.
    wide: HashMap<u64, Block>,
    /// Time of the first block, which the others' are counted from.
    epoch: u64,
}

/// How many parts the table is in, as a power of two.
const PARTS_LOG2: u32 = 6;

/// Nanoseconds in the unit of a packed time, as a power of two.
const TIME_UNIT_LOG2: u32 = 6;

/// Bits of a key, and of an address that has one.
const KEY_BITS: u32 = 48;

/// Largest value of 48 bits.
const MAX_48: u64 = (1 << 48) - 1;

/// No address space of four levels holds a larger block; a larger size is somebody's mistake, and would spoil the sums.
pub const MAX_SIZE: u64 = MAX_48;

/// A [`Block`] in 14 bytes, with its key: 32 bits for the size, 48 for the time in units of 64 ns since the epoch, which
/// last 208 days, and 24 for the stack.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// Of the address; 0 where there is no block.
    key_low: u32,
    size: u32,
    time_low: u32,
    stack_and_period: u32,
    key_high: u16,
    time_high: u16,
}

const _: () = assert!(size_of::<Slot>() == 20);

impl Slot {
    /// None of a block that is too large.
    fn new(key: u64, block: Block, epoch: u64) -> Option<Self> {
        let time = (block.time.saturating_sub(epoch) >> TIME_UNIT_LOG2).min(MAX_48);
        Some(Self {
            key_low: key as u32,
            size: u32::try_from(block.size).ok()?,
            time_low: time as u32,
            stack_and_period: block.stack.0 << 8 | u32::from(block.period),
            key_high: (key >> 32) as u16,
            time_high: (time >> 32) as u16,
        })
    }

    fn key(&self) -> u64 {
        wide(self.key_high, self.key_low)
    }

    fn block(self, epoch: u64) -> Block {
        Block {
            size: self.size.into(),
            time: epoch + (wide(self.time_high, self.time_low) << TIME_UNIT_LOG2),
            stack: StackIndex(self.stack_and_period >> 8),
            period: self.stack_and_period as u8,
        }
    }
}

fn wide(high: u16, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Turns addresses of 48 bits into keys of as many that are spread evenly, and back: a table of keys needs no addresses
/// beside them. Address 0, where no block is, has the key 0.
#[derive(Clone, Copy, Debug)]
struct Keys {
    /// Odd, so that each multiplication can be undone.
    factors: [u64; 2],
    inverses: [u64; 2],
}

impl Default for Keys {
    fn default() -> Self {
        let seed = RandomState::new();
        let factors = [seed.hash_one(0) | 1, seed.hash_one(1) | 1];
        Self { factors, inverses: factors.map(inverse) }
    }
}

impl Keys {
    fn of(&self, address: u64) -> u64 {
        let mixed = address.wrapping_mul(self.factors[0]) & MAX_48;
        (mixed ^ mixed >> (KEY_BITS / 2)).wrapping_mul(self.factors[1]) & MAX_48
    }

    fn address(&self, key: u64) -> u64 {
        let mixed = key.wrapping_mul(self.inverses[1]) & MAX_48;
        (mixed ^ mixed >> (KEY_BITS / 2)).wrapping_mul(self.inverses[0]) & MAX_48
    }
}

/// What an odd number gives 1 with, by Newton's way: every step doubles the bits that are right, of which the number
/// itself has three.
fn inverse(odd: u64) -> u64 {
    (0..5).fold(odd, |inverse, _| inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse))))
}

/// A part of the table: slots in the order of their keys, each at its home or as few places behind it as that allows.
#[derive(Debug, Default)]
struct Part {
    /// The homes, and some places more for those that the last ones push on.
    slots: Vec<Slot>,
    homes: usize,
    /// How many hold a block.
    held: usize,
}

/// Homes that a part begins with.
const FIRST_HOMES: usize = 8;

/// A part with so many homes grows by little at a time. To come there, each grows to another size, so that from then on
/// they do not all grow at the same moment.
const MANY_HOMES: usize = 64;

/// Places behind the last home.
const PLACES_MORE: usize = 32;

impl Part {
    /// Where a key would best be: homes are given out evenly, in the order of the keys. The first bits are the same in
    /// all of a part.
    fn home(&self, key: u64) -> usize {
        home(key, self.homes)
    }

    /// The place of this key, or the one that it would take.
    fn find(&self, key: u64) -> Result<usize, usize> {
        let home = self.home(key);
        let later = self.slots.iter().skip(home).take_while(|slot| slot.key() != 0 && slot.key() < key).count();
        let place = home + later;
        if self.slots.get(place).is_some_and(|slot| slot.key() == key) { Ok(place) } else { Err(place) }
    }

    fn insert(&mut self, number: usize, new: Slot) -> Option<Slot> {
        loop {
            match self.find(new.key()) {
                Ok(place) => return Some(std::mem::replace(&mut self.slots[place], new)),
                Err(place) => {
                    let free = self.slots.iter().skip(place).position(|slot| slot.key() == 0);
                    if let Some(pushed) = free.filter(|_| (self.held + 1) * 8 <= self.homes * 7) {
                        self.slots.copy_within(place..place + pushed, place + 1);
                        self.slots[place] = new;
                        self.held += 1;
                        return None;
                    }
                    self.grow(number);
                }
            }
        }
    }

    fn remove(&mut self, place: usize) -> Slot {
        let removed = self.slots[place];
        let homes = self.homes;
        let is_pushed =
            |(behind, slot): &(usize, &Slot)| slot.key() != 0 && home(slot.key(), homes) < place + 1 + behind;
        let pushed = self.slots[place + 1..].iter().enumerate().take_while(is_pushed).count();
        self.slots.copy_within(place + 1..=place + pushed, place);
        self.slots[place + pushed] = Slot::default();
        self.held -= 1;
        removed
    }

    fn grow(&mut self, number: usize) {
        self.homes = match self.homes {
            0 => FIRST_HOMES,
            few if 2 * few < MANY_HOMES => 2 * few,
            few if few < MANY_HOMES => MANY_HOMES + number,
            many => many + many / 8,
        };
        let mut slots = Vec::with_capacity(self.homes + PLACES_MORE);
        for slot in self.slots.iter().filter(|slot| slot.key() != 0) {
            slots.resize(self.home(slot.key()).max(slots.len()), Slot::default());
            slots.push(*slot);
        }
        slots.resize(slots.len().max(self.homes + PLACES_MORE), Slot::default());
        self.slots = slots;
    }

    fn blocks(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(|slot| slot.key() != 0)
    }
}

fn home(key: u64, homes: usize) -> usize {
    let in_part = key << (PARTS_LOG2 + u64::BITS - KEY_BITS);
    ((u128::from(in_part) * homes as u128) >> u64::BITS) as usize
}

/// The part that a key belongs to.
fn part(key: u64) -> usize {
    (key >> (KEY_BITS - PARTS_LOG2)) as usize
}

impl Heap {
    /// Adds a block; gives back the one that was still there, whose free was never seen. There is none at address 0.
    pub fn insert(&mut self, addr: u64, block: Block) -> Option<Block> {
        if self.parts.is_empty() {
            self.parts.resize_with(1 << PARTS_LOG2, Part::default);
            self.epoch = block.time;
        }
        let epoch = self.epoch;
        let Some((key, slot)) = self.key(addr).and_then(|key| Some((key, Slot::new(key, block, epoch)?))) else {
            let narrow = self.remove(addr);
            return if addr == 0 { None } else { self.wide.insert(addr, block).or(narrow) };
        };
        let replaced = self.parts[part(key)].insert(part(key), slot);
        replaced.map(|slot| slot.block(epoch)).or_else(|| self.remove_wide(addr, |_| true))
    }

    /// Whether there is a block here.
    pub fn contains(&self, addr: u64) -> bool {
        let is_in_part = |key| self.parts.get(part(key)).is_some_and(|part| part.find(key).is_ok());
        self.key(addr).is_some_and(is_in_part) || self.wide.contains_key(&addr)
    }

    /// Removes the block here.
    pub fn remove(&mut self, addr: u64) -> Option<Block> {
        self.remove_if(addr, |_| true)
    }

    /// Removes the block here if it was allocated before `time`.
    pub fn remove_older(&mut self, addr: u64, time: u64) -> Option<Block> {
        self.remove_if(addr, |block| block.time < time)
    }

    fn remove_if(&mut self, addr: u64, is_meant: impl Fn(&Block) -> bool) -> Option<Block> {
        self.remove_narrow(addr, &is_meant).or_else(|| self.remove_wide(addr, is_meant))
    }

    fn remove_narrow(&mut self, addr: u64, is_meant: impl Fn(&Block) -> bool) -> Option<Block> {
        let key = self.key(addr)?;
        let part = self.parts.get_mut(part(key))?;
        let place = part.find(key).ok()?;
        let block = part.slots[place].block(self.epoch);
        is_meant(&block).then(|| {
            part.remove(place);
            block
        })
    }

    fn remove_wide(&mut self, addr: u64, is_meant: impl Fn(&Block) -> bool) -> Option<Block> {
        if self.wide.is_empty() || !is_meant(self.wide.get(&addr)?) {
            return None;
        }
        self.wide.remove(&addr)
    }

    /// The key of an address that has one.
    fn key(&self, addr: u64) -> Option<u64> {
        (1..=MAX_48).contains(&addr).then(|| self.keys.of(addr))
    }

    /// The blocks, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Block)> + '_ {
        let (keys, epoch) = (self.keys, self.epoch);
        let narrow = self.parts.iter().flat_map(Part::blocks);
        let narrow = narrow.map(move |slot| (keys.address(slot.key()), slot.block(epoch)));
        narrow.chain(self.wide.iter().map(|(addr, block)| (*addr, *block)))
    }

    /// Removes all blocks.
    pub fn drain(&mut self) -> impl Iterator<Item = (u64, Block)> + use<> {
        let (keys, epoch) = (self.keys, self.epoch);
        let slots = std::mem::take(&mut self.parts).into_iter().flat_map(|part| part.slots);
        let slots = slots.filter(|slot| slot.key() != 0);
        let narrow = slots.map(move |slot| (keys.address(slot.key()), slot.block(epoch)));
        narrow.chain(std::mem::take(&mut self.wide))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const NOTHING: Block = Block { size: 0, time: 0, stack: StackIndex(0), period: 0 };

    /// Numbers that repeat from run to run.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn it_answers_as_a_plain_map_would() {
        let (mut heap, mut plain) = (Heap::default(), BTreeMap::new());
        let mut state = 42;
        for step in 0..200_000_u64 {
            let levels = if random(&mut state).is_multiple_of(16) { 1 << 55 } else { 0 };
            let addr = levels + 0x5555_0000_0000 + random(&mut state) % 20_000 * 16;
            let time = (1 << 40) + step * 64;
            let stack = StackIndex(random(&mut state) as u32 >> 8);
            let block = Block {
                size: random(&mut state) >> 17 >> (random(&mut state) % 47),
                time,
                stack,
                period: random(&mut state) as u8,
            };
            // It grows, and goes, and grows.
            match random(&mut state) % 8 {
                0..3 => assert_eq!(heap.insert(addr, block), plain.insert(addr, block)),
                3..5 if step % 100_000 < 50_000 => assert_eq!(heap.insert(addr, block), plain.insert(addr, block)),
                _ => assert_eq!(heap.remove(addr), plain.remove(&addr)),
            }
        }
        let mut left: Vec<_> = heap.iter().collect();
        left.sort_by_key(|(addr, _)| *addr);
        assert_eq!(left, plain.into_iter().collect::<Vec<_>>());
        assert_eq!(heap.drain().count(), left.len());
        assert_eq!(heap.iter().count(), 0);
    }

    #[test]
    fn a_late_free_ends_only_what_was_allocated_before_it() {
        let mut heap = Heap::default();
        heap.insert(16, Block { size: 1, time: 10_000, ..NOTHING });
        assert!(heap.contains(16) && !heap.contains(32));
        assert_eq!(heap.remove_older(16, 10_000), None);
        assert!(heap.remove_older(16, 10_500).is_some());
    }

    #[test]
    fn a_block_too_large_for_the_table_takes_the_place_of_one_in_it_and_the_other_way_round() {
        let mut heap = Heap::default();
        let (small, large) = (Block { size: 7, ..NOTHING }, Block { size: 1 << 32, ..NOTHING });
        assert_eq!(heap.insert(16, small), None);
        assert_eq!(heap.insert(16, large), Some(small));
        assert!(heap.contains(16));
        assert_eq!(heap.iter().collect::<Vec<_>>(), [(16, large)]);
        assert_eq!(heap.insert(16, small), Some(large));
        assert_eq!(heap.remove(16), Some(small));
        assert_eq!(heap.remove(16), None);
    }

    /// The slots of each part are in order, at home or pushed there by the one before.
    fn check_order(heap: &Heap) {
        for part in &heap.parts {
            let mut next = 0;
            let mut last = 0;
            for (place, slot) in part.slots.iter().enumerate().filter(|(_, slot)| slot.key() != 0) {
                assert_eq!(place, part.home(slot.key()).max(next));
                assert!(slot.key() > last);
                (next, last) = (place + 1, slot.key());
            }
            assert_eq!(part.blocks().count(), part.held);
        }
    }

    #[test]
    fn it_stays_in_order_and_as_full_as_is_said_whatever_the_addresses() {
        for stride in [1, 16, 48, 4096, 1 << 21, (1 << 47) / 200_000] {
            let mut heap = Heap::default();
            for number in 1..=200_000 {
                heap.insert(number * stride, Block { size: number, ..NOTHING });
                if number % 10_000 == 0 {
                    let slots: usize = heap.parts.iter().map(|part| part.slots.capacity()).sum();
                    let each = slots as f64 / number as f64;
                    assert!((1.0..1.45).contains(&each), "{each} slots a block at {number} by {stride}");
                }
            }
            check_order(&heap);
            for number in (1..=200_000).filter(|number| number % 3 > 0) {
                assert_eq!(heap.remove(number * stride).map(|block| block.size), Some(number));
            }
            check_order(&heap);
            assert_eq!(heap.iter().map(|(addr, _)| addr).max(), Some(199_998 * stride));
        }
    }

    #[test]
    fn keys_lead_back_to_their_addresses() {
        let mut state = 7;
        for _ in 0..100 {
            let keys = Keys::default();
            for address in [0, 1, 16, 1 << 47, MAX_48, random(&mut state) & MAX_48] {
                assert_eq!(keys.address(keys.of(address)), address);
            }
            assert_eq!(keys.of(0), 0);
        }
    }

    #[test]
    fn there_is_no_block_at_address_0() {
        let mut heap = Heap::default();
        assert_eq!(heap.insert(0, NOTHING), None);
        assert_eq!(heap.remove(0), None);
        assert_eq!(heap.iter().count(), 0);
    }
}
