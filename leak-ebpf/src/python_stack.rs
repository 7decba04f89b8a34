//! Python's frames beside a stack's own: where a process runs an interpreter, a native stack says only that it does.
//!
//! Nothing of it is left in programs that were loaded for processes without one: the verifier drops it.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_F_NO_PREALLOC},
    macros::{btf_map, map},
    maps::HashMap,
};
use leak_ebpf::{MAX_PROCESSES, MAX_PYTHON_STACKS, Places, PythonStack};

use crate::{
    emit,
    python::{self, Sheet},
    task_storage::TaskStorage,
};

/// Where the interpreter of a process, by slot, has its frames.
#[map]
static INTERPRETERS: HashMap<u32, Places> = HashMap::with_max_entries(MAX_PROCESSES, BPF_F_NO_PREALLOC);

/// The Python frames of stacks that user space was sent, by id, until it takes them.
#[map]
static PYTHON_STACKS: HashMap<u64, PythonStack> = HashMap::with_max_entries(MAX_PYTHON_STACKS, BPF_F_NO_PREALLOC);

/// What a thread's walk is written on.
#[btf_map]
static SHEETS: TaskStorage<Sheet> = TaskStorage::new();

/// Walks the running thread's Python frames, if its process, in this slot, has any. Gives what tells them from others;
/// 0 where there are none.
#[inline(always)]
pub fn walk(process: u16) -> u64 {
    if emit::settings().python == 0 {
        return 0;
    }
    // SAFETY: entries are set once for a process.
    let Some(places) = (unsafe { INTERPRETERS.get(u32::from(process)) }) else { return 0 };
    let Some(sheet) = SHEETS.get_or_create() else { return 0 };
    python::walk(places, sheet)
}

/// Leaves the frames that were walked last for user space, under the id of the stack that it is about to be sent.
#[inline(always)]
pub fn tell(id: u64) {
    if emit::settings().python == 0 {
        return;
    }
    if let Some(sheet) = SHEETS.get() {
        // Without them the stack has its native frames.
        let stack: &PythonStack = &sheet.stack;
        let _ = PYTHON_STACKS.insert(id, stack, u64::from(BPF_ANY));
    }
}
