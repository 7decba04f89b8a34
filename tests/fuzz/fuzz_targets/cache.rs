//! A cache file with a digest that is right, whatever the rest of it says: refused, or a table that is sound.
#![no_main]

use leak_user::unwind::cache::{Key, decode, encode};
use sha2::{Digest as _, Sha256};

/// Where a file holds its key.
const KEY: std::ops::Range<usize> = 56..88;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let key = Key([0; 32]);
    assert!(decode(data, &key).is_none(), "nobody guesses a digest");
    let empty = encode(&Default::default(), &key);
    let mut file = [&empty[..12], data].concat();
    if let Some(bytes) = file.get_mut(KEY) {
        bytes.fill(0);
    }
    let digest = Sha256::digest(&file);
    file.extend_from_slice(&digest);
    if let Some(table) = decode(&file, &key) {
        assert_eq!(decode(&encode(&table, &key), &key), Some(table));
    }
});
