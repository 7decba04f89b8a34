//! Where in a function to put its probe: as near its entry as is right, and where a hit costs least.
//!
//! A uprobe is a breakpoint. Some instructions the kernel then carries out itself (about 1 µs a hit); any other it
//! runs out of line under single step (about 11 µs in a virtual machine). So a probe a few bytes past the entry can
//! cost a tenth: glibc's `free` begins `test %rdi,%rdi; je`, and the `je` is emulated.
//!
//! [`place`] promises that a probe it puts past the entry sees every call exactly once and sees it as the entry would:
//! the arguments that the [`Signature`] names, the stack and the frame pointer are as the caller left them, and nothing
//! has been written to memory yet, so a block cannot be on its way back to the allocator before its free is seen.
//!
//! It looks at the function's own bytes only. Jumps into the skipped instructions from elsewhere (another function, a
//! jump table) are not looked for; no compiler makes them. Whether the kernel accepts a probe on the instruction is for
//! the kernel to say when it is attached.

use std::fmt;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, OpKind, Register};
use leak_ebpf::Signature;

/// Instructions looked at, the entry included. Few, so that what is skipped can be checked by reading it.
const MAX_INSTRUCTIONS: usize = 16;

/// Bytes within which the probe must begin.
const MAX_OFFSET: usize = 64;

/// Longest function whose branches are checked. No allocator's comes near; a longer one keeps its probe at the entry.
pub const MAX_FUNCTION: usize = 256 << 10;

/// Where a probe goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Bytes after the function's entry.
    pub offset: u64,
    /// Whether the kernel emulates the instruction there, which makes a hit about ten times cheaper.
    pub emulated: bool,
}

impl Placement {
    /// The entry under single step: always right, if dear.
    const ENTRY: Self = Self { offset: 0, emulated: false };
}

/// Why a function cannot be probed at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// There are no bytes.
    NoCode,
    /// The first bytes are not a whole x86-64 instruction.
    NotAnInstruction,
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCode => "the function has no code",
            Self::NotAnInstruction => "the function does not begin with a whole x86-64 instruction",
        })
    }
}

impl std::error::Error for PlaceError {}

/// The best place for a probe on the function with these bytes, which begins at `vaddr` and is called as `signature`
/// says.
pub fn place(code: &[u8], vaddr: u64, signature: Signature) -> Result<Placement, PlaceError> {
    if code.is_empty() {
        return Err(PlaceError::NoCode);
    }
    Ok(match first_emulated(code, vaddr, arguments(signature))? {
        Some(offset) if offset == 0 || !is_entered_late(code, vaddr, offset) => Placement { offset, emulated: true },
        _ => Placement::ENTRY,
    })
}

/// Whether the kernel emulates the instruction that these bytes are, all of them.
///
/// Says no to some that it does emulate (long nops, prefixed branches): kernels differ on those. See `push_setup_xol_ops`
/// and `branch_setup_xol_ops` in `arch/x86/kernel/uprobes.c`.
pub fn is_emulated(instruction: &[u8]) -> bool {
    matches!(
        instruction,
        // push and nop; with REX.B, push of r8 to r15.
        [0x50..=0x57 | 0x90] | [0x41, 0x50..=0x57]
        // jmp and jcc, 8-bit displacement.
        | [0xeb | 0x70..=0x7f, _]
        // call, jmp and jcc, 32-bit displacement.
        | [0xe8 | 0xe9, _, _, _, _] | [0x0f, 0x80..=0x8f, _, _, _, _]
    )
}

/// The registers whose values the programs read at a hit.
fn arguments(signature: Signature) -> &'static [Register] {
    use Register::{RCX, RDI, RDX, RSI};
    match signature {
        Signature::Size0 | Signature::PageRounded0 | Signature::Free => &[RDI],
        Signature::Size1 => &[RSI],
        Signature::Product01 | Signature::Realloc | Signature::ResizeInPlace | Signature::Munmap => &[RDI, RSI],
        Signature::ReallocProduct => &[RDI, RSI, RDX],
        Signature::Mremap | Signature::MremapCopy => &[RDI, RSI, RDX, RCX],
        Signature::OutPointer => &[RDI, RDX],
        Signature::Mmap => &[RDI, RSI, RCX],
    }
}

