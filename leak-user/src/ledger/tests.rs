use leak_ebpf::{AllocRecord, EXACT, FreeRecord, Head, Kind, Record, RestoreRecord, Signature, SpillKey, TakeRecord};

use super::*;

const SECOND: u64 = 1_000_000_000;
const STACK: u64 = 7;

fn head(kind: Kind, signature: Signature, second: u64) -> Head {
    Head { kind: kind as u8, signature: signature as u8, process: 0, tid: 1, time: (1000 + second) * SECOND }
}

fn enter(ledger: &mut Ledger, record: &Record<'_>) {
    ledger.enter(record, |_, _, _| Default::default());
}

/// A ledger with a block of 100 bytes at address 16, allocated at second 0.
fn with_block() -> Ledger {
    let mut ledger = Ledger::new(Sizes::default());
    enter(&mut ledger, &Record::decode(&[Kind::Stack as u64, 1, STACK, 1, 0x1000]).expect("a record"));
    let head = head(Kind::Alloc, Signature::Size0, 0);
    enter(&mut ledger, &Record::Alloc(AllocRecord { head, addr: 16, size: 100, stack: STACK, draw: EXACT }));
    ledger
}

fn lifetimes(ledger: &Ledger) -> Vec<(String, u64)> {
    let stack = ledger.stacks().next().expect("a stack").1;
    let parts = stack.lifetimes.0.iter().enumerate().filter(|(_, blocks)| **blocks > 0);
    parts.map(|(part, blocks)| (Ages::name(part), *blocks)).collect()
}

#[test]
fn a_freed_block_counts_at_the_age_that_it_reached() {
    let mut ledger = with_block();
    assert_eq!(lifetimes(&ledger), []);
    enter(&mut ledger, &Record::Free(FreeRecord { head: head(Kind::Free, Signature::Free, 20), addr: 16 }));
    assert_eq!(lifetimes(&ledger), [("15 s to 30 s".to_owned(), 1)]);
}

#[test]
fn a_free_that_was_set_aside_counts_at_its_own_time() {
    let mut ledger = with_block();
    ledger.enter_spilled([(SpillKey::new(0, 16, 0), (1000 + 3) * SECOND)]);
    assert_eq!(lifetimes(&ledger), [("1 s to 5 s".to_owned(), 1)]);
}

#[test]
fn a_block_that_was_not_moved_after_all_has_not_died() {
    let mut ledger = with_block();
    let take = TakeRecord { head: head(Kind::Take, Signature::Realloc, 40), addr: 16, len: 0 };
    enter(&mut ledger, &Record::Take(take));
    assert_eq!(lifetimes(&ledger), [("30 s to 1 min".to_owned(), 1)]);
    // The call may take its time.
    enter(&mut ledger, &Record::Restore(RestoreRecord { head: head(Kind::Restore, Signature::Realloc, 90) }));
    assert_eq!(lifetimes(&ledger), []);
}

#[test]
fn what_ends_with_its_process_was_not_freed() {
    let mut ledger = with_block();
    ledger.forget_process(0);
    assert_eq!((lifetimes(&ledger), ledger.totals().freed.seen), (vec![], 1));
}

#[test]
fn a_forked_stack_begins_without_lifetimes() {
    let mut ledger = with_block();
    enter(&mut ledger, &Record::Free(FreeRecord { head: head(Kind::Free, Signature::Free, 20), addr: 16 }));
    let head = head(Kind::Alloc, Signature::Size0, 30);
    enter(&mut ledger, &Record::Alloc(AllocRecord { head, addr: 32, size: 100, stack: STACK, draw: EXACT }));
    ledger.fork(0, 1);
    let copy = ledger.stacks().find(|(_, stack)| stack.process == 1).expect("a copy").1;
    assert_eq!((copy.lifetimes.total(), copy.sums.outstanding.seen), (0, 1));
}

