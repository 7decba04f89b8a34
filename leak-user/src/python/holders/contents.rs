//! What a container holds: the types of its entries, and how many bytes one of them is worth.

use std::{collections::HashMap, ops::ControlFlow};

use foldhash::fast::RandomState;

use super::visited::Visited;
use crate::python::{
    heap::TypeIndex,
    view::{Edge, Label, Shape, View},
};

/// Entries that are looked at: of the later half where there is an order, every so many. The very last may have come while
/// memory was copied, and what they refer to is not in the copy.
const SAMPLE: usize = 1000;

/// Entries whose bytes are counted.
const WEIGHED: usize = 200;

/// Most objects of one entry that are counted.
const MAX_OBJECTS: usize = 1000;

/// Most types that are told.
const MAX_TYPES: usize = 5;

/// A type's share of a container's entries.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The type's name, module and all. It may hold anything.
    pub name: String,
    /// Its share, above 0 and up to 1.
    pub share: f64,
}

/// What a container holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The container's own type: `dict`, `app.Registry`.
    pub container: String,
    /// Types of its items or values, by share.
    pub values: Vec<Share>,
    /// Types of a dict's keys, by share.
    pub keys: Vec<Share>,
    /// Bytes that go with an entry, on average: its own, its place in the table, and what only it is seen to refer to.
    pub bytes_per_entry: f64,
}

impl Contents {
    /// Of the container at this address.
    pub fn of(view: &View, container: u64) -> Option<Self> {
        let index = view.kind_of(container)?;
        let (entries, table_bytes) = view.container_size(container, view.kind(index))?;
        let sample = sample(view, container, index);
        let kinds_of = |objects: &mut dyn Iterator<Item = u64>| shares(view, objects);
        let keys = kinds_of(&mut sample.iter().filter_map(|(key, _)| *key));
        let values = kinds_of(&mut sample.iter().map(|(_, value)| *value));
        let mut scale = Scale::new(view, container);
        let mut weighed: u32 = 0;
        let is_there = |(_, value): &&(Option<u64>, u64)| view.kind_of(*value).is_some();
        for (key, value) in sample.iter().step_by(sample.len().div_ceil(WEIGHED).max(1)).filter(is_there) {
            scale.put(key.iter().copied().chain([*value]));
            weighed += 1;
        }
        let table = table_bytes as f64 / entries.max(1) as f64;
        let bytes_per_entry = table + scale.bytes as f64 / f64::from(weighed.max(1));
        Some(Self { container: view.name_of(index), values, keys, bytes_per_entry })
    }
}

/// Whether the copy of memory has a container without most of what it holds: its table was moved meanwhile, so that the one
/// that is there in the copy is not the one of that moment. All that it holds seems out of reach then.
pub fn is_torn(view: &View, container: u64) -> bool {
    let Some(index) = view.kind_of(container) else { return true };
    let sample = sample(view, container, index);
    let is_there = |value: u64| view.kind_of(value).is_some() || view.is_own_data(value);
    let there = sample.iter().filter(|(_, value)| is_there(*value)).count();
    there * 2 <= sample.len()
}

/// Key and value, or item, of entries: of the later half where there is an order.
fn sample(view: &View, container: u64, index: TypeIndex) -> Vec<(Option<u64>, u64)> {
    let count = || view.container_size(container, view.kind(index)).map_or(0, |(entries, _)| entries as usize);
    match view.kind(index).shape {
        Shape::Dict => {
            let Some(entries) = view.entries(container) else { return vec![] };
            let (first, step) = later_half(entries.places());
            let places = (first..entries.places()).step_by(step);
            places.filter_map(|place| entries.at(place)).map(|(key, value)| (Some(key), value)).collect()
        }
        Shape::List => {
            let (first, step) = later_half(count());
            let items = view.last_list_items(container, (count() - first) as u64);
            items.step_by(step).map(|item| (None, item)).collect()
        }
        Shape::Deque => {
            let (first, step) = later_half(count());
            view.deque_items(container, u64::MAX).skip(first).step_by(step).map(|item| (None, item)).collect()
        }
        Shape::Set => view.set_members(container).take(SAMPLE).map(|member| (None, member)).collect(),
        _ => vec![],
    }
}

/// Of so many entries: the first to look at, and from which to which to go.
fn later_half(count: usize) -> (usize, usize) {
    let first = (count / 2).min(count.saturating_sub(SAMPLE));
    (first, (count - first).div_ceil(SAMPLE).max(1))
}

fn shares(view: &View, objects: &mut dyn Iterator<Item = u64>) -> Vec<Share> {
    let mut counts: HashMap<TypeIndex, usize, RandomState> = HashMap::default();
    let mut all = 0;
    for index in objects.filter_map(|object| view.kind_of(object)) {
        *counts.entry(index).or_default() += 1;
        all += 1;
    }
    let mut counts: Vec<(String, usize)> =
        counts.into_iter().map(|(index, count)| (view.name_of(index), count)).collect();
    counts.sort_by(|one, other| (other.1, &one.0).cmp(&(one.1, &other.0)));
    counts.truncate(MAX_TYPES);
    counts.into_iter().map(|(name, count)| Share { name, share: count as f64 / f64::from(all) }).collect()
}

/// Adds up what entries refer to, each object once.
struct Scale<'v, 'a> {
    view: &'v View<'a>,
    seen: Visited,
    objects: Vec<u64>,
    bytes: u64,
}

impl<'v, 'a> Scale<'v, 'a> {
    fn new(view: &'v View<'a>, container: u64) -> Self {
        let mut scale = Self { view, seen: Visited::new(), objects: vec![], bytes: 0 };
        scale.note(container);
        scale
    }

    fn put(&mut self, entry: impl IntoIterator<Item = u64>) {
        let begin = self.objects.len();
        let mut next = begin;
        for object in entry {
            self.weigh(object);
        }
        while next < self.objects.len() && next < begin + MAX_OBJECTS {
            let object = self.objects[next];
            next += 1;
            let Some(index) = self.view.kind_of(object) else { continue };
            let view = self.view;
            let _ = view.edges(object, index, &mut |Edge { to, label }| {
                // These lead to what the program shares.
                if !matches!(label, Label::Class | Label::Base | Label::Globals | Label::TracebackFrame) {
                    self.weigh(to);
                }
                if self.objects.len() > begin + MAX_OBJECTS {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
        }
    }

    fn weigh(&mut self, object: u64) {
        let Some(index) = self.view.kind_of(object) else { return };
        let is_shared =
            matches!(self.view.kind(index).shape, Shape::Module | Shape::Type | Shape::Function | Shape::Frame);
        // What many refer to is there without this entry.
        if is_shared || self.view.references_to(object) > 16 || !self.note(object) {
            return;
        }
        self.bytes += self.view.own_bytes(object, index);
    }

    fn note(&mut self, object: u64) -> bool {
        let objects = &self.objects;
        let address_of = |place: u32| objects[place as usize];
        let is_new = self.seen.find(object, address_of).is_none();
        if is_new {
            self.seen.add(object, objects.len() as u32, address_of);
            self.objects.push(object);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_later_half_a_thousand_are_looked_at() {
        for count in [0, 1, 999, 1000, 1001, 1999, 5000, 70_000, 10_000_000] {
            let (first, step) = later_half(count);
            let looked_at = (first..count).step_by(step).count();
            assert!(looked_at <= SAMPLE && (looked_at >= SAMPLE / 2 || looked_at == count), "{looked_at} of {count}");
            assert!(first <= count / 2 && (count <= 2 * SAMPLE || first > 0), "{first} of {count}");
        }
    }
}
