//! The objects of an interpreter as a snapshot has them: what each refers to, and by which name.
//!
//! Everything else here asks this room and reads no memory itself. It promises that no address is followed that does not
//! lead to an object of a known type, and that nothing is read twice as long as what the snapshot has of it. It leaves out
//! what only C code knows of: references in memory that an object owns but that is no part of it.

mod code;
mod deques;
mod dicts;
mod edges;
mod kinds;
mod roots;
mod sizes;
mod strings;

pub use code::{Frame, Variable};
pub use edges::{Edge, Label};
pub use kinds::{Kind, Shape};
pub use roots::Module;

use self::kinds::Kinds;
use super::{
    heap::{Heap, TypeIndex},
    interpreter::Interpreter,
    layout::{LIST_ITEMS, Layout, REFERENCES, SIZE},
    reader::Reader,
};

/// How far from the type of all types an interpreter's own data may lie.
const OWN_DATA: u64 = 4 << 20;

/// An interpreter's objects.
pub struct View<'a> {
    interpreter: &'a Interpreter,
    heap: &'a Heap<'a>,
    kinds: Kinds,
}

impl<'a> View<'a> {
    /// Of an interpreter, by what was found in a snapshot of it.
    pub fn new(interpreter: &'a Interpreter, heap: &'a Heap<'a>) -> Self {
        Self { interpreter, heap, kinds: Kinds::new() }
    }

    /// What was found in the snapshot.
    pub const fn heap(&self) -> &'a Heap<'a> {
        self.heap
    }

    /// What an object is, if there is one at this address.
    pub fn kind_of(&self, address: u64) -> Option<TypeIndex> {
        if can_be_address(address) { self.heap.type_of(address) } else { None }
    }

    /// What is known of a type.
    pub fn kind(&self, index: TypeIndex) -> &Kind {
        self.kinds.get(index, || Kind::of(self, index))
    }

    /// Every object that was found: its address and its type.
    pub fn for_each_object(&self, mut visit: impl FnMut(u64, TypeIndex)) {
        self.heap.for_each_object(|object| visit(object.address, object.kind));
    }

    /// Whether an address is in the interpreter's own data, as `None` is and small numbers may be: no snapshot has that.
    pub fn is_own_data(&self, address: u64) -> bool {
        address.abs_diff(self.interpreter.type_type) < OWN_DATA
    }

    /// How many references to an object there are.
    pub fn references_to(&self, address: u64) -> u64 {
        // The highest bits of an object that is never freed say so.
        self.word(address + REFERENCES).unwrap_or(0) & u64::from(u32::MAX)
    }

    /// Whether a reference of an object of this type is by a field that has a name.
    pub fn has_field_name(&self, kind: TypeIndex, label: Label) -> bool {
        matches!(label, Label::Field(at) if self.kind(kind).field(at).is_some())
    }

    /// Addresses of the first items of a list.
    pub fn list_items(&self, list: u64, most: u64) -> impl Iterator<Item = u64> + 'a {
        let count = self.word(list + SIZE).unwrap_or(0).min(most);
        self.words(self.pointer(list + LIST_ITEMS).unwrap_or(0), count)
    }

    /// Addresses of the last items of a list.
    pub fn last_list_items(&self, list: u64, most: u64) -> impl Iterator<Item = u64> + 'a {
        let count = self.word(list + SIZE).unwrap_or(0);
        let first = count.saturating_sub(most);
        let items = self.pointer(list + LIST_ITEMS).unwrap_or(0);
        self.words(items.saturating_add(first.saturating_mul(8)), count - first)
    }

    /// How often a type's instances come with something behind them, as their head says: items, digits.
    fn items(&self, address: u64) -> u64 {
        self.word(address + SIZE).map_or(0, |size| (size as i64).unsigned_abs())
    }

    fn layout(&self) -> &Layout {
        &self.interpreter.layout
    }

    fn bytes_read(&self) -> u64 {
        self.reader().snapshot.bytes_read()
    }

    const fn reader(&self) -> &'a Reader<'a> {
        &self.heap.reader
    }

    fn minor(&self) -> u8 {
        self.interpreter.version.minor
    }

    fn word(&self, address: u64) -> Option<u64> {
        self.heap.reader.snapshot.word(address)
    }

    /// An address, to which an offset can be added.
    fn pointer(&self, address: u64) -> Option<u64> {
        self.word(address).filter(|pointer| can_be_address(*pointer))
    }

    /// A stretch of memory; nothing where the snapshot does not have all of it.
    fn bytes(&self, address: u64, length: u64) -> Option<&'a [u8]> {
        self.heap.reader.snapshot.bytes(address, usize::try_from(length).ok()?)
    }

    /// Words from an address on; none where the snapshot does not have all of them.
    fn words(&self, address: u64, count: u64) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator + 'a {
        let bytes = count.checked_mul(8).and_then(|length| self.bytes(address, length)).unwrap_or_default();
        bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// A word that may also lie in a program's or a library's own data, which a snapshot leaves out.
    fn any_word(&self, address: u64) -> Option<u64> {
        self.reader().word(address)
    }

    fn any_pointer(&self, address: u64) -> Option<u64> {
        self.any_word(address).filter(|pointer| can_be_address(*pointer))
    }
}

/// Whether a word can lead anywhere in a process.
const fn can_be_address(word: u64) -> bool {
    word != 0 && word < 1 << 56
}
