//! The tables of dicts, in all their forms: with keys of their own, with keys that instances of a class share, and the
//! values that stand in for an instance's dict.

use super::{Kind, View};
use crate::python::{
    heap::TypeIndex,
    layout::{GC_HEAD, HEAP_TYPE, INLINE_VALUES, KeysSize, MANAGED_DICT, of_dict},
};

/// A table of keys, and where their values are.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    table: &'a [u8],
    /// Bytes of an entry.
    stride: usize,
    /// Where in an entry the key is; the value follows it.
    key_at: usize,
    /// Where the values are if not in the entries.
    values: Option<&'a [u8]>,
}

impl<'a> Entries<'a> {
    /// Places, empty ones included.
    pub fn places(&self) -> usize {
        self.table.len() / self.stride
    }

    /// Addresses of key and value at a place; nothing where it is empty.
    pub fn at(&self, place: usize) -> Option<(u64, u64)> {
        let entry = self.table.get(place * self.stride..(place + 1) * self.stride)?;
        let key = word(entry, self.key_at)?;
        let value = match self.values {
            Some(values) => word(values, place * 8)?,
            None => word(entry, self.key_at + 8)?,
        };
        (key != 0 && value != 0).then_some((key, value))
    }

    /// All that are not empty, in the order in which they came.
    pub fn iter(self) -> impl Iterator<Item = (u64, u64)> + 'a {
        (0..self.places()).filter_map(move |place| self.at(place))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

/// What holds an instance's attributes, beside slots.
#[derive(Clone, Copy, Debug)]
pub enum Attributes<'a> {
    /// A dict, at this address.
    Dict(u64),
    /// Values in the order of the keys of its class.
    Values(Entries<'a>),
}

/// Most places of a table that are believed.
const MAX_PLACES: u64 = 1 << 32;

impl<'a> View<'a> {
    /// The entries of a dict, if its table is whole.
    pub fn entries(&self, dict: u64) -> Option<Entries<'a>> {
        let keys = self.pointer(dict + of_dict::KEYS)?;
        let values = self.pointer(dict + of_dict::VALUES);
        self.table(keys, values.map(|values| values + self.layout().values))
    }

    /// How many entries a dict has, and the bytes of its table.
    pub fn dict_size(&self, dict: u64) -> Option<(u64, u64)> {
        let used = self.word(dict + of_dict::USED)?;
        let keys = self.pointer(dict + of_dict::KEYS)?;
        let (indices, places) = self.indices(keys)?;
        // Two thirds of the places can be used.
        let (stride, _) = self.stride(keys)?;
        let bytes = self.layout().keys.indices + indices + places * 2 / 3 * stride as u64;
        (used <= places).then_some((used, bytes))
    }

    /// What holds an instance's attributes.
    pub fn attributes(&self, object: u64, kind: &Kind) -> Option<Attributes<'a>> {
        if kind.flags & MANAGED_DICT == 0 {
            let at = match kind.dict_offset {
                0 => return None,
                at @ 1.. => object.wrapping_add(at as u64),
                at => {
                    let bytes = kind.basic_size + self.items(object).min(MAX_PLACES) * kind.item_size;
                    object.wrapping_add(bytes.next_multiple_of(8)).wrapping_add_signed(at)
                }
            };
            return self.dict_at(self.pointer(at)?);
        }
        let dict = self.pointer(object.checked_sub(GC_HEAD + 8)?);
        match (self.minor(), dict) {
            (..=11, None) => self.values(self.pointer(object.checked_sub(GC_HEAD + 16)?)?, kind),
            (12, Some(values)) if values & 1 == 1 => self.values(values + 1, kind),
            (_, Some(dict)) => self.dict_at(dict),
            (13.., None) if kind.flags & INLINE_VALUES != 0 => {
                let inline = object + kind.basic_size;
                let is_valid = self.word(inline)? >> 24 & 0xff != 0;
                if is_valid { self.values(inline + self.layout().values, kind) } else { None }
            }
            _ => None,
        }
    }

    fn dict_at(&self, address: u64) -> Option<Attributes<'a>> {
        let kind = self.kind_of(address)?;
        self.is_dict(kind).then_some(Attributes::Dict(address))
    }

    fn is_dict(&self, kind: TypeIndex) -> bool {
        self.kind(kind).shape == super::Shape::Dict
    }

    fn values(&self, values: u64, kind: &Kind) -> Option<Attributes<'a>> {
        if kind.flags & HEAP_TYPE == 0 {
            return None;
        }
        let keys = self.pointer(kind.address + self.layout().heap_type.shared_keys)?;
        self.table(keys, Some(values)).map(Attributes::Values)
    }

    fn table(&self, keys: u64, values: Option<u64>) -> Option<Entries<'a>> {
        let layout = &self.layout().keys;
        let (indices, places) = self.indices(keys)?;
        let count = self.word(keys + layout.entries)?;
        if count > places {
            return None;
        }
        let (stride, key_at) = self.stride(keys)?;
        let table = self.bytes(keys + layout.indices + indices, count * stride as u64)?;
        let values = match values {
            Some(values) => Some(self.bytes(values, count * 8)?),
            None => None,
        };
        Some(Entries { table, stride, key_at, values })
    }

    /// Bytes of the table of indices, and its places.
    fn indices(&self, keys: u64) -> Option<(u64, u64)> {
        let (bytes, places) = match self.layout().keys.size {
            KeysSize::Places { at } => {
                let places = self.word(keys + at)?;
                let width = match places {
                    ..=0xff => 1,
                    0x100..=0xffff => 2,
                    0x1_0000..=0xffff_ffff => 4,
                    _ => 8,
                };
                (places.checked_mul(width)?, places)
            }
            KeysSize::LogBytes { at } => {
                let sizes = self.word(keys + at / 8 * 8)? >> (at % 8 * 8);
                let places = self.word(keys + (at - 1) / 8 * 8)? >> ((at - 1) % 8 * 8) & 0xff;
                (1u64.checked_shl((sizes & 0xff) as u32)?, 1u64.checked_shl(places as u32)?)
            }
        };
        (places <= MAX_PLACES && bytes <= places * 8).then_some((bytes, places))
    }

    /// Bytes of an entry, and where in it the key is.
    fn stride(&self, keys: u64) -> Option<(usize, usize)> {
        let Some(at) = self.layout().keys.kind else { return Some((24, 8)) };
        let kind = self.word(keys + at / 8 * 8)? >> (at % 8 * 8) & 0xff;
        Some(if kind == 0 { (24, 8) } else { (16, 0) })
    }
}
