//! What the kernel side is told of an interpreter, so that it can walk Python's stack.

use anyhow::{Context as _, Result, ensure};
use leak_ebpf::{FRAME_BYTES, NOWHERE, Places};

use super::{
    interpreter::Interpreter,
    layout::{Instruction, OfFrame, OfThread},
    thread_slot::{self, ThreadSlot},
};
use crate::probe::kernel_types::KernelTypes;

/// From this number on, the byte that says what sort of frame it is means a piece of the C stack.
const FIRST_FOREIGN: u8 = 3;

/// Where the frames of its threads are. An error says why that cannot be known.
pub fn places(interpreter: &Interpreter) -> Result<Places> {
    let types = KernelTypes::of_running()?;
    let offset = |structure, field| {
        types.offset_of(structure, field).with_context(|| format!("the kernel's {structure} has no {field}"))
    };
    let thread_pointer = offset("task_struct", "thread")? + offset("thread_struct", "fsbase")?;
    let slot = thread_slot::find(interpreter)?;
    of_layout(&interpreter.layout.thread, &interpreter.layout.frame, thread_pointer, slot)
}

fn of_layout(thread: &OfThread, frame: &OfFrame, thread_pointer: u64, slot: ThreadSlot) -> Result<Places> {
    let (instruction, instruction_bytes) = match frame.instruction {
        Instruction::Index { at, .. } => (at, 4),
        Instruction::Pointer { at } => (at, 8),
    };
    let sort = frame.entry.map(|(at, _)| at);
    // A value that says that the frame is none of Python's, and one that says who called it.
    let (first_foreign, entered) = match frame.entry {
        Some((_, FIRST_FOREIGN)) => (FIRST_FOREIGN.into(), NOWHERE),
        Some((_, value)) => (NOWHERE, value.into()),
        None => (NOWHERE, NOWHERE),
    };
    let starts = [Some(frame.code), Some(frame.previous), Some(instruction), sort];
    let first = starts.iter().flatten().min().map_or(0, |first| first / 8 * 8);
    let ends =
        [Some(frame.code + 8), Some(frame.previous + 8), Some(instruction + instruction_bytes), sort.map(|at| at + 1)];
    let bytes = ends.iter().flatten().max().map_or(0, |end| end - first).next_multiple_of(8);
    ensure!(bytes < FRAME_BYTES as u64, "its frames are larger than any known version's");
    Ok(Places {
        thread_pointer,
        state: slot.offset as u64,
        state_in_table: slot.in_table.unwrap_or(NOWHERE),
        frame: thread.frame,
        frame_through: thread.through.unwrap_or(NOWHERE),
        first,
        bytes,
        code: frame.code - first,
        // Code objects lie at multiples of 16.
        code_tag: 7,
        previous: frame.previous - first,
        instruction: instruction - first,
        instruction_bytes,
        sort: sort.map_or(NOWHERE, |at| at - first),
        first_foreign,
        entered,
        // Since 3.11 frames are no objects any more, and lie on a stack of their own.
        is_stacked: frame.entry.is_some().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::layout, *};

    fn of_version(minor: u8) -> Places {
        let layout = layout::of_version(minor).expect("a layout");
        let slot = ThreadSlot { offset: -8, in_table: None };
        of_layout(&layout.thread, &layout.frame, 5000, slot).expect("places")
    }

    #[test]
    fn every_version_s_frames_are_read_in_one_piece() {
        for minor in 8..=14 {
            let places = of_version(minor);
            assert!(places.first.is_multiple_of(8) && places.bytes <= FRAME_BYTES as u64, "3.{minor}: {places:?}");
            for field in [places.code, places.previous, places.instruction] {
                assert!(
                    field.is_multiple_of(8) && field + places.instruction_bytes <= places.bytes,
                    "3.{minor}: {places:?}"
                );
            }
        }
    }

    #[test]
    fn only_versions_with_frames_of_the_c_stack_leave_them_out() {
        let sorts = |minor| (of_version(minor).sort, of_version(minor).first_foreign, of_version(minor).entered);
        assert_eq!(sorts(10), (NOWHERE, NOWHERE, NOWHERE));
        assert_eq!(sorts(11), (68 - 32, NOWHERE, 1));
        assert_eq!(sorts(12), (70, 3, NOWHERE));
        assert_eq!((of_version(11).frame_through, of_version(13).frame_through), (8, NOWHERE));
    }
}