#[test]
fn each_process_has_its_part_of_the_totals_and_nothing_of_another_that_had_its_slot() {
    let mut ledger = with_block();
    ledger.fork(0, 1);
    enter(&mut ledger, &Record::Free(FreeRecord { head: head(Kind::Free, Signature::Free, 20), addr: 16 }));
    let told = |ledger: &Ledger| {
        let totals = ledger.totals_of([0, 1, 2]);
        totals
            .iter()
            .map(|sums| [&sums.outstanding, &sums.allocated, &sums.freed].map(|amount| amount.bytes as u64))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&ledger), [[0, 100, 100], [100, 100, 0], [0, 0, 0]]);
    // The child is gone, and its slot is another's.
    ledger.forget_process(1);
    assert_eq!(told(&ledger)[1], [0, 100, 100]);
    let head = head(Kind::Alloc, Signature::Size0, 30);
    enter(&mut ledger, &Record::Alloc(AllocRecord { head, addr: 32, size: 7, stack: STACK, draw: EXACT }));
    ledger.fork(0, 1);
    assert_eq!(told(&ledger), [[7, 107, 100], [7, 7, 0], [0, 0, 0]]);
}

#[test]
fn allocations_are_told_by_size_and_those_held_are_counted_when_asked() {
    let mut ledger = with_block();
    let head_of_free = head(Kind::Free, Signature::Free, 20);
    let head = head(Kind::Alloc, Signature::Size0, 1);
    enter(&mut ledger, &Record::Alloc(AllocRecord { head, addr: 64, size: 300, stack: STACK, draw: EXACT }));
    enter(&mut ledger, &Record::Free(FreeRecord { head: head_of_free, addr: 16 }));
    let classes =
        |classes: Vec<Class>| classes.iter().map(|class| (class.from_bytes, class.bytes as u64)).collect::<Vec<_>>();
    assert_eq!(classes(ledger.allocated_by_size().collect()), [(64, 100), (256, 300)]);
    assert_eq!(classes(ledger.held_by_size()), [(256, 300)]);
}

#[test]
fn a_brief_block_leaves_what_its_allocation_and_its_free_would() {
    let mut random = 0x9e37_79b9_u64;
    let mut below = |end: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    let mut ledgers = [with_block(), with_block()];
    let signatures = [Signature::Size0, Signature::Realloc, Signature::OutPointer, Signature::Mmap];
    for second in 0..2000 {
        let signature = signatures[below(signatures.len() as u64) as usize];
        let alloc = AllocRecord {
            head: head(Kind::Alloc, signature, second),
            // Some where a block is held, and of a stack that nobody knows.
            addr: 16 * (1 + below(40)),
            size: below(5000),
            stack: if below(10) == 0 { 1 } else { STACK },
            draw: Draw { period: [EXACT, 4096][below(2) as usize], function: 0 }.pack(),
        };
        let freed = (1000 + second + below(200)) * SECOND;
        if below(4) == 0 {
            for ledger in &mut ledgers {
                enter(ledger, &Record::Alloc(alloc));
            }
            continue;
        }
        enter(&mut ledgers[0], &Record::Brief { alloc, freed });
        enter(&mut ledgers[1], &Record::Alloc(alloc));
        let head = Head { time: freed, ..head(Kind::Free, Signature::Free, 0) };
        enter(&mut ledgers[1], &Record::Free(FreeRecord { head, addr: alloc.addr }));
    }
    let [brief, plain] = &ledgers;
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * a.abs().max(1.0);
    let figures = |sums: Sums| {
        let parts = [sums.outstanding, sums.allocated, sums.freed];
        parts.map(|amount| [amount.bytes, amount.count, amount.bytes_stderr(), amount.seen as f64]).concat()
    };
    let (a, b) = (figures(brief.totals()), figures(plain.totals()));
    assert!(a.iter().zip(&b).all(|(a, b)| near(*a, *b)), "{a:?}\n{b:?}");
    assert_eq!(lifetimes(brief), lifetimes(plain));
    assert_eq!(brief.notes(), plain.notes());
    let held = |ledger: &Ledger| {
        let mut held = Vec::new();
        ledger.for_each_outstanding(|block| held.push((block.address, block.bytes, block.time)));
        held.sort_unstable();
        held
    };
    assert_eq!(held(brief), held(plain));
    assert!(held(brief).len() > 10);
}
