//! The traced processes that run Python: their stacks have Python's functions in place of its interpreter's.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use anyhow::Result;
use leak_ebpf::{Places, PythonStack};

use crate::{
    notice::Notices,
    probe::load::Kernel,
    process::{
        elf::ElfFile,
        modules::{Location, ModuleIndex, Modules},
        sparse,
    },
    python::{
        interpreter::{File, Interpreter},
        lines::Lines,
        merge::merge,
        places::places,
    },
    symbolize::Interpreted,
};

/// The interpreter's loop, and the part of it that a compiler puts aside.
const LOOP: [&str; 2] = ["_PyEval_EvalFrameDefault", "_PyEval_EvalFrameDefault.cold"];

/// By process slot.
#[derive(Default)]
pub struct Pythons {
    by_slot: HashMap<u16, Python>,
    /// The frames that they were seen to run.
    pub frames: Interpreted,
}

/// An interpreter as far as stacks take it.
pub struct Python {
    interpreter: Interpreter,
    places: Places,
    lines: Lines,
    /// Where in its file the interpreter's loop is.
    code: Vec<Range<u64>>,
    module: Option<ModuleIndex>,
}

impl Pythons {
    /// Has the stacks of a process told with Python's frames, if it runs Python and that can be read.
    pub fn begin(&mut self, slot: u16, pid: u32, kernel: &mut Kernel, notices: Notices) {
        if !kernel.has_python() {
            return;
        }
        match Python::find(pid) {
            Ok(Some(python)) => self.take(slot, python, kernel, notices),
            Ok(None) => {}
            Err(error) => notices.say(&Python::is_unnamed(pid, &error)),
        }
    }

    /// Has the stacks of a process told with the frames of its interpreter, which was found since it is traced.
    pub fn take(&mut self, slot: u16, python: Python, kernel: &mut Kernel, notices: Notices) {
        let pid = python.pid();
        match kernel.set_interpreter(slot, &python.places) {
            Ok(()) => {
                notices.detail(&format!("process {pid} runs Python {}", python.interpreter.version));
                self.by_slot.insert(slot, python);
            }
            Err(error) => notices.say(&Python::is_unnamed(pid, &error)),
        }
    }

    /// Whether those of the process in this slot are.
    pub fn has(&self, slot: u16) -> bool {
        self.by_slot.contains_key(&slot)
    }

    /// Has them told without: it is gone, or runs another program.
    pub fn end(&mut self, slot: u16, kernel: &mut Kernel) {
        if self.by_slot.remove(&slot).is_some() {
            kernel.forget_interpreter(slot);
        }
    }

    /// The calls of a stack of a process, with Python's in place of its interpreter's. `told` gives the Python frames.
    pub fn merge(
        &mut self,
        slot: u16,
        modules: &Modules,
        calls: Box<[Location]>,
        told: impl FnOnce() -> Option<PythonStack>,
    ) -> Box<[Location]> {
        let Some(python) = self.by_slot.get_mut(&slot) else { return calls };
        let Some(stack) = told() else { return calls };
        let Python { interpreter, lines, code, module, .. } = python;
        let mapping = &interpreter.mapping;
        let file = (mapping.device, mapping.inode);
        if module.is_none() {
            let mut all = modules.of_process(slot).into_iter();
            *module = all.find(|(_, mapping)| (mapping.device, mapping.inode) == file).map(|(index, _)| index);
        }
        let is_loop = |call: &Location| {
            call.module.is_some() && call.module == *module && code.iter().any(|code| code.contains(&call.offset))
        };
        merge(&calls, is_loop, stack.frames(), |call| self.frames.keep(lines.frame(interpreter, call))).into()
    }
}

impl Python {
    /// That of a process, if it runs one.
    pub fn find(pid: u32) -> Result<Option<Self>> {
        Self::find_beside(pid, &mut HashSet::new())
    }

    /// The same, where files are known that hold none, as [`Interpreter::find_beside`] has it.
    pub fn find_beside(pid: u32, others: &mut HashSet<File>) -> Result<Option<Self>> {
        let Some(interpreter) = Interpreter::find_beside(pid, others)? else { return Ok(None) };
        Self::of(interpreter).map(Some)
    }

    fn of(interpreter: Interpreter) -> Result<Self> {
        let places = places(&interpreter)?;
        let bytes = sparse::read_symbols(&interpreter.mapping.open(interpreter.pid)?.file)?;
        let object = ElfFile::parse(&bytes, "the interpreter")?;
        let symbols = object.symbols(&LOOP, |_| true)?;
        let offset = |vaddr: u64| object.segments().find_map(|segment| segment.file_offset_of(vaddr));
        let code = symbols.iter().filter_map(|symbol| {
            let start = offset(symbol.vaddr)?;
            Some(start..start.checked_add(symbol.size)?)
        });
        let code = code.collect();
        Ok(Self { interpreter, places, lines: Lines::default(), code, module: None })
    }

    /// The process.
    pub const fn pid(&self) -> u32 {
        self.interpreter.pid
    }

    /// What to say where it cannot be had.
    pub fn is_unnamed(pid: u32, error: &anyhow::Error) -> String {
        format!("Python's functions in process {pid} have no names: {error:#}")
    }
}
