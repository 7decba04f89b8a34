//! Whether a process runs `CPython`, which version, and where its interpreter begins.
//!
//! The interpreter is found by its symbols, which also a stripped build exports, in the files that the process maps: so
//! neither what a program or a library is called says anything, nor what it says of itself. What is found is checked
//! against the layout of its version before it is believed: an interpreter of another build is refused with a reason.

use std::{collections::HashSet, io};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    layout::{self, Layout, TYPE, Version, of_type},
    memory::Memory,
};
use crate::process::{
    elf::ElfFile,
    maps::{CodeMapping, code_mappings},
    sparse,
};

/// An interpreter in a running process.
#[derive(Debug)]
pub struct Interpreter {
    /// The process.
    pub pid: u32,
    /// The release.
    pub version: Version,
    /// Where its structures have their fields.
    pub layout: Layout,
    /// Address of `_PyRuntime`.
    pub runtime: u64,
    /// Address of `PyType_Type`: the type of all types.
    pub type_type: u64,
    /// Address of `PyType_GenericAlloc`, which makes most instances of classes.
    pub generic_alloc: Option<u64>,
    /// The file that holds it.
    pub mapping: CodeMapping,
    /// The process's memory.
    pub memory: Memory,
}

/// Device and inode of a file.
pub type File = ((i32, i32), u64);

/// Most interpreters and threads that are followed in their lists.
pub const MAX_LISTED: usize = 4096;

/// Symbols by which an interpreter is found.
const RUNTIME: &str = "_PyRuntime";
const TYPE_TYPE: &str = "PyType_Type";
const VERSION: &str = "Py_Version";
const GENERIC_ALLOC: &str = "PyType_GenericAlloc";

impl Interpreter {
    /// The interpreter in a process, if there is one. An error says why one that is there cannot be read.
    pub fn find(pid: u32) -> Result<Option<Self>> {
        Self::find_beside(pid, &mut HashSet::new())
    }

    /// The same, where files are known that hold none: they are not looked into again, and those that are found to hold
    /// none are added.
    pub fn find_beside(pid: u32, others: &mut HashSet<File>) -> Result<Option<Self>> {
        let mappings = code_mappings(pid).with_context(|| format!("the mappings of process {pid} cannot be read"))?;
        for mapping in candidates(&mappings) {
            let file = (mapping.device, mapping.inode);
            if others.contains(&file) {
                continue;
            }
            if let Some(symbols) = Symbols::of(pid, mapping)? {
                return Self::at(pid, mapping, &symbols).map(Some);
            }
            others.insert(file);
        }
        Ok(None)
    }

    fn at(pid: u32, mapping: &CodeMapping, symbols: &Symbols) -> Result<Self> {
        let memory = Memory::of(pid).with_context(|| format!("the memory of process {pid} cannot be read"))?;
        let version = version(&memory, symbols)?;
        let layout = layout::of_version(version.minor)
            .with_context(|| format!("it runs Python {version}; 3.8 to 3.14 are supported"))?;
        let layout = if version.minor >= 13 {
            let bytes: [u8; layout::TABLE_WORDS * 8] =
                memory.bytes(symbols.runtime).context("the table of offsets cannot be read")?;
            let mut words = [0; layout::TABLE_WORDS];
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            layout::refine(layout, version, &words).with_context(|| format!("Python {version} cannot be read"))?
        } else {
            layout
        };
        let interpreter = Self {
            pid,
            version,
            layout,
            runtime: symbols.runtime,
            type_type: symbols.type_type,
            generic_alloc: symbols.generic_alloc,
            mapping: mapping.clone(),
            memory,
        };
        let checked = interpreter.check();
        ensure!(checked.is_ok() || !interpreter.is_gone(), "process {pid} ended while it was looked at");
        checked.with_context(|| format!("this build of Python {version} cannot be read"))?;
        Ok(interpreter)
    }

    /// Whether its process has ended or runs another program: nothing of it can be read any more.
    pub fn is_gone(&self) -> bool {
        self.memory.word(self.type_type).is_none()
    }

    /// The states of all its interpreters, the main one last.
    pub fn states(&self) -> Vec<u64> {
        let first = self.memory.pointer(self.runtime + self.layout.runtime.interpreters);
        self.list(first, self.layout.interpreter.next)
    }

    /// The states of all threads that run Python, or may.
    pub fn threads(&self) -> Vec<u64> {
        let first = |state: u64| self.memory.pointer(state.wrapping_add(self.layout.interpreter.threads));
        let threads = self.states().into_iter().flat_map(|state| self.list(first(state), self.layout.thread.next));
        threads.take(MAX_LISTED).collect()
    }

    fn list(&self, first: Option<u64>, next: u64) -> Vec<u64> {
        let is_new = |state: &u64| Some(*state) != first;
        let follow = |state: &u64| self.memory.pointer(state.checked_add(next)?).filter(is_new);
        std::iter::successors(first, follow).take(MAX_LISTED).collect()
    }

