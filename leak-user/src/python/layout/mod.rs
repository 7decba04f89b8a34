//! Where things are in the structures of an interpreter: offsets in bytes, which differ from version to version.
//!
//! From 3.13 on an interpreter says most of it itself ([`debug_offsets`]); of older ones, and of what it does not say,
//! there are tables ([`tables`]) taken from the debug information of `CPython`'s own releases. Offsets that have been the
//! same in every version from 3.8 on are constants here.

mod debug_offsets;
mod tables;

pub use debug_offsets::{TABLE_WORDS, refine};
pub use tables::of_version;

/// A release of `CPython`: `3.minor.micro`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The second number.
    pub minor: u8,
    /// The third, where the interpreter tells it: from 3.11 on.
    pub micro: Option<u8>,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "3.{}", self.minor)?;
        self.micro.map_or(Ok(()), |micro| write!(f, ".{micro}"))
    }
}

/// `ob_refcnt` of an object.
pub const REFERENCES: u64 = 0;
/// `ob_type` of an object.
pub const TYPE: u64 = 8;
/// `ob_size` of an object of variable size: a list's or a tuple's items.
pub const SIZE: u64 = 16;
/// Bytes of the head that the collector keeps ahead of an object it knows.
pub const GC_HEAD: u64 = 16;

/// `tp_name` and the like, of a type.
pub mod of_type {
    /// `tp_name`: a C string.
    pub const NAME: u64 = 24;
    /// `tp_basicsize`.
    pub const BASIC_SIZE: u64 = 32;
    /// `tp_itemsize`.
    pub const ITEM_SIZE: u64 = 40;
    /// `tp_flags`.
    pub const FLAGS: u64 = 168;
    /// `tp_weaklistoffset`.
    pub const WEAK_LIST_OFFSET: u64 = 208;
    /// `tp_members`.
    pub const MEMBERS: u64 = 240;
    /// `tp_base`.
    pub const BASE: u64 = 256;
    /// `tp_dict`. From 3.12 on null for built-in types.
    pub const DICT: u64 = 264;
    /// `tp_dictoffset`.
    pub const DICT_OFFSET: u64 = 288;
    /// `tp_mro`.
    pub const MRO: u64 = 344;
}

/// Of a dict, and of its table of keys.
pub mod of_dict {
    /// `ma_used`: how many entries there are.
    pub const USED: u64 = 16;
    /// `ma_keys`.
    pub const KEYS: u64 = 32;
    /// `ma_values`: not null where the keys are shared.
    pub const VALUES: u64 = 40;
}

/// Of a set.
pub mod of_set {
    /// `fill`: entries and what is left of removed ones.
    pub const FILL: u64 = 16;
    /// `used`: how many entries there are.
    pub const USED: u64 = 24;
    /// `mask`: one less than the places in the table.
    pub const MASK: u64 = 32;
    /// `table`: places of a pointer to the entry and its hash.
    pub const TABLE: u64 = 40;
}

/// `ob_item` of a list: a pointer to its items.
pub const LIST_ITEMS: u64 = 24;
/// `allocated` of a list: how many items it has room for.
pub const LIST_ROOM: u64 = 32;
/// `ob_item` of a tuple: the items themselves.
pub const TUPLE_ITEMS: u64 = 24;
/// `ob_ref` of a cell.
pub const CELL_CONTENT: u64 = 16;
/// `md_dict` of a module.
pub const MODULE_DICT: u64 = 16;
/// `im_self` of a bound method.
pub const METHOD_SELF: u64 = 24;
/// `leftblock` of a `collections.deque`.
pub const DEQUE_LEFT_BLOCK: u64 = 24;
/// `leftindex` of a `collections.deque`.
pub const DEQUE_LEFT_INDEX: u64 = 40;
/// `tb_next` and `tb_frame` of a traceback.
pub const TRACEBACK_NEXT: u64 = 16;
/// See [`TRACEBACK_NEXT`].
pub const TRACEBACK_FRAME: u64 = 24;
/// `ob_bytes` of a `bytearray`.
pub const BYTEARRAY_DATA: u64 = 32;
/// Items in a block of a `collections.deque`, and the bytes of such a block.
pub const DEQUE_BLOCK: (u64, u64) = (64, 528);
/// `ob_sval` of bytes.
pub const BYTES_DATA: u64 = 32;
/// `length` of a string, in characters.
pub const STRING_LENGTH: u64 = 16;
/// `state` of a string: from the lowest bit on two of `interned`, three of `kind` (bytes a character), `compact`, `ascii`.
/// Of 3.14 on, `interned` has eight or sixteen and the others follow.
pub const STRING_STATE: u64 = 32;

