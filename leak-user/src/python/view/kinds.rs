//! What is known of each type: in which form its instances hold references, and what their fields are called.

use std::cell::OnceCell;

use super::View;
use crate::python::{
    heap::TypeIndex,
    layout::{HEAP_TYPE, MANAGED_DICT, METHOD_SELF, of_type},
};

/// In which form an object holds references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// It holds none that matter: a string, a number, a weak reference.
    Leaf,
    /// A dict.
    Dict,
    /// A list.
    List,
    /// A tuple.
    Tuple,
    /// A set, frozen or not.
    Set,
    /// A deque.
    Deque,
    /// A module.
    Module,
    /// A type.
    Type,
    /// A function written in Python.
    Function,
    /// What a function shares with one inside it.
    Cell,
    /// A generator or coroutine.
    Generator,
    /// A frame that is an object.
    Frame,
    /// A step of an exception's way.
    Traceback,
    /// An exception.
    Exception,
    /// Any other: its words are looked at one by one.
    Plain,
}

/// What is known of a type.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Its address.
    pub address: u64,
    /// The form of its instances.
    pub shape: Shape,
    /// Its name, module and all unless that is `builtins`: `app.Session`. It may hold anything.
    pub name: String,
    /// Name of the built-in type that it is or comes from, as far as that decides its form; else empty.
    pub builtin: &'static str,
    /// Bytes of an instance.
    pub basic_size: u64,
    /// Bytes of an item, of those that have some.
    pub item_size: u64,
    /// `tp_flags`.
    pub flags: u64,
    /// Where an instance's dict is; below 0 from its end on, 0 where there is none.
    pub dict_offset: i64,
    /// Where in an instance words begin that its form does not say.
    pub words_from: u64,
    /// Where the list of its weak references is, or 0.
    pub weak_list: u64,
    /// Names of fields, by offset.
    pub fields: Vec<(u64, String)>,
}

impl Kind {
    /// What a field is called.
    pub fn field(&self, offset: u64) -> Option<&str> {
        self.fields.iter().find(|(at, _)| *at == offset).map(|(_, name)| name.as_str())
    }

    /// Whether its instances refer to nothing that matters.
    pub fn holds_nothing(&self) -> bool {
        self.shape == Shape::Leaf
            && self.words_from >= self.basic_size
            && self.dict_offset == 0
            && self.flags & MANAGED_DICT == 0
    }

    /// Whether it was made as the program ran, as those of a `class` statement are.
    pub const fn is_made_at_run_time(&self) -> bool {
        self.flags & HEAP_TYPE != 0
    }
}

/// Types in a part of [`Kinds`].
const PART: usize = 1024;

/// A part of [`Kinds`].
type Part = Box<[OnceCell<Box<Kind>>]>;

/// What is known of types, found out when it is asked for.
#[derive(Debug)]
pub struct Kinds {
    parts: Vec<OnceCell<Part>>,
}

impl Kinds {
    /// Of none yet.
    pub fn new() -> Self {
        Self { parts: vec![OnceCell::new(); PART] }
    }

    /// One of them.
    pub fn get(&self, index: TypeIndex, find_out: impl FnOnce() -> Kind) -> &Kind {
        let part = self.parts[index.place() / PART % PART].get_or_init(|| vec![OnceCell::new(); PART].into());
        part[index.place() % PART].get_or_init(|| Box::new(find_out()))
    }
}

/// Most bases of a type that are followed.
const MAX_BASES: usize = 64;

/// Most fields of a type that are read.
const MAX_FIELDS: u64 = 256;

/// Most entries of a class that are looked through.
const MAX_ENTRIES: usize = 4096;

/// No instance has a field so far from its beginning.
const MAX_OFFSET: u64 = 1 << 20;

/// Bytes of a `PyMemberDef`.
const MEMBER_BYTES: u64 = 40;

/// Kinds of members that are references: `T_OBJECT` and `T_OBJECT_EX`.
const REFERENCE_MEMBERS: [u32; 2] = [6, 16];

/// Built-in types whose instances' form is known, with the bytes that it takes.
const FORMS: [(&str, Shape, u64); 38] = [
    ("dict", Shape::Dict, 48),
    ("list", Shape::List, 40),
    ("tuple", Shape::Tuple, 24),
    ("set", Shape::Set, 200),
    ("frozenset", Shape::Set, 200),
    ("collections.deque", Shape::Deque, 72),
    ("module", Shape::Module, 24),
    ("type", Shape::Type, 400),
    ("function", Shape::Function, 112),
    ("cell", Shape::Cell, 24),
    ("generator", Shape::Generator, 64),
    ("coroutine", Shape::Generator, 64),
    ("async_generator", Shape::Generator, 64),
    ("frame", Shape::Frame, 32),
    ("traceback", Shape::Traceback, 32),
    ("BaseException", Shape::Exception, 64),
    ("str", Shape::Leaf, 0),
    ("bytes", Shape::Leaf, 0),
    ("bytearray", Shape::Leaf, 0),
    ("int", Shape::Leaf, 0),
    ("bool", Shape::Leaf, 0),
    ("float", Shape::Leaf, 0),
    ("complex", Shape::Leaf, 0),
    ("NoneType", Shape::Leaf, 0),
    ("ellipsis", Shape::Leaf, 0),
    ("range", Shape::Leaf, 0),
    ("code", Shape::Leaf, 0),
    ("weakref", Shape::Leaf, 0),
    ("weakref.ReferenceType", Shape::Leaf, 0),
    ("weakproxy", Shape::Leaf, 0),
    ("weakref.ProxyType", Shape::Leaf, 0),
    ("weakcallableproxy", Shape::Leaf, 0),
    ("weakref.CallableProxyType", Shape::Leaf, 0),
    ("wrapper_descriptor", Shape::Leaf, 0),
    ("method_descriptor", Shape::Leaf, 0),
    ("classmethod_descriptor", Shape::Leaf, 0),
    ("member_descriptor", Shape::Leaf, 0),
    ("getset_descriptor", Shape::Leaf, 0),
];

