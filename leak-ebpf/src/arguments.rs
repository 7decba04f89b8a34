//! What a call asks for, read from its registers by its [`Signature`].
//!
//! Probes sit where arguments and stack pointer are still as at entry, so the calling convention's registers hold.

use aya_ebpf::bindings::pt_regs;
use leak_ebpf::Signature;

use crate::call::Call;

/// `MAP_ANONYMOUS` of mmap's flags.
const MAP_ANONYMOUS: u64 = 0x20;
/// `MAP_FIXED`: the mapping takes the place of whatever is there.
const MAP_FIXED: u64 = 0x10;
/// `MREMAP_DONTUNMAP`: what is moved leaves its old pages mapped, and empty.
const MREMAP_DONTUNMAP: u64 = 4;
const PAGE: u64 = 4096;

/// What a call asks for.
pub struct Request {
    /// Bytes asked for; `u64::MAX` when the product that says so overflows (the call will fail).
    pub size: u64,
    /// Memory that the call moves or gives back, or 0.
    pub old: u64,
    /// Bytes of address space at `old`, or 0 for a heap block.
    pub old_len: u64,
    /// Where the call will store its result, for [`Signature::OutPointer`].
    pub out: u64,
    /// What the call amounts to: mostly the function's signature.
    pub signature: Signature,
    /// Whether what the call gives out counts; a file mapping does not, though it may replace what does.
    pub counts: bool,
    /// Whether the call is of no interest (a file mapping that replaces nothing).
    pub is_idle: bool,
}

/// What the call asks for.
///
/// It is no `Option`: of one that is `None` the compiler would keep parts that nobody has set, which the verifier refuses.
#[inline(always)]
pub fn read(signature: Signature, regs: &pt_regs) -> Request {
    let (a0, a1, a2, a3) = (regs.rdi, regs.rsi, regs.rdx, regs.rcx);
    let mut request = Request { signature, size: 0, old: 0, old_len: 0, out: 0, counts: true, is_idle: false };
    match signature {
        Signature::Size0 => request.size = a0,
        Signature::Size1 => request.size = a1,
        Signature::Product01 => request.size = product(a0, a1),
        Signature::Realloc | Signature::ResizeInPlace => {
            request.old = a0;
            request.size = a1;
        }
        Signature::ReallocProduct => {
            request.old = a0;
            request.size = product(a1, a2);
        }
        Signature::OutPointer => {
            request.out = a0;
            request.size = a2;
        }
        Signature::PageRounded0 => request.size = a0.wrapping_add(PAGE - 1) & !(PAGE - 1),
        Signature::Mmap => {
            request.counts = a3 & MAP_ANONYMOUS != 0;
            if request.counts {
                request.size = a1;
            } else if a3 & MAP_FIXED != 0 {
                request.old = a0;
                request.old_len = a1;
            } else {
                request.is_idle = true;
            }
        }
        Signature::Mremap => {
            request.size = a2;
            request.old = a0;
            request.old_len = a1;
            if a1 == 0 || a3 & MREMAP_DONTUNMAP != 0 {
                request.signature = Signature::MremapCopy;
                // No length asks for the shared pages that lie there a second time.
                request.old_len = if a1 == 0 { PAGE } else { a1 };
            }
        }
        Signature::Munmap => {
            request.old = a0;
            request.old_len = a1;
        }
        Signature::Free | Signature::MremapCopy => request.is_idle = true,
    }
    if signature.is_mapping() && !is_range(request.old, request.old_len) {
        // Such a call fails, and must not take others' memory off the books until it has.
        request.old = 0;
        request.old_len = 0;
    }
    request
}

/// Whether a process can have memory here.
#[inline(always)]
fn is_range(addr: u64, len: u64) -> bool {
    const ADDRESS_SPACE: u64 = 1 << 56;
    addr.is_multiple_of(PAGE) && len != 0 && addr < ADDRESS_SPACE && len < ADDRESS_SPACE
}

#[inline(always)]
fn product(count: u64, size: u64) -> u64 {
    // By digits, for the machine has no 128-bit product. A product of 2^63 and more may count as overflow: it fails too.
    if count.leading_zeros() + size.leading_zeros() >= 64 { count.wrapping_mul(size) } else { u64::MAX }
}

/// How a call ended.
pub enum Outcome {
    /// It gave out memory at this address.
    Allocated(u64),
    /// What it took is gone and nothing came instead: munmap, realloc to size 0.
    Gone,
    /// It failed and left everything as it was.
    Failed,
}

/// How the call ended, from its return value; `out` reads what an out-pointer points to.
#[inline(always)]
pub fn outcome(signature: Signature, result: u64, call: &Call, out: impl FnOnce() -> Option<u64>) -> Outcome {
    match signature {
        Signature::ResizeInPlace => {
            if result < call.size {
                Outcome::Failed
            } else {
                Outcome::Allocated(call.old)
            }
        }
        Signature::Mmap | Signature::Mremap | Signature::MremapCopy if result > u64::MAX - PAGE => Outcome::Failed,
        Signature::Mmap if call.counts == 0 => Outcome::Gone,
        Signature::Munmap => {
            if result as i32 == 0 {
                Outcome::Gone
            } else {
                Outcome::Failed
            }
        }
        Signature::OutPointer => match out() {
            Some(addr) if result as i32 == 0 && addr != 0 => Outcome::Allocated(addr),
            _ => Outcome::Failed,
        },
        Signature::Realloc | Signature::ReallocProduct if result == 0 && call.size == 0 => Outcome::Gone,
        _ if result == 0 => Outcome::Failed,
        _ => Outcome::Allocated(result),
    }
}