/// What differs between versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of `_PyRuntime`.
    pub runtime: OfRuntime,
    /// Of an interpreter, `PyInterpreterState`.
    pub interpreter: OfInterpreter,
    /// Of a thread, `PyThreadState`.
    pub thread: OfThread,
    /// Of a frame: `PyFrameObject` up to 3.10, `_PyInterpreterFrame` since.
    pub frame: OfFrame,
    /// Of a code object.
    pub code: OfCode,
    /// Of a table of a dict's keys.
    pub keys: OfKeys,
    /// Of a function object.
    pub function: OfFunction,
    /// Of a string.
    pub string: OfString,
    /// Of a type that was made by a `class` statement, `PyHeapTypeObject`.
    pub heap_type: OfHeapType,
    /// Of a generator.
    pub generator: OfGenerator,
    /// Bytes ahead of the collector's head of an object whose dict or weak references the interpreter keeps there: from
    /// 3.11 on. See [`MANAGED_DICT`].
    pub pre_head: u64,
    /// In a block of values that stands in for an instance's dict: where they begin.
    pub values: u64,
    /// Bytes of a pool of small blocks, at a multiple of which it lies.
    pub pool_bytes: u64,
}

/// `Py_TPFLAGS_HAVE_GC`: there is a head of the collector ahead of objects of this type.
pub const HAVE_GC: u64 = 1 << 14;
/// `Py_TPFLAGS_HEAPTYPE`: the type was made as the program ran.
pub const HEAP_TYPE: u64 = 1 << 9;
/// `Py_TPFLAGS_IMMUTABLETYPE`, from 3.10 on: no program changes it.
pub const IMMUTABLE: u64 = 1 << 8;
/// `Py_TPFLAGS_MANAGED_WEAKREF`, from 3.12 on.
pub const MANAGED_WEAKREF: u64 = 1 << 3;
/// `Py_TPFLAGS_MANAGED_DICT`, from 3.11 on.
pub const MANAGED_DICT: u64 = 1 << 4;
/// `Py_TPFLAGS_INLINE_VALUES`, from 3.13 on: an instance's values follow it.
pub const INLINE_VALUES: u64 = 1 << 2;

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfRuntime {
    /// Bytes of it all, by which a build is told from others.
    pub bytes: u64,
    /// `interpreters.head`.
    pub interpreters: u64,
}

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfInterpreter {
    /// `next`.
    pub next: u64,
    /// The first thread.
    pub threads: u64,
    /// The dict that `sys.modules` is.
    pub modules: u64,
    /// The dict of the module `sys`.
    pub sys: u64,
}

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfThread {
    /// `next`.
    pub next: u64,
    /// `interp`.
    pub interpreter: u64,
    /// Where the pointer to its innermost frame is; or, of 3.11 and 3.12, the pointer to what holds that.
    pub frame: u64,
    /// Of 3.11 and 3.12: where in what [`Self::frame`] points to the frame is.
    pub through: Option<u64>,
    /// `thread_id`: as `pthread_self` gives it, which on x86-64 is the base of the segment `fs`.
    pub pthread: u64,
    /// `native_thread_id`, from 3.11 on: the kernel's, in the process's own PID namespace.
    pub native: Option<u64>,
}

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfFrame {
    /// The code object. From 3.14 on, and in 3.13 in part, its lowest bits are no part of the address.
    pub code: u64,
    /// The frame that called.
    pub previous: u64,
    /// Where it is in its code.
    pub instruction: Instruction,
    /// The local variables, cells and free ones.
    pub locals: u64,
    /// Where it says whether C code called it, and the byte that says yes; from 3.11 on. From 3.12 on, such a frame is a
    /// piece of the C stack, with no code of its own.
    pub entry: Option<(u64, u8)>,
    /// The dict of its module.
    pub globals: u64,
}

