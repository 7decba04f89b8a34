//! The memory of a Python of anything: pools, types and objects are found or not, and what is found lies where it is said.
#![no_main]

use leak_user::python::{
    heap::{Heap, Object},
    layout::{Version, of_version},
    memory::Memory,
    reader::Reader,
    snapshot::Snapshot,
};

#[path = "../../../leak-user/src/python/heap/made_up.rs"]
mod made_up;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [minor, data @ ..] = data else { return };
    let minor = 8 + minor % 7;
    let layout = of_version(minor).expect("a version that is supported");
    let memory = Memory::none().expect("/dev/null");
    let bytes = made_up::memory(data, layout.pool_bytes);
    let snapshot = Snapshot::of_parts([(made_up::START, &bytes[..])]);
    let version = Version { minor, micro: None };
    let reader = Reader { snapshot: &snapshot, memory: &memory, layout: &layout, version, type_type: made_up::START };
    made_up::check(&Heap::of(reader), bytes.len() as u64);
});
