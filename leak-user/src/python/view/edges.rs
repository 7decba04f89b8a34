//! What an object refers to, and by which name.
//!
//! Where its form is known, exactly; of any other, each of its words that leads to an object counts.

use std::ops::ControlFlow;

use super::{Frame, Kind, Shape, View, dicts::Attributes};
use crate::python::{
    heap::TypeIndex,
    layout::{
        CELL_CONTENT, LIST_ITEMS, MODULE_DICT, SIZE, TRACEBACK_FRAME, TRACEBACK_NEXT, TUPLE_ITEMS, TYPE, of_set,
        of_type,
    },
};

/// A reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The address that it leads to.
    pub to: u64,
    /// By what it is found there.
    pub label: Label,
}

/// By what an object is found in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// An attribute, by the address of its name.
    Attribute(u64),
    /// What holds its attributes.
    Dict,
    /// What a dict has under a key, by the address of that.
    Value(u64),
    /// A key of a dict, by its own address.
    Key(u64),
    /// An item, by its place.
    Item(u64),
    /// An item that has no place, as those of a set.
    Member,
    /// A field of its structure, by its offset.
    Field(u64),
    /// A variable that a function shares with the one around it, by its place among those.
    Shared(u64),
    /// What a cell holds.
    Content,
    /// A variable of a frame.
    Variable {
        /// The frame's code object.
        code: u64,
        /// The dict of its module.
        globals: u64,
        /// Which.
        index: u32,
    },
    /// What a function is about to use, or used: it may be stale.
    Temporary {
        /// The frame's code object.
        code: u64,
        /// The dict of its module.
        globals: u64,
    },
    /// The dict of a function's module.
    Globals,
    /// `tb_frame`.
    TracebackFrame,
    /// `tb_next`.
    TracebackNext,
    /// Its class.
    Class,
    /// A base of its class.
    Base,
}

/// Most items of an object of no known form that are looked at.
const MAX_ITEMS: u64 = 1 << 16;

/// Most bytes of an object of no known form that are looked at.
const MAX_WORDS: u64 = 512;

/// Takes references one by one until it says enough.
pub trait Visit: FnMut(Edge) -> ControlFlow<()> {}
impl<V: FnMut(Edge) -> ControlFlow<()>> Visit for V {}

