//! How many bytes an object of a type has, by which a block that holds one is told from a block that only looks so.

use super::super::{
    layout::{
        HAVE_GC, INLINE_VALUES, Layout, MANAGED_DICT, MANAGED_WEAKREF, SIZE, STRING_LENGTH, STRING_STATE, Version,
    },
    reader::StringState,
};

/// What a type's flags say it is derived from.
const INT: u64 = 1 << 24;
const LIST: u64 = 1 << 25;
const TUPLE: u64 = 1 << 26;
const BYTES: u64 = 1 << 27;
const STRING: u64 = 1 << 28;
const DICT: u64 = 1 << 29;
/// See [`INT`].
pub const TYPE: u64 = 1 << 31;

/// Most bytes of the values that follow an instance: 30 of them, their order, and a head.
const MOST_INLINE: u64 = 30 * 8 + 32 + 8;

/// Most bytes of an object of which it does not say how large it is: a frame's variables and stack.
const MOST_UNKNOWN: u64 = 1 << 17;

/// Items that an object may have beyond those that it counts.
const MOST_UNCOUNTED: u64 = 32;

/// Bytes of a digit of an `int`.
const DIGIT: u64 = 4;

/// What is needed of a type for each of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes from the beginning of a block to the object: heads of the collector and of the interpreter.
    pub head: u64,
    /// `tp_basicsize`.
    pub basic: u64,
    /// `tp_itemsize`.
    pub item: u64,
    /// How the rest is told.
    pub rest: Rest,
    /// What of an object lies in blocks of its own.
    pub outside: Outside,
}

/// What an object has beyond its basic size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    None,
    /// The values of its attributes.
    Inline,
    /// As many items as it says, as of a tuple or the members of a type.
    Items,
    /// Digits.
    Digits,
    /// Characters.
    Characters,
    /// Something that it does not say where all others do.
    Unknown,
}

/// Where a pointer is to what belongs to an object alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Nowhere.
    Nothing,
    /// Items of a list.
    Items,
    /// Table of a dict.
    Keys,
    /// Table of a set.
    Places,
    /// Bytes of a `bytearray`.
    Bytes,
    /// Blocks of a `deque`, of which there are as many as its items need.
    Blocks,
    /// Values of an instance, where the head of the interpreter has them.
    Values,
}

impl Shape {
    /// That of a type by its sizes, its flags and, of those that the interpreter has built in, its name.
    pub fn of(basic: u64, item: u64, flags: u64, name: Option<&str>, layout: &Layout, version: Version) -> Self {
        let is_managed = flags & MANAGED_DICT != 0 || (flags & MANAGED_WEAKREF != 0 && version.minor >= 12);
        let collector = if flags & HAVE_GC == 0 { 0 } else { super::super::layout::GC_HEAD };
        let head = collector + if is_managed { layout.pre_head } else { 0 };
        let has_inline = flags & INLINE_VALUES != 0 && version.minor >= 13;
        let rest = match () {
            () if flags & STRING != 0 => Rest::Characters,
            () if flags & INT != 0 => Rest::Digits,
            () if flags & (TUPLE | BYTES | TYPE) != 0 => Rest::Items,
            () if item != 0 => Rest::Unknown,
            () if has_inline => Rest::Inline,
            () => Rest::None,
        };
        let outside = match () {
            () if flags & LIST != 0 => Outside::Items,
            () if flags & DICT != 0 => Outside::Keys,
            () if matches!(name, Some("set" | "frozenset")) => Outside::Places,
            () if name == Some("bytearray") => Outside::Bytes,
            () if name == Some("collections.deque") => Outside::Blocks,
            () if flags & MANAGED_DICT != 0 && layout.pre_head != 0 && !has_inline => Outside::Values,
            () => Outside::Nothing,
        };
        Self { head, basic, item, rest, outside }
    }

    /// The least and the most bytes that an object may have which begins like this, its heads left out. None of what can be
    /// no object of this type.
    pub fn bytes_of(&self, object: &[u8], layout: &Layout, version: Version) -> Option<(u64, u64)> {
        let word = |at: u64| object.get(at as usize..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        // They are allocated for what may be put in, and cut to what was: in place, if that is not much less. And records
        // such as `os.stat_result` have items that they do not count.
        let resized =
            |bytes: u64| Some((bytes, bytes.checked_add(bytes / 3)?.checked_add(MOST_UNCOUNTED * self.item)?));
        match self.rest {
            Rest::None => Some((self.basic, self.basic)),
            Rest::Inline => Some((self.basic + 8, self.basic + MOST_INLINE)),
            Rest::Items => resized(self.basic.checked_add(self.item.checked_mul(word(SIZE)?)?)?),
            Rest::Digits => {
                let said = word(SIZE)?;
                let digits = if version.minor >= 12 { said >> 3 } else { (said as i64).unsigned_abs() };
                // What a calculation had room for and did not need stays.
                let bytes = self.basic.checked_add(digits.checked_mul(DIGIT)?)?;
                Some((bytes, bytes.checked_mul(3)?))
            }
            Rest::Characters => {
                let (length, state) = (word(STRING_LENGTH)?, word(STRING_STATE)? as u32);
                let string = StringState::of(state, layout.string.kind_shift);
                if !string.is_compact {
                    return Some((self.basic, self.basic));
                }
                resized(string.data(layout)?.checked_add(length.checked_add(1)?.checked_mul(string.width)?)?)
            }
            Rest::Unknown => Some((self.basic, self.basic + MOST_UNKNOWN)),
        }
    }
}
