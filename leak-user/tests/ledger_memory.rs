//! The ledger holds ten million outstanding blocks in at most 34 bytes each. A program of its own, because it is the
//! whole process's memory that is measured.

use leak_ebpf::{AllocRecord, EXACT, Head, Kind, Record, Signature};
use leak_user::ledger::{Ledger, Sizes};

const BLOCKS: u64 = 10_000_000;
const MOST_BYTES: u64 = 34;

fn resident_bytes() -> u64 {
    let pages = procfs::process::Process::myself().and_then(|own| own.statm()).expect("statm").resident;
    pages * procfs::page_size()
}

/// A stack record of one frame, as the ring holds it.
fn stack_record(id: u64) -> [u64; 5] {
    [Kind::Stack as u64, 1, id, 1, 0x1000]
}

#[test]
fn ten_million_outstanding_blocks_take_at_most_34_bytes_each_at_every_moment() {
    let mut ledger = Ledger::new(Sizes::default());
    let stack = stack_record(7);
    ledger.enter(&Record::decode(&stack).expect("a record"), |_, _, _| Default::default());
    let before = resident_bytes();
    for number in 0..BLOCKS {
        let head = Head {
            kind: Kind::Alloc as u8,
            signature: Signature::Size0 as u8,
            process: 0,
            tid: 1,
            time: (1 << 50) + number * 1_000,
        };
        let record = AllocRecord { head, addr: 0x5555_0000_0000 + number * 48, size: 40, stack: 7, draw: EXACT };
        ledger.enter(&Record::Alloc(record), |_, _, _| Default::default());
        let count = number + 1;
        // The first tables are small beside what the process takes anyway.
        if count % 50_000 == 0 && count >= 500_000 {
            let each = resident_bytes().saturating_sub(before) / count;
            assert!(each <= MOST_BYTES, "{each} bytes each at {count} blocks");
        }
    }
    assert_eq!(ledger.totals().outstanding.seen, BLOCKS);
    assert_eq!(ledger.totals().outstanding.bytes as u64, BLOCKS * 40);
}
