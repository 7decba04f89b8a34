//! The dicts, lists, sets and deques of a heap that have many entries: what may grow without bound.
//!
//! A container is told by its address from one scan to the next. Addresses are used again, so each comes with witnesses:
//! entries that a container which only grows keeps. Attributes of instances are no containers.

use super::view::{Shape, View};

/// Containers with fewer entries are left out: it is no leak yet, and there are many of them.
const MIN_ENTRIES: u64 = 32;

/// Most containers that are kept, the largest.
const MAX_CONTAINERS: usize = 1 << 17;

/// A container at the time of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its address.
    pub address: u64,
    /// Address of its type.
    pub kind: u64,
    /// How many entries it has.
    pub entries: u64,
    /// Bytes of its table.
    pub table_bytes: u64,
    /// Which entries it has, as far as that tells it from another.
    pub witnesses: Witnesses,
}

/// How many numbers tell a set from another.
const WITNESSES: usize = 4;

/// Numbers, in order, that stand for some entries of a container: of one that has an order, one number for its oldest; of
/// a set, the least there are by an order that has nothing to do with when they came. All 0 where nothing was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Witnesses([u32; WITNESSES]);

impl Witnesses {
    /// Of as many as there are; the least are kept.
    pub fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut least = [u32::MAX; WITNESSES];
        for number in numbers {
            let number = (number >> 32) as u32;
            if number < least[WITNESSES - 1] {
                least[WITNESSES - 1] = number;
                least.sort_unstable();
            }
        }
        Self(least)
    }

    /// Whether they stand for entries that are there still in what has these: new ones may be less than old ones, but no
    /// old one that is less than some of these is gone.
    pub fn are_kept_by(&self, later: &Self) -> bool {
        let mut to_be_there = self.0.iter().filter(|number| **number <= later.0[WITNESSES - 1]).peekable();
        to_be_there.peek().is_some() && to_be_there.all(|number| later.0.contains(number))
    }
}

/// Most places of sets' tables that are looked at for their witnesses, in all.
const MAX_PLACES: u64 = 1 << 26;

/// Most places of a dict that are looked at for its witness: where many in front are empty, none is kept.
const FRONT_PLACES: usize = 256;

/// All that are worth watching, in order of address.
pub fn collect(view: &View) -> Vec<Container> {
    let mut containers = Vec::new();
    let mut places = MAX_PLACES;
    view.for_each_object(|address, index| {
        let kind = view.kind(index);
        if !matches!(kind.shape, Shape::Dict | Shape::List | Shape::Set | Shape::Deque) {
            return;
        }
        let Some((entries, table_bytes)) = view.container_size(address, kind) else { return };
        // A frozen set is what it is, and a bounded deque lets go of its oldest.
        let is_fixed = kind.builtin == "frozenset" || kind.shape == Shape::Deque && view.is_bounded_deque(address);
        if entries < MIN_ENTRIES || is_fixed {
            return;
        }
        let looked_at = if kind.shape == Shape::Set { table_bytes / 16 } else { 0 };
        let witnesses = if looked_at <= places { witnesses(view, address, kind.shape) } else { Witnesses::default() };
        places = places.saturating_sub(looked_at);
        containers.push(Container { address, kind: kind.address, entries, table_bytes, witnesses });
    });
    keep_largest(&mut containers, MAX_CONTAINERS);
    containers
}

fn keep_largest(containers: &mut Vec<Container>, most: usize) {
    if containers.len() > most {
        containers.select_nth_unstable_by_key(most, |container| std::cmp::Reverse(container.entries));
        containers.truncate(most);
    }
    containers.sort_unstable_by_key(|container| container.address);
}

fn witnesses(view: &View, address: u64, shape: Shape) -> Witnesses {
    match shape {
        Shape::Dict => {
            let Some(entries) = view.entries(address) else { return Witnesses::default() };
            let front = (0..entries.places().min(FRONT_PLACES)).filter_map(|place| entries.at(place));
            Witnesses::of([mixed(front.map(|(key, _)| key).take(2))])
        }
        Shape::List => Witnesses::of([mixed(view.list_items(address, 2))]),
        Shape::Deque => Witnesses::of([mixed(view.deque_items(address, 2))]),
        Shape::Set => Witnesses::of(view.set_entries(address).map(|(member, hash)| mixed([member, hash]))),
        _ => Witnesses::default(),
    }
}

/// One number of several.
fn mixed(words: impl IntoIterator<Item = u64>) -> u64 {
    words.into_iter().fold(0, |mixed, word| {
        let word = (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word ^ word >> 32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(address: u64, entries: u64) -> Container {
        Container { address, kind: 1, entries, table_bytes: 0, witnesses: Witnesses::default() }
    }

    #[test]
    fn of_too_many_the_largest_are_kept_in_order_of_address() {
        let mut containers = vec![container(1, 50), container(2, 40), container(3, 90), container(4, 70)];
        keep_largest(&mut containers, 2);
        assert_eq!(containers, [container(3, 90), container(4, 70)]);
    }

    /// The witnesses of a set of these members.
    fn set(members: impl IntoIterator<Item = u64>) -> Witnesses {
        Witnesses::of(members.into_iter().map(|member| mixed([member, member >> 4])))
    }

    #[test]
    fn a_set_that_grows_keeps_its_witnesses_and_another_has_others() {
        let (mut kept, mut mistaken) = (0, 0);
        for program in 0..1000_u64 {
            let member = |n: u64| 0x7f00_0000_0000 + program * 0x31_7000 + n * 48;
            let before = set((0..100).map(member));
            kept += u32::from(before.are_kept_by(&set((0..200).map(member))));
            mistaken += u32::from(before.are_kept_by(&set((200..400).map(member))));
            assert!(before.are_kept_by(&before));
        }
        assert!(kept > 900, "{kept}");
        assert_eq!(mistaken, 0);
    }

    #[test]
    fn what_lost_a_member_that_would_tell_is_not_the_same() {
        let members = |without: u64| set((0..100).filter(|member| *member != without).map(|member| member * 64));
        let whole = set((0..100).map(|member| member * 64));
        assert!((0..100).any(|without| !whole.are_kept_by(&members(without))));
    }

    #[test]
    fn where_order_tells_the_oldest_have_to_be_the_same() {
        let of = |oldest| Witnesses::of([mixed([oldest, 1])]);
        assert!(of(7).are_kept_by(&of(7)) && !of(7).are_kept_by(&of(8)));
        assert!(!Witnesses::default().are_kept_by(&of(7)) && !of(7).are_kept_by(&Witnesses::default()));
    }

    #[test]
    fn a_witness_tells_entries_and_their_order() {
        assert_eq!(mixed([1, 2]), mixed([1, 2]));
        assert_ne!(mixed([1, 2]), mixed([2, 1]));
        assert_ne!(mixed([1]), mixed([1, 0]));
    }
}
