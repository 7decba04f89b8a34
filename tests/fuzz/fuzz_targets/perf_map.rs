//! A perf map of anything: read in two parts, it says what it says when it is read at once.
#![no_main]

use leak_user::symbolize::perf_map::PerfMap;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (mut whole, mut parts) = (PerfMap::default(), PerfMap::default());
    let read = whole.extend(data);
    assert!(read <= data.len());
    let some = parts.extend(&data[..data.len() / 2]);
    assert_eq!(some + parts.extend(&data[some..]), read);
    assert_eq!(whole.len(), parts.len());
    for bytes in data.windows(8).step_by(8) {
        let address = u64::from_le_bytes(bytes.try_into().unwrap());
        assert_eq!(whole.find(address), parts.find(address));
    }
    for address in [0, 1, 0x1000, 0x7fff_ffff_f000, u64::MAX - 1, u64::MAX] {
        assert_eq!(whole.find(address), parts.find(address));
    }
});
