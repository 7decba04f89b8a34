//! Strings of the target: names and paths.
//!
//! Read are strings that hold their characters themselves, as all do that the compiler makes. Others, and those that are
//! longer than was asked for, are not known.

use super::{
    layout::{Layout, STRING_LENGTH, STRING_STATE, TYPE, of_type},
    memory::Memory,
};

/// Most bytes of a type's name that are looked at.
const NAME_BYTES: usize = 64;

/// The string at this address, if it is one of at most `most` characters.
pub fn string(memory: &Memory, layout: &Layout, address: u64, most: usize) -> Option<String> {
    if !is_of_type(memory, address, "str") {
        return None;
    }
    let length = usize::try_from(memory.word(address + STRING_LENGTH)?).ok().filter(|length| *length <= most)?;
    let state = u32::from_le_bytes(memory.bytes(address + STRING_STATE)?) >> layout.string.kind_shift;
    let (width, is_compact, is_ascii) = (state as usize & 7, state >> 3 & 1 != 0, state >> 4 & 1 != 0);
    if !is_compact || !matches!(width, 1 | 2 | 4) {
        return None;
    }
    let data = address + if is_ascii { layout.string.ascii } else { layout.string.compact };
    let mut bytes = vec![0; length * width];
    if memory.read(data, &mut bytes) < bytes.len() {
        return None;
    }
    let character = |code: &[u8]| {
        let code = code.iter().rev().fold(0, |code, byte| code << 8 | u32::from(*byte));
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    Some(bytes.chunks_exact(width).map(character).collect())
}

/// Whether there is an object of the type with this name.
pub fn is_of_type(memory: &Memory, object: u64, name: &str) -> bool {
    let mut found = [0; NAME_BYTES];
    let address = memory.pointer(object.wrapping_add(TYPE)).and_then(|kind| memory.pointer(kind + of_type::NAME));
    let Some(address) = address else { return false };
    let read = memory.read(address, &mut found);
    found[..read].starts_with(name.as_bytes()) && found[..read].get(name.len()) == Some(&0)
}