/// How a frame tells where it is in its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// An index, four bytes at this offset, in units of so many bytes; below 0 before it begins.
    Index {
        /// The offset.
        at: u64,
        /// Bytes of a unit.
        unit: u64,
    },
    /// A pointer at this offset, into [`OfCode::instructions`].
    Pointer {
        /// The offset.
        at: u64,
    },
}

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfCode {
    /// `co_filename`.
    pub file: u64,
    /// `co_name`.
    pub name: u64,
    /// `co_qualname`, from 3.11 on.
    pub qualified_name: Option<u64>,
    /// `co_firstlineno`, four bytes.
    pub first_line: u64,
    /// `co_lnotab` or `co_linetable`: bytes.
    pub lines: u64,
    /// How those are to be read.
    pub line_format: LineFormat,
    /// Where the instructions begin: from 3.11 on in the object itself, before that not needed.
    pub instructions: u64,
    /// The names of local variables, a tuple: `co_localsplusnames`, or `co_varnames` up to 3.10.
    pub locals: u64,
    /// `co_freevars` up to 3.10, a tuple. Since then they are the last of `locals`.
    pub free: Option<u64>,
    /// `co_cellvars` up to 3.10, a tuple.
    pub cells: Option<u64>,
    /// `co_nfreevars` from 3.11 on, four bytes.
    pub free_count: Option<u64>,
}

/// How a code object's table of lines is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// Pairs of increments of bytes and lines (up to 3.9).
    Increments,
    /// Pairs of lengths in bytes and of lines to add, -128 for no line (3.10).
    Ranges,
    /// Location entries of variable length (from 3.11 on).
    Locations,
}

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfKeys {
    /// How large the table of indices is.
    pub size: KeysSize,
    /// `dk_nentries`, eight bytes: entries in use and what is left of removed ones.
    pub entries: u64,
    /// `dk_indices`: behind them the entries follow.
    pub indices: u64,
    /// `dk_kind`, a byte, from 3.11 on: 0 says that an entry is hash, key and value, else it is key and value.
    pub kind: Option<u64>,
}

/// How a table of keys says how large its table of indices is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysSize {
    /// `dk_size`, eight bytes: places. An index has one byte up to 128 of them, then two, four, eight.
    Places {
        /// The offset.
        at: u64,
    },
    /// `dk_log2_index_bytes`, a byte: binary logarithm of the bytes of all indices.
    LogBytes {
        /// The offset.
        at: u64,
    },
}

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfFunction {
    /// `func_code`.
    pub code: u64,
    /// `func_closure`, a tuple of cells or null.
    pub closure: u64,
    /// `func_qualname`.
    pub qualified_name: u64,
    /// `func_module`: mostly a string.
    pub module: u64,
    /// `func_globals`.
    pub globals: u64,
    /// `func_dict`, or null.
    pub dict: u64,
}

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfString {
    /// `sizeof(PyASCIIObject)`: where the characters of an ASCII string begin.
    pub ascii: u64,
    /// `sizeof(PyCompactUnicodeObject)`: where those of others begin.
    pub compact: u64,
    /// Bits of `state` below `kind`.
    pub kind_shift: u32,
}

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfHeapType {
    /// `ht_name`.
    pub name: u64,
    /// `ht_qualname`.
    pub qualified_name: u64,
    /// `ht_cached_keys`: the keys that instances share.
    pub shared_keys: u64,
}

/// See [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfGenerator {
    /// Up to 3.10 `gi_frame`, a pointer; from 3.11 on `gi_iframe`, the frame itself.
    pub frame: u64,
    /// Whether the frame is in the generator.
    pub is_inside: bool,
}