/// The offset of the first emulated instruction, if those before it may be skipped.
fn first_emulated(code: &[u8], vaddr: u64, arguments: &[Register]) -> Result<Option<u64>, PlaceError> {
    let mut decoder = Decoder::with_ip(64, code, vaddr, DecoderOptions::NONE);
    let mut info = InstructionInfoFactory::new();
    let mut instruction = Instruction::default();
    for _ in 0..MAX_INSTRUCTIONS {
        let start = decoder.position();
        if start >= MAX_OFFSET || !decoder.can_decode() {
            break;
        }
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            return if start == 0 { Err(PlaceError::NotAnInstruction) } else { Ok(None) };
        }
        if code.get(start..decoder.position()).is_some_and(is_emulated) {
            return Ok(Some(start as u64));
        }
        if !may_be_skipped(&mut info, &instruction, arguments) {
            break;
        }
    }
    Ok(None)
}

/// Whether a probe behind this instruction still sees what it needs, and every call.
fn may_be_skipped(info: &mut InstructionInfoFactory, instruction: &Instruction, arguments: &[Register]) -> bool {
    if instruction.flow_control() != FlowControl::Next {
        return false;
    }
    let info = info.info(instruction);
    let keeps_registers = info.used_registers().iter().all(|used| {
        let full = used.register().full_register();
        // rsp finds the return address and rbp the caller's frame, whatever the signature.
        !writes(used.access()) || !(arguments.contains(&full) || matches!(full, Register::RSP | Register::RBP))
    });
    keeps_registers && info.used_memory().iter().all(|used| !writes(used.access()))
}

/// Whether an access may change what it accesses. Unknown kinds count as writes.
fn writes(access: OpAccess) -> bool {
    !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
}

/// Whether the function branches to a place behind its entry and not behind `offset`: a probe at `offset` would then
/// be hit by a loop, or be reached by calls that did not pass through all that was checked.
fn is_entered_late(code: &[u8], vaddr: u64, offset: u64) -> bool {
    code.len() > MAX_FUNCTION
        || Decoder::with_ip(64, code, vaddr, DecoderOptions::NONE)
            .iter()
            .filter_map(|instruction| branch_target(&instruction))
            .any(|target| (1..=offset).contains(&target.wrapping_sub(vaddr)))
}

