//! How many bytes an object takes by itself.

use super::{Kind, Shape, View, deques};
use crate::python::{
    heap::TypeIndex,
    layout::{GC_HEAD, HAVE_GC, LIST_ITEMS, LIST_ROOM, SIZE, STRING_LENGTH, STRING_STATE, of_set},
};

/// Bytes of a set without a table of its own: it has eight places inside.
const SMALL_SET_PLACES: u64 = 8;

impl View<'_> {
    /// How many entries a container has, and how many bytes its table has beside it; nothing of what is no container.
    pub fn container_size(&self, object: u64, kind: &Kind) -> Option<(u64, u64)> {
        match kind.shape {
            Shape::Dict => self.dict_size(object),
            Shape::List => {
                let (count, room) = (self.word(object + SIZE)?, self.word(object + LIST_ROOM)?);
                let has_items = count == 0 || self.pointer(object + LIST_ITEMS).is_some();
                (has_items && count <= room && room < 1 << 40).then(|| (count, room * 8))
            }
            Shape::Set => {
                let (used, mask) = (self.word(object + of_set::USED)?, self.word(object + of_set::MASK)?);
                let is_sound = used <= mask && mask < 1 << 40 && (mask + 1).is_power_of_two();
                is_sound.then(|| (used, if mask < SMALL_SET_PLACES { 0 } else { (mask + 1) * 16 }))
            }
            Shape::Deque => {
                let count = self.word(object + SIZE).filter(|count| *count < 1 << 40)?;
                Some((count, count / 64 * deques::BLOCK_BYTES))
            }
            _ => None,
        }
    }

    /// Bytes of an object by itself: with its table, without what it refers to.
    pub fn own_bytes(&self, object: u64, index: TypeIndex) -> u64 {
        const MOST: u64 = 1 << 40;
        let kind = self.kind(index);
        let head = if kind.flags & HAVE_GC == 0 { 0 } else { GC_HEAD };
        let behind = match (kind.shape, kind.builtin) {
            (Shape::Dict | Shape::List | Shape::Set | Shape::Deque, _) => {
                self.container_size(object, kind).map_or(0, |(_, bytes)| bytes)
            }
            (_, "str") => {
                let state = self.word(object + STRING_STATE).unwrap_or(0) as u32 >> self.layout().string.kind_shift;
                self.word(object + STRING_LENGTH).unwrap_or(0).min(MOST) * u64::from(state & 7)
            }
            (_, "int") if self.minor() >= 12 => self.items(object) / 8 * kind.item_size,
            (_, "bytearray") => self.items(object),
            _ if kind.item_size > 0 => self.items(object).min(MOST) * kind.item_size,
            _ => 0,
        };
        (head + kind.basic_size + behind.min(MOST)).next_multiple_of(16)
    }
}
