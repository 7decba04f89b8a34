//! What an interpreter from 3.13 on says of its own structures, in a table for debuggers at the start of `_PyRuntime`.
//!
//! Versions insert fields into the table. So its sections are looked for by what has been the same in all of them, rather
//! than by their places, and a table in which one is not found is refused.

use anyhow::{Context as _, Result, ensure};

use super::{Instruction, Layout, Version};

/// What the table begins with.
const COOKIE: u64 = u64::from_le_bytes(*b"xdebugpy");

/// Words of the table that are read.
pub const TABLE_WORDS: usize = 96;

/// No offset is as large: what is larger was never in such a table.
const MAX_OFFSET: u64 = 1 << 20;

/// The layout with what the interpreter says of itself, in the first words of `_PyRuntime`.
pub fn refine(layout: Layout, version: Version, words: &[u64; TABLE_WORDS]) -> Result<Layout> {
    ensure!(words[0] == COOKIE, "the interpreter does not begin with the table that its version has");
    ensure!(words[2] == 0, "it runs without a global lock (free-threaded), which is not supported");
    ensure!(words[1] >> 16 & 0xff == u64::from(version.minor), "its table of offsets is of another version");
    let table = &words[3..];
    let thread = section(table, 0, "threads", &[0, layout.thread.next, layout.thread.interpreter])?;
    let frame = section(table, thread, "frames", &[layout.frame.previous, layout.frame.code])?;
    let code = section(table, frame, "code objects", &[layout.code.file, layout.code.name])?;
    let mut refined = layout;
    refined.runtime.bytes = table[0];
    refined.runtime.interpreters = table[2];
    let has_main_thread = version.minor >= 14;
    refined.interpreter.next = table[5];
    refined.interpreter.threads = table[6];
    refined.interpreter.modules = table[8 + usize::from(has_main_thread)];
    refined.interpreter.sys = table[9 + usize::from(has_main_thread)];
    refined.thread.frame = table[thread + 4];
    refined.thread.pthread = table[thread + 5];
    refined.thread.native = Some(table[thread + 6]);
    refined.frame.instruction = Instruction::Pointer { at: table[frame + 3] };
    refined.frame.locals = table[frame + 4];
    refined.frame.entry = Some((table[frame + 5], 3));
    refined.code.lines = table[code + 4];
    refined.code.first_line = table[code + 5];
    refined.code.locals = table[code + 7];
    refined.code.instructions = table[code + 9];
    let said = [
        refined.runtime.interpreters,
        refined.interpreter.next,
        refined.interpreter.threads,
        refined.interpreter.modules,
        refined.interpreter.sys,
        refined.thread.frame,
        refined.thread.pthread,
        table[frame + 3],
        refined.frame.locals,
        refined.code.lines,
        refined.code.instructions,
    ];
    ensure!(said.iter().all(|offset| *offset < MAX_OFFSET), "its table of offsets holds what can be none");
    Ok(refined)
}

/// Where in the table, behind another section, the section begins whose first fields after its size are these.
fn section(table: &[u64], behind: usize, what: &str, first: &[u64]) -> Result<usize> {
    (behind + 1..table.len().saturating_sub(10))
        .find(|start| table[start + 1..].starts_with(first))
        .with_context(|| format!("its table of offsets does not say where {what} have their fields"))
}
