//! The types of a process's objects: which addresses are types, what they are called, and how large their objects are.
//!
//! A type is believed when the types of its type lead to the type of all types, its sizes can be, and its name is text.
//! Each address is judged once. What a target calls a type may be any text: it is bounded here, and made fit to be shown
//! where it is shown.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use super::{
    super::{
        layout::{HEAP_TYPE, IMMUTABLE, TYPE, of_type},
        reader::Reader,
    },
    shape::{Shape, TYPE as IS_OF_TYPES},
};

/// Most types that are kept apart.
const MOST_TYPES: usize = 1 << 20;

/// Most addresses that are remembered to be none.
const MOST_REFUSED: usize = 1 << 20;

/// Most types of types of types.
const MOST_LEVELS: u32 = 8;

/// Longest name of a type and of its module, in characters.
const LONGEST_NAME: usize = 160;

/// Most entries of a class that are looked through for its module's name, which is among the first.
const MOST_ENTRIES: usize = 4096;

/// Largest basic and item sizes that are believed.
const LARGEST_BASIC: u64 = 1 << 20;
const LARGEST_ITEM: u64 = 1 << 16;

/// A type in the order of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeIndex(u32);

impl TypeIndex {
    /// Its place, from 0 on without gaps.
    pub const fn place(self) -> usize {
        self.0 as usize
    }
}

/// What objects are instances of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// Where it is.
    pub address: u64,
    /// `dict`, `collections.OrderedDict`, `__main__.Server.Session`: as the target calls it, so whatever it likes.
    pub name: String,
    /// `tp_basicsize`.
    pub basic_size: u64,
    /// `tp_itemsize`.
    pub item_size: u64,
    /// `tp_flags`.
    pub flags: u64,
    /// How large its objects are.
    pub shape: Shape,
}

impl Type {
    /// Whether its objects are types.
    pub fn is_of_types(&self) -> bool {
        self.flags & IS_OF_TYPES != 0
    }
}

/// All that were met.
#[derive(Debug, Default)]
pub struct Types {
    found: Vec<Arc<Type>>,
    /// The same, of each what is needed for its objects.
    shapes: Vec<Shape>,
    by_address: HashMap<u64, Option<TypeIndex>, RandomState>,
    refused: usize,
}

impl Types {
    /// The type at this address, if there is one.
    pub fn find(&mut self, address: u64, reader: &Reader<'_>) -> Option<TypeIndex> {
        self.find_at_level(address, reader, 0)
    }

    /// What it is. None of what another heap found.
    pub fn get(&self, index: TypeIndex) -> Option<&Arc<Type>> {
        self.found.get(index.0 as usize)
    }

    /// Bytes of its objects.
    pub fn shape(&self, index: TypeIndex) -> Option<&Shape> {
        self.shapes.get(index.0 as usize)
    }

    /// All, in the order of finding.
    pub fn all(&self) -> impl Iterator<Item = (TypeIndex, &Arc<Type>)> {
        self.found.iter().enumerate().map(|(index, kind)| (TypeIndex(index as u32), kind))
    }

    fn find_at_level(&mut self, address: u64, reader: &Reader<'_>, level: u32) -> Option<TypeIndex> {
        if let Some(known) = self.by_address.get(&address) {
            return *known;
        }
        // Types are written to as they are made ready, so they are in the snapshot. What is not is no type.
        let of = reader.snapshot.word(address.checked_add(TYPE)?)?;
        if !self.is_of_types(address, of, reader, level) {
            // Any object comes here: to judge it again is cheaper than to remember it.
            return None;
        }
        let kind = (self.found.len() < MOST_TYPES).then(|| read(address, reader)).flatten();
        if kind.is_none() {
            if self.refused >= MOST_REFUSED {
                return None;
            }
            self.refused += 1;
        }
        let index = kind.map(|kind| {
            self.shapes.push(kind.shape);
            self.found.push(Arc::new(kind));
            TypeIndex(self.found.len() as u32 - 1)
        });
        self.by_address.insert(address, index);
        index
    }

    /// Whether what has this type is a type.
    fn is_of_types(&mut self, address: u64, of: u64, reader: &Reader<'_>, level: u32) -> bool {
        if of == reader.type_type {
            return true;
        }
        if !of.is_multiple_of(8) || of == address || level >= MOST_LEVELS {
            return false;
        }
        let kind = self.find_at_level(of, reader, level + 1);
        kind.and_then(|kind| self.get(kind)).is_some_and(|kind| kind.is_of_types())
    }
}

/// The type at this address, whose type is one of types.
fn read(address: u64, reader: &Reader<'_>) -> Option<Type> {
    let field = |offset: u64| reader.snapshot.word(address.checked_add(offset)?);
    let (basic_size, item_size) = (field(of_type::BASIC_SIZE)?, field(of_type::ITEM_SIZE)?);
    let (flags, base) = (field(of_type::FLAGS)?, field(of_type::BASE)?);
    let can_be = (16..=LARGEST_BASIC).contains(&basic_size) && item_size <= LARGEST_ITEM && base % 8 == 0;
    let plain = reader.text(field(of_type::NAME)?).filter(|name| can_be && !name.is_empty())?;
    let is_heap_type = flags & HEAP_TYPE != 0;
    let name = if is_heap_type { qualified(address, reader).unwrap_or(plain) } else { plain };
    // Those of extensions are made as the program runs, and a class may bear any name.
    let built_in = (flags & HEAP_TYPE == 0 || flags & IMMUTABLE != 0).then_some(name.as_str());
    let shape = Shape::of(basic_size, item_size, flags, built_in, reader.layout, reader.version);
    Some(Type { address, name, basic_size, item_size, flags, shape })
}

/// The whole name of a type that was made as the program ran.
fn qualified(address: u64, reader: &Reader<'_>) -> Option<String> {
    let pointer = |offset: u64| reader.pointer(address.checked_add(offset)?);
    let name = reader.string(pointer(reader.layout.heap_type.qualified_name)?, LONGEST_NAME)?;
    let is_module = |key: &u64| reader.string(*key, "__module__".len() + 1).as_deref() == Some("__module__");
    let module = pointer(of_type::DICT)
        .and_then(|dict| reader.entries(dict, MOST_ENTRIES).find(|(key, _)| is_module(key)))
        .and_then(|(_, module)| reader.string(module, LONGEST_NAME));
    match module.as_deref() {
        _ if name.is_empty() => None,
        None | Some("" | "builtins") => Some(name),
        Some(module) => Some(format!("{module}.{name}")),
    }
}
