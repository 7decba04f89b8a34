//! What a session keeps compressed, whatever is in it: refused, or figures and events that can be written again.
#![no_main]

use leak_user::session::{Point, bytes, columns, events::Block};

/// Stacks of the session.
const STACKS: usize = 100;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = (Block::unpack(data), bytes::unpack(data));
    let packed = bytes::pack(data).expect("anything can be compressed");
    assert_eq!(bytes::unpack(&packed).expect("it was packed here"), data);
    if let Ok(block) = Block::unpack(&packed) {
        let again = Block::unpack(&block.pack().expect("what was read")).expect("what was packed");
        assert_eq!(again.events(), block.events());
    }
    let mut points = vec![Point::default(); STACKS];
    if columns::apply_points(&packed, &mut points).is_ok() {
        let written = columns::encode_points(&[], &points).expect("what was read");
        let mut again = vec![Point::default(); STACKS];
        columns::apply_points(&written, &mut again).expect("what was written");
        assert_eq!(again, points);
    }
    let _ = columns::apply_lives(&packed, &mut [columns::Lives::default(); STACKS]);
});
