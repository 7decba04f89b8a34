//! An object around unwind information of any kind; the fuzzer makes use of it too.

/// Where its code ends, and `.eh_frame` begins.
pub const EH_FRAME: u64 = 0x10_0000;

/// An object with a stretch of code, `eh_frame`, the header that leads to it, and no sections.
pub fn object(eh_frame: &[u8]) -> Vec<u8> {
    const HEADERS: u64 = 64 + 3 * 56;
    let mut data = b"\x7fELF\x02\x01\x01".to_vec();
    data.resize(16, 0);
    let mut put = |bytes: &[u8]| data.extend_from_slice(bytes);
    put(&3_u16.to_le_bytes()); // ET_DYN
    put(&62_u16.to_le_bytes()); // EM_X86_64
    put(&1_u32.to_le_bytes());
    for word in [0, 64, 0_u64] {
        put(&word.to_le_bytes()); // entry, program headers, section headers
    }
    put(&0_u32.to_le_bytes());
    for half in [64, 56, 3, 64, 0, 0_u16] {
        put(&half.to_le_bytes());
    }
    let size = eh_frame.len() as u64;
    for (kind, flags, offset, vaddr, size) in [
        (1_u32, 5_u32, 0_u64, 0_u64, EH_FRAME),       // PT_LOAD, code
        (1, 4, HEADERS + 12, EH_FRAME, size),         // PT_LOAD, read-only
        (0x6474_e550, 4, HEADERS, EH_FRAME - 12, 12), // PT_GNU_EH_FRAME
    ] {
        put(&kind.to_le_bytes());
        put(&flags.to_le_bytes());
        for word in [offset, vaddr, vaddr, size, size, 4096] {
            put(&word.to_le_bytes());
        }
    }
    // Version 1; the pointer relative to itself, in 4 bytes; no table.
    put(&[1, 0x1b, 0xff, 0xff]);
    put(&8_u32.to_le_bytes());
    put(&0_u32.to_le_bytes());
    put(eh_frame);
    data
}