/// Where a direct branch or call goes.
fn branch_target(instruction: &Instruction) -> Option<u64> {
    let is_direct = !instruction.is_invalid()
        && matches!(instruction.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
    is_direct.then(|| instruction.near_branch_target())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::allocator::Allocator;
    use crate::process::elf::ElfFile;
    use crate::process::elf::tests::{LIBC, library};

    const DEBIAN_12_LIBC: &str = "93ac61ec5a8eb1396f9fbd350e3169a558528a40";
    const DEBIAN_12_JEMALLOC: &str = "1d5163c246dc9cd2b4d339f2ac42efd95c6e0ae1";

    const VADDR: u64 = 0x40_1000;

    fn placed(code: &[u8], signature: Signature) -> (u64, bool) {
        placed_at(code, VADDR, signature)
    }

    fn placed_at(code: &[u8], vaddr: u64, signature: Signature) -> (u64, bool) {
        let placement = place(code, vaddr, signature).expect("code that can be probed");
        (placement.offset, placement.emulated)
    }

    #[test]
    fn glibc_free_is_probed_at_its_first_branch() {
        // test %rdi,%rdi; je +0xbf; push %rbp; ret
        let code = [0x48, 0x85, 0xff, 0x0f, 0x84, 0xbf, 0, 0, 0, 0x55, 0xc3];
        assert_eq!(placed(&code, Signature::Free), (3, true));
    }

    #[test]
    fn a_push_at_the_entry_is_probed_at_the_entry() {
        assert_eq!(placed(&[0x41, 0x54, 0x55, 0x53], Signature::Size0), (0, true));
        assert_eq!(placed(&[0x55, 0xc3], Signature::Size0), (0, true));
    }

    #[test]
    fn endbr64_is_skipped_when_a_push_follows() {
        assert_eq!(placed(&[0xf3, 0x0f, 0x1e, 0xfa, 0x53, 0xc3], Signature::Size0), (4, true));
        assert_eq!(placed(&[0xf3, 0x0f, 0x1e, 0xfa, 0xc3], Signature::Size0), (0, false));
    }

    #[test]
    fn jemalloc_malloc_is_probed_behind_its_compare() {
        // cmp $0x1000,%rdi; ja +0x30
        let code = [0x48, 0x81, 0xff, 0, 0x10, 0, 0, 0x77, 0x30, 0xc3];
        assert_eq!(placed(&code, Signature::Size0), (7, true));
    }

    #[test]
    fn an_overwritten_argument_keeps_the_probe_at_the_entry_only_if_the_signature_reads_it() {
        // mov %eax,%edi clears the upper half too; mov %al,%dil changes only one byte; xchg %rdi,%rax; then push %rbx.
        for clobber in [&[0x89, 0xc7][..], &[0x40, 0x88, 0xc7], &[0x48, 0x97]] {
            let code = [clobber, &[0x53, 0xc3]].concat();
            assert_eq!(placed(&code, Signature::Free), (0, false), "{clobber:x?}");
            assert_eq!(placed(&code, Signature::Size1), (clobber.len() as u64, true), "{clobber:x?}");
        }
    }

    #[test]
    fn every_argument_of_every_signature_is_kept() {
        let xor = [
            (Register::RDI, [0x31, 0xff]),
            (Register::RSI, [0x31, 0xf6]),
            (Register::RDX, [0x31, 0xd2]),
            (Register::RCX, [0x31, 0xc9]),
            (Register::R9, [0x31, 0xc0]), // stands for a register that no signature reads: eax
        ];
        for signature in (0..=u8::MAX).filter_map(Signature::from_u8) {
            for (register, [a, b]) in xor {
                let offset = if arguments(signature).contains(&register) { 0 } else { 2 };
                assert_eq!(placed(&[a, b, 0x53, 0xc3], signature).0, offset, "{signature:?} {register:?}");
            }
        }
    }

    #[test]
    fn nothing_that_moves_the_stack_or_writes_memory_is_skipped() {
        let not_skipped: [&[u8]; 8] = [
            &[0x48, 0x83, 0xec, 0x10],       // sub $0x10,%rsp
            &[0x48, 0x89, 0x44, 0x24, 0xf8], // mov %rax,-8(%rsp)
            &[0x48, 0x89, 0xe5],             // mov %rsp,%rbp
            &[0x48, 0x89, 0x07],             // mov %rax,(%rdi): a free list's link
            &[0xf0, 0x48, 0x0f, 0xb1, 0x3e], // lock cmpxchg %rdi,(%rsi)
            &[0x6a, 0x01],                   // push $1
            &[0xff, 0x36],                   // push (%rsi)
            &[0x5d],                         // pop %rbp
        ];
        for first in not_skipped {
            assert_eq!(placed(&[first, &[0x53, 0xc3]].concat(), Signature::Size0), (0, false), "{first:x?}");
        }
    }

    #[test]
    fn control_flow_that_is_not_emulated_is_not_skipped() {
        let not_skipped: [&[u8]; 9] = [
            &[0xc3],                   // ret
            &[0x0f, 0x05],             // syscall
            &[0xcd, 0x80],             // int $0x80
            &[0xff, 0xe0],             // jmp *%rax
            &[0xff, 0xd0],             // call *%rax
            &[0xe3, 0x01],             // jrcxz
            &[0xf2, 0xe9, 9, 0, 0, 0], // bnd jmp
            &[0x0f, 0x0b],             // ud2
            &[0xcc],                   // int3
        ];
        for first in not_skipped {
            assert_eq!(placed(&[first, &[0x53, 0xc3]].concat(), Signature::Size0), (0, false), "{first:x?}");
        }
    }

    #[test]
    fn a_branch_back_into_what_is_skipped_keeps_the_probe_at_the_entry() {
        // test %rdi,%rdi; je +2; nop; jmp TARGET; ret
        let code = |target: i8| [0x48, 0x85, 0xff, 0x74, 0x02, 0x90, 0xeb, (target - 8) as u8, 0xc3];
        assert_eq!(placed(&code(3), Signature::Free), (0, false), "to the probe itself");
        assert_eq!(placed(&code(1), Signature::Free), (0, false), "into an instruction");
        assert_eq!(placed(&code(5), Signature::Free), (3, true), "behind the probe");
        assert_eq!(placed(&code(0), Signature::Free), (3, true), "a call of itself");
    }

    #[test]
    fn the_search_ends_after_a_few_instructions() {
        let late = |skipped: usize| [&[0x31, 0xc0].repeat(skipped)[..], &[0x53, 0xc3]].concat();
        assert_eq!(placed(&late(15), Signature::Free), (30, true));
        assert_eq!(placed(&late(16), Signature::Free), (0, false));
    }

    #[test]
    fn what_is_not_code_is_refused_with_a_reason() {
        assert_eq!(place(&[], VADDR, Signature::Free), Err(PlaceError::NoCode));
        assert_eq!(place(&[0x06], VADDR, Signature::Free), Err(PlaceError::NotAnInstruction));
        assert_eq!(place(&[0x48, 0x81, 0xff], VADDR, Signature::Free), Err(PlaceError::NotAnInstruction));
        assert_eq!(PlaceError::NoCode.to_string(), "the function has no code");
    }

    #[test]
    fn only_what_every_kernel_emulates_counts_as_emulated() {
        let emulated: [&[u8]; 8] = [
            &[0x50],
            &[0x41, 0x57],
            &[0xeb, 0],
            &[0xe9, 0, 0, 0, 0],
            &[0x7f, 0],
            &[0x0f, 0x85, 0, 0, 0, 0],
            &[0xe8, 0, 0, 0, 0],
            &[0x90],
        ];
        assert!(emulated.into_iter().all(is_emulated));
        let stepped: [&[u8]; 9] = [
            &[],
            &[0x48, 0x50],
            &[0x66, 0x50],
            &[0x66, 0x0f, 0x84, 0, 0],
            &[0x41, 0x90],
            &[0xf3, 0x90],
            &[0x0f, 0x1f, 0],
            &[0x3e, 0x74, 0],
            &[0xff, 0x25, 0, 0, 0, 0],
        ];
        assert!(!stepped.into_iter().any(is_emulated));
    }

    /// Checks that every function of a library can be probed and, in the build that was disassembled, where.
    fn check_library(path: &str, build_id: &str, expected: &[(&str, u64, bool)]) {
        // A machine without this library has nothing to check.
        let Some(data) = library(path) else { return };
        let object = ElfFile::parse(&data, path).unwrap();
        let is_known_build = object.build_id().as_deref() == Some(build_id);
        for function in Allocator::of(&object, path, &[""]).unwrap().expect("an allocator").functions {
            let found = placed_at(function.code, function.vaddr, function.signature);
            let expected = expected.iter().find(|(name, ..)| is_known_build && *name == function.name);
            if let Some((name, offset, emulated)) = expected {
                assert_eq!(found, (*offset, *emulated), "{name} of {path}");
            }
        }
    }

    #[test]
    fn glibc_is_probed_where_its_disassembly_says() {
        let expected = [
            ("malloc", 0, true),         // push %r12
            ("reallocarray", 0, false),  // mov; mul, which overwrites %rdx
            ("free", 3, true),           // test; je
            ("posix_memalign", 7, true), // cmpb; push
            ("mmap", 10, true),          // mov %ecx,%r10d; test; jne
            ("munmap", 0, false),        // mov; syscall
            ("mremap", 0, false),        // sub $0x58,%rsp
        ];
        check_library(LIBC, DEBIAN_12_LIBC, &expected);
    }

    #[test]
    fn jemalloc_is_probed_where_its_disassembly_says() {
        let expected = [
            ("malloc", 7, true), // cmp; ja
            ("free", 48, true),  // nine instructions that look up a cache, in %rax, %rcx and %rdx; jne
            ("calloc", 0, true), // push %r15
        ];
        check_library("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", DEBIAN_12_JEMALLOC, &expected);
    }

    #[test]
    fn no_bytes_at_any_address_make_it_panic() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let code: Vec<u8> = (0..random() % 80).map(|_| random() as u8).collect();
            let vaddr = if random() % 2 == 0 { u64::MAX - random() % 80 } else { random() };
            for signature in [Signature::Free, Signature::Mmap] {
                if let Ok(placement) = place(&code, vaddr, signature) {
                    assert!(placement.offset < code.len() as u64);
                }
            }
        }
    }
}
