//! The one allocator call that a thread is in: the outermost.
//!
//! calloc calls malloc, realloc calls malloc and free, malloc calls mmap: the program asked once, so only the
//! outermost call counts. A call is told by its stack pointer. It is still under way as long as its return address
//! on the stack is the kernel's return trampoline and whoever runs below it returns through it; a call left by longjmp,
//! an exception or a missed return probe is dropped, and counted, by the next call that finds it.

use aya_ebpf::{bindings::pt_regs, helpers::bpf_probe_read_user, macros::btf_map};
use leak_ebpf::{Cookie, NO_TRAMPOLINE, StackRecord, Walk};

use crate::{
    emit, lifecycle,
    task_storage::TaskStorage,
    unwind::{self, Memos, Progress, Window},
};

#[btf_map]
static THREADS: TaskStorage<Thread> = TaskStorage::new();

/// What the programs keep for a thread.
#[repr(C)]
pub struct Thread {
    /// Its id, in the initial PID namespace.
    pub tid: u32,
    /// The outermost call, if `call.sp` is not 0.
    pub call: Call,
    /// The one that is about to take its place.
    pub next: Call,
    /// The stack of the call; also the scratch it is walked into.
    pub stack: StackRecord,
    /// How far that is.
    pub progress: Progress,
    /// What was read of it.
    pub window: Window,
    /// The walks before.
    pub memos: Memos,
}

/// A call that has begun.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    /// Stack pointer at entry, pointing at the return address; 0 when there is no call.
    pub sp: u64,
    /// The return address at entry, before the return probe took its place.
    pub ret: u64,
    /// The probe's cookie.
    pub cookie: u64,
    /// Bytes asked for.
    pub size: u64,
    /// Where the result will be stored, for an out-pointer.
    pub out: u64,
    /// Memory that the call takes, or 0.
    pub old: u64,
    /// Bytes of address space there, or 0 for a heap block.
    pub old_len: u64,
    /// Whether user space was told that it was taken.
    pub take_sent: u64,
    /// Whether what it gives out counts.
    pub counts: u64,
    /// The period at which its allocation is sampled, or 0 when it is not.
    pub period: u64,
    /// [`Sampling::pauses`](leak_ebpf::Sampling::pauses) when it began.
    pub pauses: u64,
    /// Whether its period was drawn.
    pub is_drawn: u64,
    /// Whether it can be inside a call that was not recorded.
    pub may_be_inside: u64,
}

impl Thread {
    /// The running thread's state, made if need be.
    #[inline(always)]
    pub fn current_or_new() -> Option<&'static mut Self> {
        let thread = THREADS.get_or_create()?;
        if thread.tid == 0 {
            thread.tid = emit::tid();
        }
        Some(thread)
    }

    /// The running thread's state, if it ever allocated.
    #[inline(always)]
    pub fn current() -> Option<&'static mut Self> {
        THREADS.get()
    }

    /// Makes the call under way what `next` is.
    #[inline(always)]
    pub fn begin_call(&mut self) {
        self.call = forget(&self.next);
    }

    /// Where the call under way lies, and the return trampoline that is its mark, if the call that begins with these
    /// registers can be inside it: the walk up tells.
    #[inline(always)]
    pub fn call_around(&self, regs: &pt_regs) -> Option<(u64, u64)> {
        let (sp, mark) = (regs.rsp, self.call.sp);
        if mark == 0 || sp > mark {
            return None;
        }
        let trampoline = lifecycle::trampoline(Cookie::unpack(self.call.cookie).process);
        let slot = read_user(mark)?;
        let is_marked = match trampoline {
            0 | NO_TRAMPOLINE => slot != self.call.ret,
            _ => slot == trampoline,
        };
        is_marked.then_some((mark, trampoline))
    }

    /// Whether the call that begins with these registers is inside the one that lies at `around`, going by the walk up.
    #[inline(always)]
    pub fn is_inside(&mut self, regs: &pt_regs, around: u64, trampoline: u64) -> bool {
        // Equal is inside too: a tail call enters with the stack pointer of its caller.
        regs.rsp == around
            || emit::settings().walk == Walk::Pointers as u64
            || unwind::may_be_inside(
                regs,
                Cookie::unpack(forget(&self.next.cookie)).process,
                around,
                trampoline,
                &mut self.window,
            )
    }

    /// Whether a return that leaves the stack pointer here ends the call under way.
    #[inline(always)]
    pub fn call_ends_at(&self, sp: u64) -> bool {
        self.call.sp != 0 && sp == self.call.sp + 8
    }

    /// Ends the call.
    #[inline(always)]
    pub fn end_call(&mut self) {
        self.call.sp = 0;
    }
}

/// A value as memory has it: what else is known of it, the verifier is to forget, or it would follow each way to it by
/// itself.
#[inline(always)]
pub fn forget<T: Copy>(place: &T) -> T {
    // SAFETY: a reference can be read.
    unsafe { core::ptr::from_ref(place).read_volatile() }
}

/// A word of the target's memory.
#[inline(always)]
pub fn read_user(addr: u64) -> Option<u64> {
    // SAFETY: the helper checks the address and fails on one that is not the target's.
    unsafe { bpf_probe_read_user(addr as *const u64) }.ok()
}
