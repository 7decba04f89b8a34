//! The offsets of each version, from the debug information of its releases (`ptype /o` of gdb).

use super::{
    Instruction, KeysSize, Layout, LineFormat, OfCode, OfFrame, OfFunction, OfGenerator, OfHeapType, OfInterpreter,
    OfKeys, OfRuntime, OfString, OfThread,
};

/// The layout of a version, if there is one for it. That of the newest may have to be refined by what the interpreter says.
pub fn of_version(minor: u8) -> Option<Layout> {
    Some(match minor {
        8 => V3_8,
        9 => V3_9,
        10 => V3_10,
        11 => V3_11,
        12 => V3_12,
        13 => V3_13,
        14 => V3_14,
        _ => return None,
    })
}

const V3_8: Layout = Layout {
    runtime: OfRuntime { bytes: 1464, interpreters: 32 },
    interpreter: OfInterpreter { next: 0, threads: 8, modules: 56, sys: 72 },
    thread: OfThread { next: 8, interpreter: 16, frame: 24, through: None, pthread: 176, native: None },
    frame: OfFrame {
        code: 32,
        previous: 24,
        instruction: Instruction::Index { at: 104, unit: 1 },
        locals: 360,
        entry: None,
        globals: 48,
    },
    code: OfCode {
        file: 104,
        name: 112,
        qualified_name: None,
        first_line: 40,
        lines: 120,
        line_format: LineFormat::Increments,
        instructions: 0,
        locals: 72,
        free: Some(80),
        cells: Some(88),
        free_count: None,
    },
    keys: OfKeys { size: KeysSize::Places { at: 8 }, entries: 32, indices: 40, kind: None },
    function: OfFunction { code: 16, closure: 48, qualified_name: 104, module: 88, globals: 24, dict: 72 },
    string: OfString { ascii: 48, compact: 72, kind_shift: 2 },
    heap_type: OfHeapType { name: 848, qualified_name: 864, shared_keys: 872 },
    generator: OfGenerator { frame: 16, is_inside: false },
    pre_head: 0,
    values: 0,
    pool_bytes: 4 << 10,
};

const V3_9: Layout = Layout {
    runtime: OfRuntime { bytes: 656, interpreters: 32 },
    interpreter: OfInterpreter { next: 0, threads: 8, modules: 856, sys: 872 },
    heap_type: OfHeapType { name: 840, qualified_name: 856, shared_keys: 864 },
    ..V3_8
};

const V3_10: Layout = Layout {
    runtime: OfRuntime { bytes: 672, interpreters: 32 },
    frame: OfFrame { instruction: Instruction::Index { at: 96, unit: 2 }, locals: 352, ..V3_8.frame },
    code: OfCode { line_format: LineFormat::Ranges, ..V3_8.code },
    function: OfFunction { code: 48, closure: 72, qualified_name: 40, module: 104, globals: 16, dict: 88 },
    heap_type: OfHeapType { name: 848, qualified_name: 864, shared_keys: 872 },
    pool_bytes: 16 << 10,
    ..V3_9
};

const V3_11: Layout = Layout {
    runtime: OfRuntime { bytes: 166_688, interpreters: 40 },
    interpreter: OfInterpreter { next: 0, threads: 16, modules: 888, sys: 904 },
    thread: OfThread { next: 8, interpreter: 16, frame: 56, through: Some(8), pthread: 152, native: Some(160) },
    frame: OfFrame {
        code: 32,
        previous: 48,
        instruction: Instruction::Pointer { at: 56 },
        locals: 72,
        entry: Some((68, 1)),
        globals: 8,
    },
    code: OfCode {
        file: 112,
        name: 120,
        qualified_name: Some(128),
        first_line: 72,
        lines: 136,
        line_format: LineFormat::Locations,
        instructions: 184,
        locals: 96,
        free: None,
        cells: None,
        free_count: Some(92),
    },
    keys: OfKeys { size: KeysSize::LogBytes { at: 9 }, entries: 24, indices: 32, kind: Some(10) },
    generator: OfGenerator { frame: 80, is_inside: true },
    pre_head: 16,
    ..V3_10
};

const V3_12: Layout = Layout {
    runtime: OfRuntime { bytes: 459_944, interpreters: 40 },
    interpreter: OfInterpreter { next: 0, threads: 72, modules: 944, sys: 352 },
    thread: OfThread { next: 8, interpreter: 16, frame: 56, through: Some(0), pthread: 136, native: Some(144) },
    frame: OfFrame {
        code: 0,
        previous: 8,
        instruction: Instruction::Pointer { at: 56 },
        locals: 72,
        entry: Some((70, 3)),
        globals: 24,
    },
    code: OfCode { first_line: 68, instructions: 192, free_count: Some(88), ..V3_11.code },
    string: OfString { ascii: 40, compact: 56, kind_shift: 2 },
    heap_type: OfHeapType { name: 856, qualified_name: 872, shared_keys: 880 },
    generator: OfGenerator { frame: 72, is_inside: true },
    ..V3_11
};

const V3_13: Layout = Layout {
    runtime: OfRuntime { bytes: 283_320, interpreters: 632 },
    interpreter: OfInterpreter { next: 7264, threads: 7344, modules: 7656, sys: 7640 },
    thread: OfThread { next: 8, interpreter: 16, frame: 72, through: None, pthread: 152, native: Some(160) },
    code: OfCode { instructions: 200, ..V3_12.code },
    values: 8,
    ..V3_12
};

/// As far as it is not what the interpreter says.
const V3_14: Layout = V3_13;
