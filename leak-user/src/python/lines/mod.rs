//! What a place in Python code is called: function, file and line.
//!
//! A code object may be gone at any moment, so it is read when it is first seen, and remembered by its address. What is
//! there is checked to be one; the lengths of its parts are bounded. Where it is not understood, a frame has no name.

mod table;

use std::collections::HashMap;

use leak_ebpf::PythonCall;

use super::{
    interpreter::Interpreter,
    layout::{BYTES_DATA, Instruction, LineFormat, SIZE},
    strings::{is_of_type, string},
};
use crate::symbolize::{Frame, FrameKind};

/// Most characters of a name or a path.
const MAX_NAME: usize = 1024;

/// Most bytes of a table of lines.
const MAX_TABLE: usize = 1 << 20;

/// Most code objects that are remembered.
const MAX_REMEMBERED: usize = 1 << 16;

/// Names of code objects of one interpreter.
#[derive(Debug, Default)]
pub struct Lines {
    codes: HashMap<u64, Option<Code>>,
}

/// What is known of a code object.
#[derive(Debug)]
struct Code {
    function: Option<String>,
    file: Option<String>,
    first_line: i64,
    table: Vec<u8>,
}

impl Lines {
    /// The frame of a call, as a report shows it. Its offset is that of the instruction in its code object.
    pub fn frame(&mut self, interpreter: &Interpreter, call: PythonCall) -> Frame {
        let address = call.code_object();
        if self.codes.len() >= MAX_REMEMBERED && !self.codes.contains_key(&address) {
            self.codes.clear();
        }
        let code = self.codes.entry(address).or_insert_with(|| Code::read(interpreter, address));
        let offset = offset(interpreter, call);
        let unknown = Frame { offset: offset.unwrap_or(0), kind: FrameKind::Python, ..Frame::default() };
        let Some(code) = code else { return unknown };
        Frame {
            function: code.function.clone(),
            file: code.file.clone(),
            line: code.line(interpreter.layout.code.line_format, offset),
            ..unknown
        }
    }
}

impl Code {
    fn read(interpreter: &Interpreter, address: u64) -> Option<Self> {
        let (memory, layout) = (&interpreter.memory, &interpreter.layout);
        if !is_of_type(memory, address, "code") {
            return None;
        }
        let text = |place: u64| string(memory, layout, memory.pointer(address + place)?, MAX_NAME);
        let code = &layout.code;
        let first_line = i32::from_le_bytes(memory.bytes(address + code.first_line)?);
        let table = memory.pointer(address + code.lines).filter(|table| is_of_type(memory, *table, "bytes"));
        let table = table.and_then(|table| {
            let length = usize::try_from(memory.word(table + SIZE)?).ok().filter(|length| *length <= MAX_TABLE)?;
            let mut bytes = vec![0; length];
            (memory.read(table + BYTES_DATA, &mut bytes) == length).then_some(bytes)
        });
        Some(Self {
            function: code.qualified_name.and_then(text).or_else(|| text(code.name)),
            file: text(code.file),
            first_line: first_line.into(),
            table: table.unwrap_or_default(),
        })
    }

    /// The line at this offset; that of the function itself where it has not begun.
    fn line(&self, format: LineFormat, offset: Option<u64>) -> Option<u32> {
        match offset {
            Some(offset) => table::line(format, &self.table, self.first_line, offset),
            None => u32::try_from(self.first_line).ok(),
        }
    }
}

/// Where in its code object's instructions a call is, in bytes; `None` before the first.
fn offset(interpreter: &Interpreter, call: PythonCall) -> Option<u64> {
    match interpreter.layout.frame.instruction {
        Instruction::Index { unit, .. } => u64::try_from(call.instruction as i64).ok().map(|index| index * unit),
        Instruction::Pointer { .. } => {
            call.instruction.checked_sub(call.code_object().wrapping_add(interpreter.layout.code.instructions))
        }
    }
}
