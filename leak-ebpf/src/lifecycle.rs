//! What happens to a traced process as a whole. Its exit needs no program: user space holds its pidfd.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_attach_cookie, bpf_get_current_pid_tgid},
    macros::{map, raw_tracepoint, uprobe},
    maps::{Array, HashMap},
    programs::{ProbeContext, RawTracePointContext},
};
use aya_log_ebpf::info;
use leak_ebpf::{
    Changes, Cookie, Counter, Head, Kind, Loader, MAX_PROCESSES, NO_TRAMPOLINE, ProcessRecord, STRANGERS_SLOT,
};

use crate::{
    brief,
    call::{Thread, read_user},
    emit, newcomers, sharers,
};

/// The process slot of each traced process, by its id in the initial PID namespace.
#[map]
static TRACED: HashMap<u32, u16> = HashMap::with_max_entries(MAX_PROCESSES, 0);

/// How often each process, by slot, has changed what it runs, as packed [`Changes`]: an address means another thing since.
#[map]
static CHANGES: Array<u64> = Array::with_max_entries(MAX_PROCESSES, 0);

/// The dynamic loader of each process, by slot, as far as user space has looked at it.
#[map]
static LOADERS: Array<Loader> = Array::with_max_entries(MAX_PROCESSES, 0);

/// Where the kernel's return trampoline is in each process, by slot: first where it is to be expected, and where user
/// space has found it as soon as that has looked. 0 is not known.
#[map]
static TRAMPOLINES: Array<u64> = Array::with_max_entries(MAX_PROCESSES, 0);

/// The return trampoline of the process in this slot, or 0 while it is not known. Calibration has a slot beyond the
/// table, and no call inside another.
#[inline(always)]
pub fn trampoline(process: u16) -> u64 {
    TRAMPOLINES.get(u32::from(process)).copied().unwrap_or(NO_TRAMPOLINE)
}

/// How often the process in this slot has changed what it runs.
#[inline(always)]
pub fn generation(process: u16) -> u32 {
    CHANGES.get(u32::from(process)).map_or(0, |changes| Changes::unpack(*changes).all)
}

/// A traced process has replaced its program: its memory is gone, and its allocator may be another. Of the others it is told
/// where newcomers are wanted.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec(ctx: RawTracePointContext) -> i32 {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the value is copied out at once.
    let process = unsafe { TRACED.get(pid) }.copied();
    let Some(process) = process else {
        if emit::settings().newcomers != 0 {
            newcomers::announce(pid);
            send(emit::head_now(Kind::Newcomer, Cookie::of_process(STRANGERS_SLOT), pid));
        }
        return 0;
    };
    if let Some(thread) = Thread::current() {
        thread.end_call();
    }
    info!(&ctx, "process {} has replaced its program", pid);
    change(process, true);
    if let Some(loader) = LOADERS.get_ptr_mut(u32::from(process)) {
        // SAFETY: the pointer is into the array, and an exec has one thread.
        unsafe { *loader = Loader { state_distance: 0, state: 0 } };
    }
    if let Some(trampoline) = TRAMPOLINES.get_ptr_mut(u32::from(process)) {
        // SAFETY: the pointer is into the array.
        unsafe { *trampoline = emit::settings().usual_trampoline };
    }
    // Who ran it: a thread other than the first takes the first one's place and id.
    let tid = ctx.arg::<u64>(1) as u32;
    send(emit::head_now(Kind::Exec, Cookie::of_process(process), tid));
    0
}

const CLONE_VM: u64 = 0x100;
const CLONE_THREAD: u64 = 0x1_0000;

/// A traced process has made another one, which may have a copy of its memory.
#[raw_tracepoint(tracepoint = "task_newtask")]
pub fn copy(ctx: RawTracePointContext) -> i32 {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let flags: u64 = ctx.arg(1);
    // SAFETY: nothing is read of the value.
    if flags & CLONE_VM == 0 && unsafe { TRACED.get(pid) }.is_some() {
        emit::count(Counter::Copies, 1);
    }
    0
}

/// A traced process has made another one. Only attached when children are followed.
#[raw_tracepoint(tracepoint = "task_newtask")]
pub fn fork(ctx: RawTracePointContext) -> i32 {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the value is copied out at once.
    let process = unsafe { TRACED.get(pid) }.copied();
    let Some(process) = process else { return 0 };
    let flags: u64 = ctx.arg(1);
    if flags & CLONE_THREAD == 0 {
        let kind = if flags & CLONE_VM == 0 { Kind::Fork } else { Kind::Vfork };
        brief::settle();
        tell(kind, Cookie::of_process(process));
    }
    0
}

/// The dynamic loader of a traced process has loaded or unloaded libraries: it calls this function to tell debuggers.
#[uprobe]
pub fn libraries(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a probe program is valid while it runs.
    let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
    let cookie = sharers::resolve(Cookie::unpack(cookie));
    if cookie.process == STRANGERS_SLOT {
        return 0;
    }
    // SAFETY: as above.
    let here = unsafe { (*ctx.regs).rip };
    change(cookie.process, may_remove(cookie.process, here));
    tell(Kind::Libraries, cookie);
    0
}

/// Whether the loader of this process, which tells of a change `here`, may take code away.
#[inline(always)]
fn may_remove(process: u16, here: u64) -> bool {
    let Some(loader) = LOADERS.get_ptr_mut(u32::from(process)) else { return true };
    // SAFETY: the pointer is into the array, and the loader holds its lock here.
    let loader = unsafe { &mut *loader };
    if loader.state_distance == 0 {
        return true;
    }
    let Some(state) = read_user(here.wrapping_add(loader.state_distance)) else { return true };
    // It is an int.
    let state = state & 0xffff_ffff;
    let may_remove = loader.may_remove(state);
    loader.state = state;
    may_remove
}

/// From now on, addresses of this process mean other things.
#[inline(always)]
fn change(process: u16, is_removal: bool) {
    if let Some(changes) = CHANGES.get_ptr_mut(u32::from(process)) {
        // SAFETY: the pointer is into the array; a loader holds its lock here and an exec has one thread.
        unsafe { *changes = Changes::unpack(*changes).and_one(is_removal).pack() };
    }
}

#[inline(always)]
fn tell(kind: Kind, cookie: Cookie) {
    send(emit::head_now(kind, cookie, emit::tid()));
}

#[inline(always)]
fn send(head: Head) {
    if emit::process(ProcessRecord { head }).is_none() {
        emit::count(Counter::ProcessChangesLost, 1);
    }
}
