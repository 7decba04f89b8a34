//! Any rule on any registers and memory: no panic, and never a step that does not lead up.
#![no_main]

use leak_ebpf::frame::{Registers, Rule, Step, fp_step, search, step};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (words, _) = data.as_chunks::<8>();
    let word = |index: usize| words.get(index).map(|bytes| u64::from_le_bytes(*bytes));
    let (Some(raw), Some(ip), Some(sp), Some(bp), Some(bx)) = (word(0), word(1), word(2), word(3), word(4)) else {
        return;
    };
    let at = Registers { ip, sp, bp, bx };
    // The memory is what is left of the input, over and over; some of it cannot be read.
    let memory = |addr: u64| word(5 + (addr >> 3) as usize % words.len()).filter(|_| addr % 13 != 0);
    let rule = Rule::from_raw(raw);
    let _ = (rule.cfa(), rule.bp(), rule.bx());
    for found in [step(rule, at, memory), fp_step(at, memory)] {
        assert!(!matches!(found, Step::Up(up) if up.sp <= sp || up.ip == 0 || up.sp % 8 != 0));
    }
    let mut reads = 0;
    let _ = search(sp as u32, ip as u32, |index| {
        reads += 1;
        word(index as usize % words.len())
    });
    assert!(reads <= 25, "{reads}");
});
