//! Allocations that are not sampled and frees of theirs are not told; and no free is missed that should be told, however
//! what is asked of the probes changes. Needs root, like all that loads BPF programs.

use std::{
    arch::global_asm,
    collections::BTreeSet,
    process,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use leak_ebpf::{BlockKey, CALIBRATION_SLOT, Draw, Record, Sampling, Signature, Walk};
use leak_user::{
    notice::Notices,
    probe::{
        attach::{Part, Probes, Site},
        load::{Kernel, LinkKind, LoadSettings, Upward},
    },
    process::maps::code_mappings,
};

global_asm!(
    ".globl sampling_call",
    "sampling_call: push rbp",
    "mov rax, rdi",
    "pop rbp",
    "ret",
    ".globl sampling_free",
    "sampling_free: push rbp",
    "pop rbp",
    "ret",
);

unsafe extern "C" {
    /// Gives out the block of this address, which is its size too.
    safe fn sampling_call(address: usize) -> usize;
    safe fn sampling_free(address: usize);
}

/// Whose turn it is: all tests are in one process, and call the same functions.
static TURN: Mutex<()> = Mutex::new(());

/// Programs on the two functions above.
struct Traced {
    kernel: Kernel,
    upward: Upward,
    probes: Probes,
    _turn: MutexGuard<'static, ()>,
}

impl Traced {
    fn by(links: LinkKind) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let settings = LoadSettings {
            ring_bytes: 1 << 20,
            links,
            walk: Walk::Pointers,
            may_sample: true,
            newcomers: false,
            python: false,
        };
        let (mut kernel, upward, _tables) = Kernel::load(settings, Notices::Quiet).expect("the programs load");
        let address = (sampling_call as *const ()).addr() as u64;
        let own = code_mappings(process::id()).expect("own memory map");
        let mapping = own.iter().find(|mapping| (mapping.start..mapping.end).contains(&address)).expect("own code");
        let site = |function: *const (), signature| {
            let file_offset = function.addr() as u64 - mapping.start + mapping.file_offset;
            let code = file_offset..file_offset;
            Site { name: "function".into(), signature, file_offset, emulated: true, code, function: 1 }
        };
        let sites =
            [site(sampling_call as *const (), Signature::Size0), site(sampling_free as *const (), Signature::Free)];
        let mut probes = Probes::default();
        let file = mapping.open(process::id()).expect("own file");
        probes.attach(&mut kernel, process::id(), CALIBRATION_SLOT, &file, &sites).expect("probes");
        Self { kernel, upward, probes, _turn: turn }
    }

    fn ask(&mut self, period: u64, flags: u32, pauses: u32) {
        self.kernel.set_sampling(CALIBRATION_SLOT, Sampling::new(period, flags, pauses)).expect("it is set");
    }

    /// What was told since the last time: blocks allocated, each with how it was drawn, and blocks freed.
    fn told(&mut self) -> (Vec<(u64, Draw)>, BTreeSet<u64>) {
        let (mut allocated, mut freed) = (Vec::new(), BTreeSet::new());
        let drained = self.upward.ring.drain(|record| match record {
            Record::Alloc(alloc) => allocated.push((alloc.addr, Draw::unpack(alloc.draw))),
            Record::Free(free) => {
                freed.insert(free.addr);
            }
            Record::Brief { alloc, .. } => {
                allocated.push((alloc.addr, Draw::unpack(alloc.draw)));
                freed.insert(alloc.addr);
            }
            _ => {}
        });
        drained.expect("the ring");
        (allocated, freed)
    }
}

/// Addresses and sizes of about 1 KiB, each its own.
fn blocks(from: usize) -> impl Iterator<Item = usize> + Clone {
    (from..from + 2000).map(|number| 1024 * 1024 + number * 16)
}

