//! The dicts, lists, sets and deques of a heap that have many entries: what may grow without bound.
//!
//! A container is told by its address from one scan to the next. Addresses are used again, so each comes with a witness of
//! its oldest entries, which a container that only grows keeps. Attributes of instances are no containers.

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
    /// A number that says which entries are its oldest; of a set, some that stay as it grows, by and large.
    pub witness: u64,
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
        let witness = if looked_at <= places { witness(view, address, kind.shape) } else { 0 };
        places = places.saturating_sub(looked_at);
        containers.push(Container { address, kind: kind.address, entries, table_bytes, witness });
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

fn witness(view: &View, address: u64, shape: Shape) -> u64 {
    match shape {
        Shape::Dict => {
            let Some(entries) = view.entries(address) else { return 0 };
            let front = (0..entries.places().min(FRONT_PLACES)).filter_map(|place| entries.at(place));
            mixed(front.map(|(key, _)| key).take(2))
        }
        Shape::List => mixed(view.list_items(address, 2)),
        Shape::Deque => mixed(view.deque_items(address, 2)),
        // The least of all members by an order that has nothing to do with when they came.
        Shape::Set => view.set_entries(address).map(|(member, hash)| mixed([member, hash])).min().unwrap_or(0),
        _ => 0,
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
        Container { address, kind: 1, entries, table_bytes: 0, witness: 0 }
    }

    #[test]
    fn of_too_many_the_largest_are_kept_in_order_of_address() {
        let mut containers = vec![container(1, 50), container(2, 40), container(3, 90), container(4, 70)];
        keep_largest(&mut containers, 2);
        assert_eq!(containers, [container(3, 90), container(4, 70)]);
    }

    #[test]
    fn a_witness_tells_entries_and_their_order() {
        assert_eq!(mixed([1, 2]), mixed([1, 2]));
        assert_ne!(mixed([1, 2]), mixed([2, 1]));
        assert_ne!(mixed([1]), mixed([1, 0]));
    }
}
