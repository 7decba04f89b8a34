//! What crosses between user space and the programs that look at a Python interpreter.
//!
//! Down go [`Places`], by which a thread's frames are found; up come [`Writes`]: what was added to watched words, and
//! removed, summed by the Python stack that did it.

/// Most Python frames of a stack that are told, innermost first.
pub const MAX_PYTHON_FRAMES: usize = 64;

/// Most frames that a walk passes, those included that are not Python's own.
pub const MAX_PYTHON_STEPS: u32 = 128;

/// Most words that are watched at once: what a processor has registers for.
pub const MAX_WATCHED_WORDS: usize = 4;

/// Most stacks that are told apart.
pub const MAX_WRITERS: u32 = 2048;

/// Most bytes that are read of a frame at once. A power of two.
pub const FRAME_BYTES: usize = 128;

/// In place of an offset: there is no such thing.
pub const NOWHERE: u64 = u64::MAX;

/// Where a walk finds a thread's frames: offsets in bytes. All fields are words.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// In the kernel's `task_struct`: the thread pointer, which is the base of the segment `fs`.
    pub thread_pointer: u64,
    /// From the thread pointer, as a two's complement: a pointer to the thread's `PyThreadState`.
    pub state: u64,
    /// If not [`NOWHERE`]: that is a pointer to a table, and here in it is the pointer.
    pub state_in_table: u64,
    /// In the state: a pointer to the innermost frame.
    pub frame: u64,
    /// If not [`NOWHERE`]: that is a pointer to something else, and here in it is the pointer.
    pub frame_through: u64,
    /// In a frame: where reading it begins. A multiple of 8.
    pub first: u64,
    /// How many bytes are read; at most [`FRAME_BYTES`].
    pub bytes: u64,
    /// In what is read: the code object.
    pub code: u64,
    /// Bits of that pointer that are none of the address.
    pub code_tag: u64,
    /// In what is read: the frame that called.
    pub previous: u64,
    /// In what is read: where it is in its code.
    pub instruction: u64,
    /// How many bytes that has: 8 are a pointer, 4 an index.
    pub instruction_bytes: u64,
    /// In what is read, if not [`NOWHERE`]: a byte that says what sort of frame it is. If there is none, every frame was
    /// called by C code.
    pub sort: u64,
    /// From this value on, that byte says that the frame is a piece of the C stack, with no code of its own: C code has
    /// called the one inside it.
    pub first_foreign: u64,
    /// This value of it says that C code has called the frame.
    pub entered: u64,
    /// Not 0 where a caller's frame mostly lies just below that of what it calls.
    pub is_stacked: u64,
}

impl Places {
    /// Those of nothing, until user space says others.
    pub const NONE: Self = Self {
        thread_pointer: 0,
        state: 0,
        state_in_table: NOWHERE,
        frame: 0,
        frame_through: NOWHERE,
        first: 0,
        bytes: 0,
        code: 0,
        code_tag: 0,
        previous: 0,
        instruction: 0,
        instruction_bytes: 8,
        sort: NOWHERE,
        first_foreign: NOWHERE,
        entered: NOWHERE,
        is_stacked: 0,
    };
}

/// A frame of a Python stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PythonCall {
    /// Address of the code object, and [`ENTERED`].
    pub code: u64,
    /// Where it is in it: a pointer, or an index with its sign.
    pub instruction: u64,
}

/// The bit of [`PythonCall::code`] that says that C code has called the frame. Code objects lie at multiples of 16.
pub const ENTERED: u64 = 1;

impl PythonCall {
    /// Address of the code object.
    pub const fn code_object(self) -> u64 {
        self.code & !ENTERED
    }

    /// Whether C code has called the frame, and not Python code that the same call of the interpreter runs.
    pub const fn is_entered(self) -> bool {
        self.code & ENTERED != 0
    }
}

/// The Python frames of a stack.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonStack {
    /// How many of `calls` are filled.
    pub depth: u64,
    /// The frames, innermost first.
    pub calls: [PythonCall; MAX_PYTHON_FRAMES],
}

impl PythonStack {
    /// The frames, innermost first.
    pub fn frames(&self) -> &[PythonCall] {
        let depth = self.depth as usize;
        self.calls.get(..depth).unwrap_or(&self.calls)
    }
}

/// Most stacks whose Python frames wait for user space to take them.
pub const MAX_PYTHON_STACKS: u32 = 1 << 13;

/// Who writes where.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WriterKey {
    /// A hash of the frames.
    pub stack: u64,
    /// Which of the watched words. Keys are compared byte by byte, so it fills the word.
    pub word: u64,
}

/// Most objects that are remembered with the stack that made them, until user space has looked for them.
pub const MAX_MADE: u32 = 1 << 16;

/// Which stack made an object.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// The stack and the type, by its place among the watched ones.
    pub by: WriterKey,
    /// Which of all that were made it is: what takes the place of another has another number.
    pub number: u64,
}

/// What a stack has done to a watched word.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// By how much it grew, all times together.
    pub added: u64,
    /// By how much it shrank.
    pub removed: u64,
    /// The stack.
    pub stack: PythonStack,
}

/// What was seen of a watched word.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Times it was written.
    pub writes: u64,
    /// Additions and removals that no room was left for among [`Writes`].
    pub lost: u64,
}

/// In place of the last value that was seen of a watched word: it is not watched now.
pub const UNWATCHED: u64 = u64::MAX;

/// In place of the last value that was seen of a watched word: it is watched, and none was seen yet.
pub const UNSEEN: u64 = u64::MAX - 1;

const _: () = {
    assert!(size_of::<Places>() == 8 * 16);
    assert!(size_of::<PythonCall>() == 16);
    assert!(size_of::<WriterKey>() == 16);
    assert!(size_of::<Made>() == 24);
    assert!(size_of::<Seen>() == 16);
    assert!(size_of::<PythonStack>() == 8 + 16 * MAX_PYTHON_FRAMES);
    assert!(size_of::<Writes>() == 16 + size_of::<PythonStack>());
    assert!(MAX_PYTHON_FRAMES.is_power_of_two() && FRAME_BYTES.is_power_of_two());
};