#[test]
fn what_is_not_sampled_is_not_told_and_its_free_neither() {
    for links in LinkKind::ALL.into_iter().filter(|kind| kind.is_supported()) {
        let mut traced = Traced::by(links);
        // A block of 1 MiB is taken with a probability of 1 - 1/e.
        traced.ask(1 << 20, Sampling::KNOWN_FREES, 0);
        blocks(0).for_each(|block| assert_eq!(sampling_call(block), block));
        blocks(0).for_each(|block| sampling_free(block));
        let (allocated, freed) = traced.told();
        let addresses: BTreeSet<u64> = allocated.iter().map(|(address, _)| *address).collect();
        assert!((1150..1380).contains(&allocated.len()), "{links:?}: {} of 2000 blocks", allocated.len());
        assert!(allocated.iter().all(|(_, draw)| *draw == Draw { period: 1 << 20, function: 1 }));
        assert_eq!(addresses, freed, "{links:?}");
        let hits = traced.upward.hits.of(CALIBRATION_SLOT).expect("hits");
        assert_eq!((hits.entries, hits.frees), (2000, 2000));
        assert_eq!((hits.told_calls, hits.told_frees), (allocated.len() as u64, freed.len() as u64));
    }
}

#[test]
fn no_free_is_missed_when_exact_tracing_becomes_sampling() {
    let mut traced = Traced::by(LinkKind::detect());
    blocks(0).for_each(|block| assert_eq!(sampling_call(block), block));
    let (known, _) = traced.told();
    assert_eq!(known.len(), 2000);
    assert!(known.iter().all(|(_, draw)| *draw == Draw::EXACT));
    // As `trace::budget` does it: all frees are told until those of the known blocks will be; some go meanwhile.
    traced.ask(1 << 40, 0, 0);
    blocks(0).take(500).for_each(|block| sampling_free(block));
    let keys = known.iter().map(|(address, _)| BlockKey::new(CALIBRATION_SLOT, *address));
    assert_eq!(traced.kernel.watch_blocks(keys).expect("they are watched"), 2000);
    blocks(0).skip(500).take(500).for_each(|block| sampling_free(block));
    traced.ask(1 << 40, Sampling::KNOWN_FREES, 0);
    blocks(0).skip(1000).for_each(|block| sampling_free(block));
    blocks(5000).for_each(|block| sampling_free(sampling_call(block)));
    let (allocated, freed) = traced.told();
    assert!(allocated.is_empty() && freed.len() == 2000, "{} and {}", allocated.len(), freed.len());
}

#[test]
fn a_pause_tells_nothing_and_loses_nothing() {
    let mut traced = Traced::by(LinkKind::detect());
    let sampled = 1 << 10;
    traced.ask(sampled, Sampling::KNOWN_FREES, 0);
    blocks(0).for_each(|block| assert_eq!(sampling_call(block), block));
    assert_eq!(traced.told().0.len(), 2000, "they are a thousand periods long");
    // Only frees.
    traced.ask(sampled, Sampling::KNOWN_FREES | Sampling::NO_ALLOCATIONS, 1);
    drop(traced.probes.withdraw(Part::Allocations));
    blocks(0).take(100).for_each(|block| sampling_free(block));
    blocks(5000).for_each(|block| sampling_free(sampling_call(block)));
    assert_eq!((traced.told().0.len(), traced.probes.has(Part::Allocations)), (0, false));
    // Nothing.
    traced.ask(sampled, Sampling::KNOWN_FREES | Sampling::NO_ALLOCATIONS | Sampling::OFF, 1);
    drop(traced.probes.withdraw(Part::Releases));
    blocks(0).skip(100).take(100).for_each(|block| sampling_free(block));
    // All again: what was freed meanwhile nobody knows, and the rest is told.
    for part in [Part::Releases, Part::Allocations] {
        traced.probes.put_back(&mut traced.kernel, part).expect("they are put back");
    }
    traced.ask(sampled, Sampling::KNOWN_FREES, 1);
    // On another thread too: one that was in a call when the pause began is not held to have lost it.
    thread::spawn(|| blocks(0).skip(200).for_each(|block| sampling_free(block))).join().expect("it ends");
    let (_, freed) = traced.told();
    assert_eq!(freed.len(), 1800);
    blocks(9000).for_each(|block| sampling_free(sampling_call(block)));
    assert_eq!(traced.told().0.len(), 2000);
}
