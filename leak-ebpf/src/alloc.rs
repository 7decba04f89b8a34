//! The three programs on allocator functions. Which function was hit, and in which process, comes with the cookie.
//!
//! An allocation is recorded when it returns and a free when it is called: so a block's records stand in the ring in
//! the order in which the program could know the block, whichever threads were involved.

use aya_ebpf::{
    EbpfContext as _,
    bindings::pt_regs,
    helpers::bpf_get_attach_cookie,
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use leak_ebpf::{AllocRecord, Cookie, Counter, FreeRecord, Kind, RestoreRecord, Signature, TakeRecord};

use crate::{
    arguments::{self, Outcome},
    call::{Call, Thread, read_user},
    emit, unwind,
};

/// On entry of a function that gives out, moves or unmaps memory: notes the request and the stack.
#[uprobe]
pub fn enter(ctx: ProbeContext) -> u32 {
    // SAFETY: the context of a probe program is valid while it runs.
    let (cookie, regs) = unsafe { (bpf_get_attach_cookie(ctx.as_ptr()), &*ctx.regs) };
    let _ = begin(cookie, regs);
    0
}

#[inline(always)]
fn begin(raw: u64, regs: &pt_regs) -> Option<()> {
    let cookie = Cookie::unpack(raw);
    count_hit(Counter::EntryHits, cookie);
    let signature = Signature::from_u8(cookie.signature)?;
    let request = arguments::read(signature, regs)?;
    let cookie = Cookie { signature: request.signature as u8, ..cookie };
    let Some(thread) = Thread::current_or_new() else {
        emit::count(Counter::ThreadsRefused, 1);
        return None;
    };
    if thread.call.sp != 0 {
        if thread.is_inside_call(regs) {
            return None;
        }
        emit::count(Counter::ReturnsMissed, 1);
        emit::count(Counter::ReturnsMissedBytes, thread.call.size);
        thread.end_call();
    }
    let ret = read_user(regs.rsp)?;
    if request.old != 0 {
        let head = emit::head(Kind::Take, cookie);
        thread.call.take_sent = u64::from(emit::take(TakeRecord { head, addr: request.old, len: request.old_len }));
    }
    if signature != Signature::Munmap
        && unwind::capture(regs, ret, cookie, &mut thread.stack, &mut thread.window).is_none()
    {
        // Without its stack the allocation is refused; the return handler says so once it knows that it came.
        thread.stack.id = 0;
    }
    let take_sent = thread.call.take_sent;
    thread.call = Call {
        sp: regs.rsp,
        ret,
        cookie: cookie.pack(),
        size: request.size,
        out: request.out,
        old: request.old,
        take_sent,
        counts: u64::from(request.counts),
    };
    Some(())
}

/// On its return: records what came of it.
#[uretprobe]
pub fn leave(ctx: RetProbeContext) -> u32 {
    // SAFETY: as in `enter`.
    let regs = unsafe { &*ctx.regs };
    let _ = end(regs);
    0
}

#[inline(always)]
fn end(regs: &pt_regs) -> Option<()> {
    emit::count(Counter::ReturnHits, 1);
    let thread = Thread::current()?;
    if !thread.call_ends_at(regs.rsp) {
        return None;
    }
    thread.end_call();
    let call = &thread.call;
    let cookie = Cookie::unpack(call.cookie);
    let signature = Signature::from_u8(cookie.signature)?;
    match arguments::outcome(signature, regs.rax, call, || read_user(call.out)) {
        Outcome::Allocated(_) if thread.stack.id == 0 => emit::refused(call.size),
        Outcome::Allocated(_) if is_mremap(signature) && call.old != 0 && call.take_sent == 0 => {
            // User space cannot know whether what was moved is a mapping that counts, so it may be lost.
            emit::refused(call.size);
        }
        Outcome::Allocated(addr) => {
            let head = emit::head(Kind::Alloc, cookie);
            emit::alloc(AllocRecord { head, addr, size: call.size, stack: thread.stack.id });
        }
        Outcome::Gone => {}
        Outcome::Failed => {
            if call.old != 0 {
                let head = emit::head(Kind::Restore, cookie);
                if call.take_sent == 0 || emit::restore(RestoreRecord { head }).is_none() {
                    // The block lives on, unknown to user space; its size was never ours to know.
                    emit::refused(0);
                }
            }
        }
    }
    Some(())
}

/// Does nothing but walk the stack. For the benchmark, which compares it with the kernel's own walk.
#[uprobe]
pub fn walk(ctx: ProbeContext) -> u32 {
    // SAFETY: as in `enter`.
    let (cookie, regs) = unsafe { (bpf_get_attach_cookie(ctx.as_ptr()), &*ctx.regs) };
    if let (Some(thread), Some(ret)) = (Thread::current_or_new(), read_user(regs.rsp)) {
        unwind::walk(regs, ret, Cookie::unpack(cookie).process, &mut thread.stack, &mut thread.window);
    }
    0
}

/// On a function that gives a block back.
#[uprobe]
pub fn release(ctx: ProbeContext) -> u32 {
    // SAFETY: as in `enter`.
    let (cookie, regs) = unsafe { (bpf_get_attach_cookie(ctx.as_ptr()), &*ctx.regs) };
    let cookie = Cookie::unpack(cookie);
    count_hit(Counter::FreeHits, cookie);
    let addr = regs.rdi;
    if addr == 0 || Thread::current().is_some_and(|thread| thread.is_inside_call(regs)) {
        return 0;
    }
    emit::free(FreeRecord { head: emit::head(Kind::Free, cookie), addr });
    0
}

#[inline(always)]
fn is_mremap(signature: Signature) -> bool {
    matches!(signature, Signature::Mremap | Signature::MremapCopy)
}

#[inline(always)]
fn count_hit(counter: Counter, cookie: Cookie) {
    emit::count(counter, 1);
    if cookie.stepped {
        emit::count(Counter::SteppedHits, 1);
    }
}
