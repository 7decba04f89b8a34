//! Which object a block holds, if it holds one.
//!
//! An object begins with its count of references and its type. Ahead of it the block has the heads that its type asks
//! for, and it has as many bytes as an object of this type may have. Blocks of other use, tables of dicts or items of
//! lists, hold numbers or pointers there.

use super::{
    super::{
        layout::{REFERENCES, TYPE},
        reader::Reader,
    },
    shape::Shape,
    types::{TypeIndex, Types},
};

/// Where in a block an object may begin, by the heads ahead of it.
const HEADS: [usize; 3] = [0, 16, 32];

/// Finds the objects in blocks, one after another.
#[derive(Debug)]
pub struct Finder<'r, 's> {
    reader: &'r Reader<'s>,
    /// The type of the last object and its shape: the next is often like it.
    last: Option<(u64, TypeIndex, Shape)>,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// From the beginning of the block to the object.
    pub head: u64,
    /// Its type.
    pub kind: TypeIndex,
    /// Its shape.
    pub shape: Shape,
}

impl<'r, 's> Finder<'r, 's> {
    /// Of what this reads.
    pub fn new(reader: &'r Reader<'s>) -> Self {
        Self { reader, last: None }
    }

    /// The object in a block of so many bytes that begins like this, and has at most `spare` more than were asked for.
    pub fn held_in(&mut self, block: &[u8], block_bytes: u64, spare: u64, types: &mut Types) -> Option<Held> {
        HEADS.iter().find_map(|head| {
            let (object, room) = (block.get(*head..)?, block_bytes.checked_sub(*head as u64)?);
            let (references, of) = beginning(object)?;
            if of == 0 || of % 8 != 0 || !is_count(references, self.reader.version.minor) {
                return None;
            }
            let (kind, shape) = self.kind(of, types)?;
            let is_it = shape.head == *head as u64 && self.fits(&shape, object, room, spare);
            is_it.then_some(Held { head: *head as u64, kind, shape })
        })
    }

    fn kind(&mut self, of: u64, types: &mut Types) -> Option<(TypeIndex, Shape)> {
        if let Some((last, kind, shape)) = self.last
            && last == of
        {
            return Some((kind, shape));
        }
        let kind = types.find(of, self.reader)?;
        let shape = *types.shape(kind)?;
        self.last = Some((of, kind, shape));
        Some((kind, shape))
    }

    fn fits(&self, shape: &Shape, object: &[u8], room: u64, spare: u64) -> bool {
        let bytes = shape.bytes_of(object, self.reader.layout, self.reader.version);
        bytes.is_some_and(|(least, most)| least <= room && room <= most.saturating_add(spare))
    }
}

/// An object's count of references and its type.
pub fn beginning(object: &[u8]) -> Option<(u64, u64)> {
    let word = |at: u64| object.get(at as usize..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    Some((word(REFERENCES)?, word(TYPE)?))
}

/// Whether this can be the count of references of an object that is in use. From 3.14 on its upper bits are flags.
pub const fn is_count(references: u64, minor: u8) -> bool {
    let count = if minor >= 14 { references & 0x0000_ffff_ffff_ffff } else { references };
    count != 0 && count <= u32::MAX as u64
}
