//! What random memory, and memory made for it, is taken for.

use super::{
    super::{
        layout::{Version, of_version},
        memory::Memory,
    },
    Heap, Reader, Snapshot, made_up,
    pools::Pool,
};

const POOL: u64 = 4096;

/// A pool of blocks of 64 bytes with this head: blocks in use, first free block, and what it has carved.
fn pool(live: u32, free: u64, next: u32) -> Vec<u8> {
    let mut bytes = vec![0; POOL as usize];
    bytes[..4].copy_from_slice(&live.to_le_bytes());
    bytes[8..16].copy_from_slice(&free.to_le_bytes());
    for (at, half) in [(36, 3_u32), (40, next), (44, 4096 - 64)] {
        bytes[at..at + 4].copy_from_slice(&half.to_le_bytes());
    }
    bytes
}

/// The same with words put into its blocks.
fn with(mut bytes: Vec<u8>, words: &[(usize, u64)]) -> Vec<u8> {
    for (at, word) in words {
        bytes[*at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

const AT: u64 = 0x10_0000;
const CARVED: u32 = 48 + 4 * 64;

#[test]
fn blocks_in_use_are_those_that_are_not_in_the_list_of_free_ones() {
    let bytes = with(pool(2, AT + 48 + 64, CARVED), &[(48 + 64, AT + 48 + 192), (48 + 192, 0)]);
    let pool = Pool::at(AT, &bytes, POOL).unwrap();
    assert!(pool.is_sound);
    let mut live = Vec::new();
    pool.for_each_live(&bytes, |block, content| live.push((block - AT, content.len())));
    assert_eq!(live, [(48, 64), (48 + 128, 64)]);
    let around = [47, 48, 111, 112, 48 + 4 * 64].map(|offset| pool.block_around(AT + offset).map(|at| at - AT));
    assert_eq!(around, [None, Some(48), Some(48), Some(112), None]);
}

#[test]
fn a_list_of_free_blocks_that_does_not_end_makes_a_pool_doubtful() {
    let links = [AT + 48, AT + 48 + 8, AT + 48 + 4 * 64, AT - 64, 0x7f00_0000_0000, AT + 48 + 128];
    for link in links {
        let bytes = with(pool(2, AT + 48, CARVED), &[(48, link), (48 + 128, AT + 48)]);
        assert!(Pool::at(AT, &bytes, POOL).is_some_and(|pool| !pool.is_sound), "{link:#x}");
    }
    assert!(!Pool::at(AT, &pool(3, 0, CARVED), POOL).unwrap().is_sound, "its count is another");
    assert!(Pool::at(AT, &pool(4, 0, CARVED), POOL).unwrap().is_sound);
}

#[test]
fn a_head_whose_fields_do_not_go_together_is_none_of_a_pool() {
    assert!(Pool::at(AT, &pool(5, 0, CARVED), POOL).is_none(), "more blocks in use than there are");
    assert!(Pool::at(AT, &pool(2, AT + 49, CARVED), POOL).is_none(), "no block begins there");
    assert!(Pool::at(AT, &pool(2, AT + 8192, CARVED), POOL).is_none(), "a block elsewhere");
    for next in [0, 48, 48 + 64, CARVED + 1, 48 + 64 * 64] {
        assert!(Pool::at(AT, &pool(0, 0, next), POOL).is_none(), "{next} bytes carved");
    }
    assert!(Pool::at(AT, &pool(4, 0, CARVED), 4 * POOL).is_none(), "pools are of another size");
    assert!(Pool::at(AT, &with(pool(4, 0, CARVED), &[(16, 3)]), POOL).is_none(), "the next pool begins nowhere");
    assert!(Pool::at(AT, &pool(4, 0, CARVED)[..40], POOL).is_none(), "its head is not all there");
}

#[test]
fn a_doubtful_pool_is_believed_beside_a_sound_one_alone() {
    let (sound, doubtful) = (pool(4, 0, CARVED), pool(3, 0, CARVED));
    let found = |parts: &[(u64, &Vec<u8>)]| {
        let parts = parts.iter().map(|(start, bytes)| (*start, bytes.as_slice()));
        super::pools::find(&Snapshot::of_parts(parts), POOL).iter().map(|pool| pool.address).collect::<Vec<_>>()
    };
    assert_eq!(found(&[(AT, &sound)]), [AT]);
    assert_eq!(found(&[(AT, &doubtful)]), [0; 0]);
    assert_eq!(found(&[(AT, &sound), (AT + POOL, &doubtful)]), [AT, AT + POOL]);
    assert_eq!(found(&[(AT, &sound), (AT + (64 * POOL), &doubtful)]), [AT], "an arena ends there");
    let (second, far) = (AT + POOL, AT + (1000 * POOL));
    assert_eq!(found(&[(AT, &sound), (second, &sound), (far, &sound)]), [AT, second], "its number is another's");
}

#[test]
fn in_memory_of_anything_what_is_found_goes_together() {
    let memory = Memory::none().unwrap();
    let mut found = 0;
    for minor in 8..=14 {
        let layout = of_version(minor).unwrap();
        for seed in 0..12_u64 {
            let data: Vec<u8> = (0..seed * 40).map(|nth| (nth.wrapping_mul(seed * 2 + 77) >> 3) as u8).collect();
            let bytes = made_up::memory(&[&seed.to_le_bytes(), data.as_slice()].concat(), layout.pool_bytes);
            let snapshot = Snapshot::of_parts([(made_up::START, &bytes[..])]);
            let version = Version { minor, micro: None };
            let reader =
                Reader { snapshot: &snapshot, memory: &memory, layout: &layout, version, type_type: made_up::START };
            let heap = Heap::of(reader);
            made_up::check(&heap, bytes.len() as u64);
            found += heap.types.iter().map(|counted| counted.count).sum::<u64>();
        }
    }
    assert!(found > 100, "{found} objects: made up as it is, it holds some");
}
