//! Reading objects in a snapshot: strings, texts, and the entries of dicts.
//!
//! What is not in the snapshot, because it is read-only or was never written, is read from the process itself. Every
//! address, length and number in it is the target's word: bounded, and `None` where it cannot be.

use super::{
    interpreter::Interpreter,
    layout::{KeysSize, Layout, STRING_LENGTH, STRING_STATE, Version, of_dict},
    memory::Memory,
    snapshot::{Snapshot, text_in},
};

/// Largest table of a dict's keys that is believed, as the binary logarithm of its places.
const MOST_PLACES: u32 = 40;

/// A snapshot of an interpreter, and how to read it.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'s> {
    /// The copy.
    pub snapshot: &'s Snapshot,
    /// The process itself, for what is not in the copy.
    pub memory: &'s Memory,
    /// Where its structures have their fields.
    pub layout: &'s Layout,
    /// Its release.
    pub version: Version,
    /// Address of the type of all types.
    pub type_type: u64,
}

/// A table of a dict's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Address of the first entry.
    pub entries: u64,
    /// How many entries there are, those of removed keys included.
    pub count: u64,
    /// Bytes of an entry.
    pub entry_bytes: u64,
    /// Where in an entry its key is. The value follows it.
    pub key: u64,
}

impl<'s> Reader<'s> {
    /// Reads this snapshot of that interpreter.
    pub fn new(interpreter: &'s Interpreter, snapshot: &'s Snapshot) -> Self {
        Self {
            snapshot,
            memory: &interpreter.memory,
            layout: &interpreter.layout,
            version: interpreter.version,
            type_type: interpreter.type_type,
        }
    }

    /// The word at this address.
    pub fn word(&self, address: u64) -> Option<u64> {
        self.snapshot.word(address).or_else(|| self.memory.word(address))
    }

    /// A pointer at this address that is not null.
    pub fn pointer(&self, address: u64) -> Option<u64> {
        self.word(address).filter(|pointer| *pointer != 0)
    }

    /// The C string at this address if it is of UTF-8, of a long one the first 128 bytes.
    pub fn text(&self, address: u64) -> Option<String> {
        if let Some(text) = self.snapshot.text(address) {
            return Some(text.to_owned());
        }
        let mut bytes = [0; 128];
        let read = self.memory.read(address, &mut bytes);
        text_in(&bytes[..read]).map(str::to_owned)
    }

    /// The characters of a string object, at most so many of them. None of what is no string, and of one that keeps
    /// its characters elsewhere, as those of a class derived from `str` do.
    pub fn string(&self, address: u64, most: usize) -> Option<String> {
        let length = self.word(address.checked_add(STRING_LENGTH)?)?.min(most as u64) as usize;
        let string =
            StringState::of(self.word(address.checked_add(STRING_STATE)?)? as u32, self.layout.string.kind_shift);
        let (data, width) = (string.data(self.layout)?, string.width as usize);
        let bytes = self.copied(address.checked_add(data)?, length * width)?;
        let characters: Vec<char> = bytes
            .chunks_exact(width)
            .map(|bytes| {
                let code = bytes.iter().rev().fold(0, |code, byte| code << 8 | u32::from(*byte));
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            })
            .collect();
        Some(characters.into_iter().collect())
    }

    fn copied(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        if let Some(bytes) = self.snapshot.bytes(address, length) {
            return Some(bytes.to_vec());
        }
        let mut bytes = vec![0; length];
        (self.memory.read(address, &mut bytes) == length).then_some(bytes)
    }

    /// The table of keys at this address.
    pub fn keys(&self, table: u64) -> Option<Keys> {
        let offsets = &self.layout.keys;
        let index_bytes = match offsets.size {
            KeysSize::Places { at } => {
                let places = self.word(table.checked_add(at)?)?;
                if !places.is_power_of_two() || places > 1 << MOST_PLACES {
                    return None;
                }
                let width = match places {
                    ..=0xff => 1,
                    0x100..=0xffff => 2,
                    0x1_0000..=0xffff_ffff => 4,
                    _ => 8,
                };
                places * width
            }
            KeysSize::LogBytes { at } => {
                let log = self.byte(table.checked_add(at)?)?;
                (u32::from(log) <= MOST_PLACES).then(|| 1 << log)?
            }
        };
        let is_general = offsets.kind.is_none_or(|kind| self.byte(table.wrapping_add(kind)) == Some(0));
        let count = self.word(table.checked_add(offsets.entries)?)?;
        (count <= 1 << MOST_PLACES).then_some(())?;
        let entries = table.checked_add(offsets.indices)?.checked_add(index_bytes)?;
        let (entry_bytes, key) = if is_general { (24, 8) } else { (16, 0) };
        Some(Keys { entries, count, entry_bytes, key })
    }

    fn byte(&self, address: u64) -> Option<u8> {
        self.snapshot.byte(address).or_else(|| self.memory.bytes::<1>(address).map(|[byte]| byte))
    }

    /// The keys and values of a dict, in order, at most so many. Entries that cannot be read are left out.
    pub fn entries(&self, dict: u64, most: usize) -> impl Iterator<Item = (u64, u64)> + use<'s> {
        let reader = *self;
        let field = |offset| dict.checked_add(offset).and_then(|address| reader.word(address));
        let keys = field(of_dict::KEYS).and_then(|table| reader.keys(table));
        let shared = field(of_dict::VALUES).filter(|values| *values != 0);
        let count = keys.map_or(0, |keys| keys.count.min(most as u64));
        (0..count).filter_map(move |nth| {
            let key_at = keys?.entries.checked_add(nth * keys?.entry_bytes + keys?.key)?;
            let value_at = match shared {
                Some(values) => values.checked_add(reader.layout.values + nth * 8)?,
                None => key_at.checked_add(8)?,
            };
            Some((reader.pointer(key_at)?, reader.pointer(value_at)?))
        })
    }
}

/// What a string says of how its characters are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringState {
    /// Bytes of a character.
    pub width: u64,
    /// Whether they follow the object's head.
    pub is_compact: bool,
    /// Whether all are of ASCII.
    pub is_ascii: bool,
}

impl StringState {
    /// By the bits of `state` and how many of them are below the width.
    pub fn of(state: u32, kind_shift: u32) -> Self {
        let bits = state.checked_shr(kind_shift).unwrap_or(0);
        Self { width: u64::from(bits & 7), is_compact: bits & 8 != 0, is_ascii: bits & 16 != 0 }
    }

    /// Where in the object its characters begin, if they are there.
    pub fn data(self, layout: &Layout) -> Option<u64> {
        (self.is_compact && matches!(self.width, 1 | 2 | 4)).then_some(if self.is_ascii {
            layout.string.ascii
        } else {
            layout.string.compact
        })
    }
}
