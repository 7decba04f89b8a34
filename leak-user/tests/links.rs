//! Each way of putting probes on functions sees each call once, so that kernels that have only the older one are traced
//! as well. Needs root, like all that loads BPF programs.

use std::{arch::global_asm, process};

use leak_ebpf::Walk;
use leak_ebpf::{CALIBRATION_SLOT, Record, Signature};
use leak_user::{
    notice::Notices,
    probe::{
        attach::{Probes, Site},
        load::{Kernel, LinkKind, LoadSettings},
    },
    process::maps::code_mappings,
};

const CALLS: usize = 100;

global_asm!(
    ".globl links_call",
    "links_call: push rbp",
    "mov rax, rdi",
    "pop rbp",
    "ret",
    ".globl links_free",
    "links_free: push rbp",
    "pop rbp",
    "ret",
    ".globl links_trap",
    "links_trap: int3",
    "ret",
);

unsafe extern "C" {
    safe fn links_call(address: usize) -> usize;
    safe fn links_free(address: usize);
    safe fn links_trap();
}

/// All that this kernel has.
fn kinds() -> impl Iterator<Item = LinkKind> {
    LinkKind::ALL.into_iter().filter(|kind| kind.is_supported())
}

fn settings(links: LinkKind) -> LoadSettings {
    LoadSettings {
        ring_bytes: 1 << 20,
        links,
        walk: Walk::Pointers,
        may_sample: false,
        newcomers: false,
        python: false,
    }
}

fn site(name: &str, function: *const (), signature: Signature) -> Site {
    let address = function.addr() as u64;
    let own = code_mappings(process::id()).expect("own memory map");
    let mapping = own.iter().find(|mapping| (mapping.start..mapping.end).contains(&address)).expect("own code");
    let file_offset = address - mapping.start + mapping.file_offset;
    Site { name: name.into(), signature, file_offset, emulated: true, code: file_offset..file_offset, function: 0 }
}

/// Puts probes on some of this program's functions. They are kept as long as what is returned.
fn attach(kernel: &mut Kernel, sites: &[Site]) -> anyhow::Result<Probes> {
    let address = (links_call as *const ()).addr() as u64;
    let own = code_mappings(process::id())?;
    let mapping = own.iter().find(|mapping| (mapping.start..mapping.end).contains(&address)).expect("own code");
    let mut probes = Probes::default();
    probes.attach(kernel, process::id(), CALIBRATION_SLOT, &mapping.open(process::id())?, sites)?;
    Ok(probes)
}

#[test]
fn every_call_is_seen_once_by_whichever_links_and_none_without() {
    for kind in kinds() {
        let (mut kernel, mut upward, _tables) =
            Kernel::load(settings(kind), Notices::Quiet).expect("the programs load");
        assert_eq!(kernel.links(), kind);
        let sites = [
            site("call", links_call as *const (), Signature::Size0),
            site("free", links_free as *const (), Signature::Free),
        ];
        let probes = attach(&mut kernel, &sites).expect("probes");
        assert_eq!(probes.count(), 3, "entry, return, free");
        let mut call_all = || {
            for address in 1..=CALLS {
                links_free(links_call(address << 4));
            }
            let (mut allocated, mut freed) = (Vec::new(), Vec::new());
            let drained = upward.ring.drain(|record| match record {
                Record::Alloc(alloc) => allocated.push(alloc.addr),
                Record::Free(free) => freed.push(free.addr),
                Record::Brief { alloc, .. } => {
                    allocated.push(alloc.addr);
                    freed.push(alloc.addr);
                }
                _ => {}
            });
            drained.expect("the ring");
            (allocated, freed)
        };
        let addresses: Vec<u64> = (1..=CALLS as u64).map(|address| address << 4).collect();
        assert_eq!(call_all(), (addresses.clone(), addresses), "{kind:?}");
        drop(probes);
        assert_eq!(call_all(), (vec![], vec![]), "{kind:?}: the probes are gone");
        assert_eq!(kernel.missed_runs().expect("a count"), 0);
    }
}

#[test]
fn a_function_that_the_kernel_refuses_is_named_by_whichever_links() {
    for kind in kinds() {
        let (mut kernel, _upward, _tables) = Kernel::load(settings(kind), Notices::Quiet).expect("the programs load");
        let sites = [
            site("good", links_call as *const (), Signature::Size0),
            site("trapped", links_trap as *const (), Signature::Size0),
        ];
        let Err(error) = attach(&mut kernel, &sites) else { panic!("{kind:?} take a probe on int3") };
        assert!(error.to_string().contains("`trapped`"), "{kind:?}: {error:#}");
    }
}