impl View<'_> {
    /// Shows what an object refers to until `visit` has enough. Targets are addresses: not all lead to objects.
    pub fn edges(&self, object: u64, kind: TypeIndex, visit: &mut impl Visit) -> ControlFlow<()> {
        let kind = self.kind(kind);
        let mut show = |to: u64, label: Label| visit(Edge { to, label });
        if kind.holds_nothing() {
            return ControlFlow::Continue(());
        }
        match kind.shape {
            Shape::Dict => self.dict_edges(object, &mut show)?,
            Shape::List => {
                let items = self.pointer(object + LIST_ITEMS).unwrap_or(0);
                self.item_edges(items, self.word(object + SIZE).unwrap_or(0), &mut show)?;
            }
            Shape::Tuple => self.item_edges(object + TUPLE_ITEMS, self.items(object), &mut show)?,
            Shape::Set => {
                for member in self.set_members(object) {
                    show(member, Label::Member)?;
                }
            }
            Shape::Deque => {
                for (place, item) in self.deque_items(object, u64::MAX).enumerate() {
                    show(item, Label::Item(place as u64))?;
                }
            }
            Shape::Module => {
                if let Some(dict) = self.pointer(object + MODULE_DICT) {
                    self.attribute_edges(dict, &mut show)?;
                }
                return ControlFlow::Continue(());
            }
            Shape::Type => return self.type_edges(object, &mut show),
            Shape::Function => return self.function_edges(object, kind, &mut show),
            Shape::Cell => {
                if let Some(content) = self.pointer(object + CELL_CONTENT) {
                    show(content, Label::Content)?;
                }
            }
            Shape::Generator => {
                self.frame_edges(self.frame_of_generator(object), &mut show)?;
            }
            Shape::Frame => {
                self.frame_edges(self.frame_of_object(object), &mut show)?;
                return ControlFlow::Continue(());
            }
            Shape::Traceback => {
                if let Some(frame) = self.pointer(object + TRACEBACK_FRAME) {
                    show(frame, Label::TracebackFrame)?;
                }
                if let Some(next) = self.pointer(object + TRACEBACK_NEXT) {
                    show(next, Label::TracebackNext)?;
                }
                return ControlFlow::Continue(());
            }
            Shape::Leaf | Shape::Exception | Shape::Plain => {}
        }
        self.instance_edges(object, kind, &mut show)
    }

    /// Shows what the variables of a frame refer to.
    pub fn frame_edges(
        &self,
        frame: Option<Frame>,
        show: &mut impl FnMut(u64, Label) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Some(frame) = frame else { return ControlFlow::Continue(()) };
        let mut flow = ControlFlow::Continue(());
        self.variables_of(&frame, |to, label| {
            if flow.is_continue() {
                flow = show(to, label);
            }
        });
        flow
    }

    /// Addresses of a set's members.
    pub fn set_members(&self, set: u64) -> impl Iterator<Item = u64> + '_ {
        self.set_entries(set).map(|(member, _)| member)
    }

    /// Addresses of a set's members, each with its hash.
    pub fn set_entries(&self, set: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let places = self.word(set + of_set::MASK).and_then(|mask| mask.checked_add(1)).unwrap_or(0);
        let table = self.pointer(set + of_set::TABLE).unwrap_or(0);
        let bytes = places.checked_mul(16).and_then(|length| self.bytes(table, length)).unwrap_or_default();
        bytes.as_chunks::<16>().0.iter().filter_map(|entry| {
            let (words, _) = entry.as_chunks::<8>();
            let [member, hash] = [words[0], words[1]].map(u64::from_le_bytes);
            // What is left of a removed one has this hash; a true one never has.
            (member != 0 && hash != u64::MAX).then_some((member, hash))
        })
    }

    fn dict_edges(&self, dict: u64, show: &mut impl FnMut(u64, Label) -> ControlFlow<()>) -> ControlFlow<()> {
        for (key, value) in self.entries(dict).into_iter().flat_map(super::dicts::Entries::iter) {
            show(value, Label::Value(key))?;
            show(key, Label::Key(key))?;
        }
        ControlFlow::Continue(())
    }

    fn attribute_edges(&self, dict: u64, show: &mut impl FnMut(u64, Label) -> ControlFlow<()>) -> ControlFlow<()> {
        show(dict, Label::Dict)?;
        for (name, value) in self.entries(dict).into_iter().flat_map(super::dicts::Entries::iter) {
            show(value, Label::Attribute(name))?;
        }
        ControlFlow::Continue(())
    }

    fn item_edges(
        &self,
        items: u64,
        count: u64,
        show: &mut impl FnMut(u64, Label) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for (place, item) in self.words(items, count).enumerate() {
            show(item, Label::Item(place as u64))?;
        }
        ControlFlow::Continue(())
    }

    /// What instances of any class have: attributes, slots and, of C types, words.
    fn instance_edges(
        &self,
        object: u64,
        kind: &Kind,
        show: &mut impl FnMut(u64, Label) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self.attributes(object, kind) {
            Some(Attributes::Dict(dict)) => self.attribute_edges(dict, show)?,
            Some(Attributes::Values(entries)) => {
                for (name, value) in entries.iter() {
                    show(value, Label::Attribute(name))?;
                }
            }
            None => {}
        }
        let first = kind.words_from;
        let count = (kind.basic_size.saturating_sub(first) / 8).min(MAX_WORDS);
        for (place, word) in self.words(object + first, count).enumerate() {
            let at = first + place as u64 * 8;
            if word != 0 && at != kind.weak_list && at as i64 != kind.dict_offset {
                show(word, Label::Field(at))?;
            }
        }
        if kind.shape == Shape::Plain && kind.item_size == 8 {
            let count = self.items(object).min(MAX_ITEMS);
            self.item_edges(object + kind.basic_size, count, show)?;
        }
        if kind.is_made_at_run_time() {
            show(self.word(object + TYPE).unwrap_or(0), Label::Class)?;
        }
        ControlFlow::Continue(())
    }

    /// Of types that C code made at compile time it shows nothing.
    fn type_edges(&self, object: u64, show: &mut impl FnMut(u64, Label) -> ControlFlow<()>) -> ControlFlow<()> {
        if let Some(dict) = self.pointer(object + of_type::DICT) {
            self.attribute_edges(dict, show)?;
        }
        if let Some(base) = self.pointer(object + of_type::BASE) {
            show(base, Label::Base)?;
        }
        if let Some(order) = self.pointer(object + of_type::MRO) {
            show(order, Label::Base)?;
        }
        show(self.word(object + TYPE).unwrap_or(0), Label::Class)
    }

    fn function_edges(
        &self,
        object: u64,
        kind: &Kind,
        show: &mut impl FnMut(u64, Label) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let layout = &self.layout().function;
        if let Some(closure) = self.pointer(object + layout.closure) {
            for (place, cell) in self.words(closure + TUPLE_ITEMS, self.items(closure)).enumerate() {
                if self.kind_of(cell).is_none_or(|kind| self.kind(kind).shape != Shape::Cell) {
                    continue;
                }
                // The cell as such, for what looks for cycles; its content, for what looks for names.
                if let Some(content) = self.pointer(cell + CELL_CONTENT) {
                    show(content, Label::Shared(place as u64))?;
                }
                show(cell, Label::Shared(place as u64))?;
            }
        }
        for (at, _) in &kind.fields {
            if let Some(value) = self.pointer(object + at) {
                show(value, Label::Field(*at))?;
            }
        }
        if let Some(dict) = self.pointer(object + layout.dict) {
            self.attribute_edges(dict, show)?;
        }
        if let Some(globals) = self.pointer(object + layout.globals) {
            show(globals, Label::Globals)?;
        }
        ControlFlow::Continue(())
    }
}
