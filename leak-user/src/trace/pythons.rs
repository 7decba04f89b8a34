//! The traced processes that run Python: their stacks have Python's functions in place of its interpreter's.

use std::{collections::HashMap, ops::Range};

use anyhow::Result;
use leak_ebpf::PythonStack;

use crate::{
    notice::Notices,
    probe::load::Kernel,
    process::{
        elf::ElfFile,
        modules::{Location, ModuleIndex, Modules},
        sparse,
    },
    python::{interpreter::Interpreter, lines::Lines, merge::merge, places::places},
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

struct Python {
    interpreter: Interpreter,
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
        let begun = Python::find(pid).and_then(|python| {
            let Some(python) = python else { return Ok(None) };
            kernel.set_interpreter(slot, &places(&python.interpreter)?)?;
            Ok(Some(python))
        });
        match begun {
            Ok(Some(python)) => {
                notices.detail(&format!("process {pid} runs Python {}", python.interpreter.version));
                self.by_slot.insert(slot, python);
            }
            Ok(None) => {}
            Err(error) => notices.say(&format!("Python's functions in process {pid} have no names: {error:#}")),
        }
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
        let Python { interpreter, lines, code, module } = python;
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
    fn find(pid: u32) -> Result<Option<Self>> {
        let Some(interpreter) = Interpreter::find(pid)? else { return Ok(None) };
        let bytes = sparse::read_symbols(&interpreter.mapping.open(pid)?.file)?;
        let object = ElfFile::parse(&bytes, "the interpreter")?;
        let symbols = object.symbols(&LOOP, |_| true)?;
        let offset = |vaddr: u64| object.segments().find_map(|segment| segment.file_offset_of(vaddr));
        let code = symbols.iter().filter_map(|symbol| {
            let start = offset(symbol.vaddr)?;
            Some(start..start.checked_add(symbol.size)?)
        });
        let code = code.collect();
        Ok(Some(Self { interpreter, lines: Lines::default(), code, module: None }))
    }
}