    /// Whether its structures are where the layout says.
    fn check(&self) -> Result<()> {
        let memory = &self.memory;
        ensure!(
            memory.word(self.type_type + TYPE) == Some(self.type_type),
            "the type of its types is not its own type"
        );
        let name = memory.pointer(self.type_type + of_type::NAME).and_then(|name| memory.bytes::<5>(name));
        ensure!(name.as_ref() == Some(b"type\0"), "the type of its types has another name");
        let states = self.states();
        ensure!(!states.is_empty(), "it has no interpreter yet");
        let threads = self.threads();
        ensure!(!threads.is_empty(), "it has no thread that runs Python yet");
        let is_of_one = |thread: &u64| {
            let state = memory.word(thread.wrapping_add(self.layout.thread.interpreter));
            state.is_some_and(|state| states.contains(&state))
        };
        ensure!(threads.iter().all(is_of_one), "its threads are not where its version has them");
        let dict = states.last().and_then(|state| memory.pointer(state.wrapping_add(self.layout.interpreter.modules)));
        let dict_type = dict.and_then(|dict| memory.pointer(dict + TYPE));
        let name = dict_type.and_then(|kind| memory.pointer(kind + of_type::NAME));
        let name = name.and_then(|name| memory.bytes::<5>(name));
        ensure!(name.as_ref() == Some(b"dict\0"), "its modules are not where its version has them");
        Ok(())
    }
}

/// Mappings in which to look for an interpreter, the likeliest first: one for each file.
fn candidates(mappings: &[CodeMapping]) -> Vec<&CodeMapping> {
    let mut files: Vec<&CodeMapping> = Vec::new();
    for mapping in mappings.iter().filter(|mapping| !mapping.is_vdso()) {
        if !files.iter().any(|file| (file.device, file.inode) == (mapping.device, mapping.inode)) {
            files.push(mapping);
        }
    }
    let is_named =
        |mapping: &&CodeMapping| mapping.path.file_name().is_some_and(|name| name.to_string_lossy().contains("python"));
    let (named, others): (Vec<_>, Vec<_>) = files.iter().partition(|mapping| is_named(mapping));
    // A program that has it built in may have any name; of libraries, those that have it say so.
    named.into_iter().chain(others.into_iter().take(1)).copied().collect()
}

/// Where an object has what an interpreter consists of, as addresses in the process.
#[derive(Clone, Copy, Debug)]
struct Symbols {
    runtime: u64,
    runtime_bytes: u64,
    type_type: u64,
    version: Option<u64>,
    generic_alloc: Option<u64>,
}

impl Symbols {
    fn of(pid: u32, mapping: &CodeMapping) -> Result<Option<Self>> {
        let file = match mapping.open(pid) {
            Ok(mapped) => mapped.file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be opened", mapping.path.display())),
        };
        let bytes = sparse::read_symbols(&file)?;
        let Ok(object) = ElfFile::parse(&bytes, "the object") else { return Ok(None) };
        let found = object.variables(&[RUNTIME, TYPE_TYPE, VERSION]);
        let Some(bias) = object
            .segments()
            .find_map(|segment| segment.vaddr_of_mapping(mapping.file_offset))
            .map(|vaddr| mapping.start.wrapping_sub(vaddr))
        else {
            return Ok(None);
        };
        let variable = |name: &str| found.iter().find(|symbol| symbol.name == name);
        let (Some(runtime), Some(type_type)) = (variable(RUNTIME), variable(TYPE_TYPE)) else { return Ok(None) };
        let functions = object.symbols(&[GENERIC_ALLOC], |_| false).unwrap_or_default();
        Ok(Some(Self {
            runtime: runtime.vaddr.wrapping_add(bias),
            runtime_bytes: runtime.size,
            type_type: type_type.vaddr.wrapping_add(bias),
            version: variable(VERSION).map(|symbol| symbol.vaddr.wrapping_add(bias)),
            generic_alloc: functions.first().map(|symbol| symbol.vaddr.wrapping_add(bias)),
        }))
    }
}

/// Which release it is. Up to 3.10 there is nothing that says so, but the size of its state does.
fn version(memory: &Memory, symbols: &Symbols) -> Result<Version> {
    if let Some(address) = symbols.version {
        let bytes: [u8; 4] = memory.bytes(address).context("its version cannot be read")?;
        let [_, micro, minor, major] = bytes;
        ensure!(major == 3, "it runs Python {major}.{minor}; 3.8 to 3.14 are supported");
        return Ok(Version { minor, micro: Some(micro) });
    }
    for minor in 8..=10 {
        if layout::of_version(minor).is_some_and(|layout| layout.runtime.bytes == symbols.runtime_bytes) {
            return Ok(Version { minor, micro: None });
        }
    }
    bail!("it runs a Python that is none of the releases 3.8 to 3.14, or a build with other structures")
}