impl Kind {
    /// Finds out about a type.
    pub fn of(view: &View, index: TypeIndex) -> Self {
        let found = view.heap.kind(index);
        let address = found.as_ref().map_or(0, |found| found.address);
        let word = |at: u64| view.any_word(address + at);
        let mut kind = Self {
            address,
            shape: Shape::Leaf,
            name: found.as_ref().map_or_else(String::new, |found| found.name.clone()),
            builtin: "",
            basic_size: found.as_ref().map_or(0, |found| found.basic_size),
            item_size: found.as_ref().map_or(0, |found| found.item_size),
            flags: found.as_ref().map_or(0, |found| found.flags),
            dict_offset: word(of_type::DICT_OFFSET).map_or(0, |offset| offset as i64),
            words_from: 16,
            weak_list: word(of_type::WEAK_LIST_OFFSET).unwrap_or(0),
            fields: Vec::new(),
        };
        if found.is_some() {
            kind.complete(view);
        }
        kind
    }

    fn complete(&mut self, view: &View) {
        self.shape = Shape::Plain;
        let bases = view.bases(self.address);
        for base in &bases {
            let Some(flags) = view.any_word(base + of_type::FLAGS) else { break };
            let Some(name) = view.c_string(base + of_type::NAME) else { break };
            let form = FORMS.iter().find(|(known, ..)| *known == name);
            let Some((name, shape, bytes)) = form else { continue };
            // A class of the program may take any of these names. Of a deque C code makes the type at run time, from
            // 3.12 on.
            let is_trusted = flags & HEAP_TYPE == 0 || *shape == Shape::Deque;
            if is_trusted && self.basic_size >= *bytes {
                self.shape = *shape;
                self.builtin = name;
                let own = view.any_word(base + of_type::BASIC_SIZE).unwrap_or(u64::MAX);
                self.words_from = own.max(*bytes);
                break;
            }
        }
        for base in &bases {
            view.add_fields(*base, &mut self.fields);
        }
        let closure = view.layout().function.closure;
        let is_new = view.minor() >= 11;
        let known: &[(u64, &str)] = match self.shape {
            Shape::Exception if is_new => {
                &[(24, "args"), (32, "__notes__"), (40, "__traceback__"), (48, "__context__"), (56, "__cause__")]
            }
            Shape::Exception => &[(24, "args"), (32, "__traceback__"), (40, "__context__"), (48, "__cause__")],
            Shape::Function => &[(closure - 16, "__defaults__"), (closure - 8, "__kwdefaults__")],
            _ if self.name == "builtin_function_or_method" => &[(METHOD_SELF, "__self__")],
            _ => &[],
        };
        self.fields.extend(known.iter().map(|(at, name)| (*at, (*name).to_owned())));
        if self.shape == Shape::Exception {
            self.words_from = 24;
        }
        if !is_new {
            self.flags &= !MANAGED_DICT;
        }
    }
}

impl View<'_> {
    /// A type's name, with its module unless that is `builtins`: `app.Session`. It may hold anything.
    pub fn name_of(&self, index: TypeIndex) -> String {
        self.kind(index).name.clone()
    }

    /// The module that says it has the class at this address.
    pub fn module_of_type(&self, kind: u64) -> Option<String> {
        let dict = self.pointer(kind.checked_add(of_type::DICT)?)?;
        // It is among the first.
        let mut entries = self.entries(dict)?.iter().take(MAX_ENTRIES);
        let (_, value) = entries.find(|(key, _)| self.is_text(*key, "__module__"))?;
        self.text(value)
    }

    /// A type and what it comes from, up to `object`.
    fn bases(&self, kind: u64) -> Vec<u64> {
        let mut bases: Vec<u64> = Vec::new();
        let mut next = Some(kind);
        while let Some(base) = next.filter(|base| bases.len() < MAX_BASES && !bases.contains(base)) {
            bases.push(base);
            next = base.checked_add(of_type::BASE).and_then(|at| self.any_pointer(at));
        }
        bases
    }

    /// Adds the fields that a type's table of members names.
    fn add_fields(&self, kind: u64, fields: &mut Vec<(u64, String)>) {
        let Some(table) = self.any_pointer(kind + of_type::MEMBERS) else { return };
        for index in 0..MAX_FIELDS {
            let Some(member) = table.checked_add(index * MEMBER_BYTES) else { return };
            let (Some(of), Some(at)) = (self.any_word(member + 8), self.any_word(member + 16)) else { return };
            let Some(name) = self.c_string(member) else { return };
            let is_in_instance = (16..MAX_OFFSET).contains(&at);
            if is_in_instance
                && REFERENCE_MEMBERS.contains(&(of as u32))
                && fields.iter().all(|(known, _)| *known != at)
            {
                fields.push((at, name));
            }
        }
    }

    /// The C string that a word points to.
    fn c_string(&self, pointer: u64) -> Option<String> {
        self.reader().text(self.any_pointer(pointer)?)
    }
}
