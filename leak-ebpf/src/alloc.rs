//! The programs on allocator functions. Which function was hit, and in which process, comes with the cookie.
//!
//! Whether an allocation is sampled is decided at its entry; one that is not is left alone from there on. An allocation is
//! recorded when it returns and a free when it is called: so a block's records stand in the ring in the order in which
//! the program could know the block, whichever threads were involved.

use aya_ebpf::{
    EbpfContext as _,
    bindings::pt_regs,
    cty::c_void,
    helpers::{bpf_get_attach_cookie, generated::bpf_get_func_ip},
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use leak_ebpf::{AllocRecord, Cookie, Counter, Draw, EXACT, Kind, RestoreRecord, Sampling, Signature, TakeRecord};

use crate::{
    arguments::{self, Outcome},
    call::{Call, Thread, forget, read_user},
    draw, emit, sharers,
    unwind::{self, View},
    watched,
};

/// On entry and on return of a function that gives out, moves or unmaps memory, where the kernel runs one program for
/// both (a session, Linux 6.13): 1 at entry leaves the return alone, so that it costs nothing.
///
/// Written out, for the macro's program always returns 0.
#[unsafe(no_mangle)]
#[unsafe(link_section = "uprobe")]
extern "C" fn session(ctx: *mut c_void) -> u32 {
    let ctx = ProbeContext::new(ctx);
    // SAFETY: the context of a probe program is valid while it runs.
    let regs = unsafe { &*ctx.regs };
    // SAFETY: as above. The helper gives the function's address, which is the program counter only at its entry.
    if unsafe { bpf_get_func_ip(ctx.as_ptr()) } == regs.rip {
        // SAFETY: as above.
        let cookie = unsafe { bpf_get_attach_cookie(ctx.as_ptr()) };
        return u32::from(begin(cookie, regs).is_none());
    }
    let _ = end(regs);
    0
}

/// On entry of such a function, elsewhere.
#[uprobe]
pub fn enter(ctx: ProbeContext) -> u32 {
    // SAFETY: as in `session`.
    let (cookie, regs) = unsafe { (bpf_get_attach_cookie(ctx.as_ptr()), &*ctx.regs) };
    let _ = begin(cookie, regs);
    0
}

/// On its return.
#[uretprobe]
pub fn leave(ctx: RetProbeContext) -> u32 {
    // SAFETY: as in `session`.
    let regs = unsafe { &*ctx.regs };
    let _ = end(regs);
    0
}

/// Stands in [`Call::period`] for a call whose allocation is not taken, but which moves a block that was.
const NOT_TAKEN: u64 = 0;

/// Notes the request and the stack. `None` when the call's return is of no interest.
#[inline(always)]
fn begin(raw: u64, regs: &pt_regs) -> Option<()> {
    let cookie = sharers::resolve(Cookie::unpack(raw));
    let process = cookie.process;
    let signature = Signature::from_u8(cookie.signature)?;
    let request = arguments::read(signature, regs);
    draw::hit(cookie, |hits| {
        hits.entries += 1;
        hits.bytes += request.size & MAX_COUNTED;
    });
    if request.is_idle {
        return None;
    }
    let sampling = draw::sampling(process);
    let takes_none = sampling.has(Sampling::NO_ALLOCATIONS);
    // An mmap that is the allocator's own cannot be told when its calls are not watched.
    if sampling.has(Sampling::OFF) || takes_none && signature == Signature::Mmap {
        return None;
    }
    // Address space is always followed: it goes in pieces, and calls for it are few and dear.
    let is_heap = !signature.is_mapping();
    let is_drawn = is_heap && !sampling.is_exact();
    let takes_old = request.old != 0;
    let is_old_told = takes_old && (!is_heap || is_told(&sampling, process, request.old));
    let mut period = EXACT;
    if is_drawn {
        let is_taken = !takes_none && draw::takes(&sampling, request.size);
        if !is_taken && !is_old_told {
            return None;
        }
        period = if is_taken { sampling.period } else { NOT_TAKEN };
    }
    let Some(thread) = Thread::current_or_new() else {
        emit::count(Counter::ThreadsRefused, 1);
        return None;
    };
    thread.next = Call {
        sp: regs.rsp,
        ret: 0,
        cookie: Cookie { signature: request.signature as u8, ..cookie }.pack(),
        size: request.size,
        out: request.out,
        old: if is_old_told { request.old } else { 0 },
        old_len: request.old_len,
        take_sent: 0,
        counts: u64::from(request.counts),
        period,
        pauses: u64::from(sampling.pauses),
        is_drawn: u64::from(is_drawn),
        may_be_inside: u64::from(!sampling.is_exact()),
    };
    follow(regs, thread)
}

/// Begins to follow the thread's next call, unless the allocator makes it to itself.
///
/// What the call is stands in memory: the verifier would follow each kind of call by itself through the walks.
#[inline(always)]
fn follow(regs: &pt_regs, thread: &mut Thread) -> Option<()> {
    if let Some((around, trampoline)) = thread.call_around(regs)
        && thread.is_inside(regs, around, trampoline)
    {
        return None;
    }
    if thread.call.sp != 0 {
        if thread.call.pauses == forget(&thread.next.pauses) {
            emit::count(Counter::ReturnsMissed, 1);
            emit::count(Counter::ReturnsMissedBytes, thread.call.size);
        }
        thread.end_call();
    }
    let ret = unwind::look(regs.rsp, thread)?;
    thread.next.ret = ret;
    let (old, cookie) = (forget(&thread.next.old), Cookie::unpack(forget(&thread.next.cookie)));
    if old != 0 {
        if forget(&thread.next.is_drawn) != 0 {
            watched::remove(cookie.process, old);
        }
        let take = TakeRecord {
            head: emit::head(Kind::Take, cookie, thread.tid),
            addr: old,
            len: forget(&thread.next.old_len),
        };
        thread.next.take_sent = u64::from(emit::take(take));
    }
    if cookie.signature != Signature::Munmap as u8 && forget(&thread.next.period) != NOT_TAKEN {
        let cookie = Cookie::unpack(forget(&thread.next.cookie));
        if unwind::capture(regs, ret, cookie, thread).is_none() {
            // Without its stack the allocation is refused; the return handler says so once it knows that it came.
            thread.stack.id = 0;
        }
    }
    thread.begin_call();
    Some(())
}

/// More than any allocation asks for that succeeds.
const MAX_COUNTED: u64 = (1 << 48) - 1;

/// Whether user space is to be told what becomes of this block.
#[inline(always)]
fn is_told(sampling: &Sampling, process: u16, addr: u64) -> bool {
    !sampling.has(Sampling::OFF) && (!sampling.has(Sampling::KNOWN_FREES) || watched::has(process, addr))
}

/// Records what came of the call that returns.
#[inline(always)]
fn end(regs: &pt_regs) -> Option<()> {
    let thread = Thread::current()?;
    if !thread.call_ends_at(regs.rsp) {
        return None;
    }
    thread.end_call();
    let call = &thread.call;
    let cookie = Cookie::unpack(call.cookie);
    draw::hit(Cookie { stepped: false, ..cookie }, |hits| hits.told_calls += 1);
    let sampling = draw::sampling(cookie.process);
    if u64::from(sampling.pauses) != call.pauses {
        return None;
    }
    let signature = Signature::from_u8(cookie.signature)?;
    match arguments::outcome(signature, regs.rax, call, || read_user(call.out)) {
        Outcome::Allocated(_) if call.period == NOT_TAKEN => {}
        Outcome::Allocated(_) if thread.stack.id == 0 => emit::refused(call.size),
        Outcome::Allocated(_) if is_mremap(signature) && call.old != 0 && call.take_sent == 0 => {
            // User space cannot know whether what was moved is a mapping that counts, so it may be lost.
            emit::refused(call.size);
        }
        Outcome::Allocated(addr) => allocated(addr, cookie, signature, thread),
        Outcome::Gone => {}
        Outcome::Failed => {
            if call.old != 0 {
                let head = emit::head(Kind::Restore, cookie, thread.tid);
                if call.take_sent == 0 || emit::restore(RestoreRecord { head }).is_none() {
                    // The block lives on, unknown to user space; its size was never ours to know.
                    emit::refused(0);
                } else if !signature.is_mapping() {
                    watch_if_drawn(cookie.process, call.old);
                }
            }
        }
    }
    Some(())
}

#[inline(always)]
fn allocated(addr: u64, cookie: Cookie, signature: Signature, thread: &Thread) {
    let (call, stack) = (&thread.call, thread.stack.id);
    let head = emit::head(Kind::Alloc, cookie, thread.tid);
    // Inside an earlier call that was recorded it is not; inside one that was not, it may be.
    let function = if call.may_be_inside != 0 { cookie.function } else { 0 };
    let record =
        AllocRecord { head, addr, size: call.size, stack, draw: Draw { period: call.period, function }.pack() };
    if call.period == EXACT {
        emit::alloc(record, !signature.is_mapping());
        if !signature.is_mapping() {
            watch_if_drawn(cookie.process, addr);
        }
    } else if watched::add(cookie.process, addr) {
        if !emit::alloc(record, true) {
            watched::remove(cookie.process, addr);
        }
    } else {
        emit::refused(call.size);
    }
}

/// Has the free of a block told that user space knows, if not every free is.
///
/// To be called when the record is in the ring: when the settings read here still ask for every free, user space
/// has not yet begun to look for the blocks that it must name for it to be told of them.
#[inline(always)]
fn watch_if_drawn(process: u16, addr: u64) {
    if !draw::sampling(process).is_exact() && !watched::add(process, addr) {
        emit::count(Counter::FreesLost, 1);
    }
}

/// Does nothing but walk the stack. For the benchmark, which compares it with the kernel's own walk.
#[uprobe]
pub fn walk(ctx: ProbeContext) -> u32 {
    // SAFETY: as in `session`.
    let (cookie, regs) = unsafe { (bpf_get_attach_cookie(ctx.as_ptr()), &*ctx.regs) };
    if let Some(thread) = Thread::current_or_new()
        && let Some(ret) = unwind::look(regs.rsp, thread)
    {
        unwind::walk(View::new(regs, ret, Cookie::unpack(cookie).process), regs, thread);
    }
    0
}

/// Does as `walk`, but for stacks that the thread remembers.
#[uprobe]
pub fn recall(ctx: ProbeContext) -> u32 {
    // SAFETY: as in `enter`.
    let (cookie, regs) = unsafe { (bpf_get_attach_cookie(ctx.as_ptr()), &*ctx.regs) };
    if let Some(thread) = Thread::current_or_new()
        && let Some(ret) = unwind::look(regs.rsp, thread)
    {
        let view = View::new(regs, ret, Cookie::unpack(cookie).process);
        match unwind::recall(&view, regs, thread) {
            Some(outcome) => emit::count(outcome.end.counter(), 1),
            None => unwind::walk(view, regs, thread),
        }
    }
    0
}

/// On a function that gives a block back.
#[uprobe]
pub fn release(ctx: ProbeContext) -> u32 {
    // SAFETY: as in `session`.
    let (cookie, regs) = unsafe { (bpf_get_attach_cookie(ctx.as_ptr()), &*ctx.regs) };
    let cookie = sharers::resolve(Cookie::unpack(cookie));
    let addr = regs.rdi;
    let sampling = draw::sampling(cookie.process);
    // One that an allocator frees itself, inside a call, is not the program's: user space finds it taken.
    let is_told = addr != 0 && is_told(&sampling, cookie.process, addr);
    draw::hit(cookie, |hits| {
        hits.frees += 1;
        hits.told_frees += u64::from(is_told);
    });
    if is_told {
        if !sampling.is_exact() {
            watched::remove(cookie.process, addr);
        }
        emit::free(cookie, addr);
    }
    0
}

#[inline(always)]
fn is_mremap(signature: Signature) -> bool {
    matches!(signature, Signature::Mremap | Signature::MremapCopy)
}
