//! Which function a call has called, told from the code before its return address.
//!
//! Calls to an address that the code names are followed, also through a slot of the linkage table; of a call through a
//! register nothing is known. All of it is read from the target's memory, which may say anything: what is read is
//! compared with addresses of functions and never followed further than a few steps.

use std::{collections::HashMap, fs::File, os::unix::fs::FileExt};

/// Bytes of the longest call that names its target.
const LONGEST_CALL: usize = 6;

/// Jumps that are followed from there: to a slot of the linkage table and on by it.
const STEPS: usize = 3;

/// Bytes of a slot of the linkage table.
const SLOT: usize = 16;

/// `endbr64`.
const LANDING: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// The calls of one process, as long as it maps what it does.
pub struct CallTargets {
    memory: Option<File>,
    known: HashMap<u64, Option<u64>>,
}

impl CallTargets {
    /// Of the process with this id, at this moment.
    pub fn of(pid: u32) -> Self {
        // One that cannot be read has no calls that can be told.
        Self { memory: File::open(format!("/proc/{pid}/mem")).ok(), known: HashMap::new() }
    }

    /// The address that the call which returns to this one has called, if that can be told.
    pub fn called(&mut self, return_address: u64) -> Option<u64> {
        let Self { memory, known } = self;
        let memory = memory.as_ref()?;
        *known
            .entry(return_address)
            .or_insert_with(|| called(return_address, |address, bytes| memory.read_exact_at(bytes, address).is_ok()))
    }
}

fn called(return_address: u64, read: impl Fn(u64, &mut [u8]) -> bool) -> Option<u64> {
    let word = |address| {
        let mut bytes = [0; 8];
        read(address, &mut bytes).then(|| u64::from_ne_bytes(bytes))
    };
    let mut call = [0; LONGEST_CALL];
    read(return_address.checked_sub(LONGEST_CALL as u64)?, &mut call).then_some(())?;
    let relative = |bytes: &[u8], end: u64| -> Option<u64> {
        Some(end.wrapping_add_signed(i32::from_le_bytes(bytes.try_into().ok()?).into()))
    };
    let mut target = match call {
        [0xff, 0x15, slot @ ..] => return word(relative(&slot, return_address)?),
        [_, 0xe8, offset @ ..] => relative(&offset, return_address)?,
        _ => return None,
    };
    for _ in 0..STEPS {
        let mut code = [0; SLOT];
        if !read(target, &mut code) {
            break;
        }
        let mut at = 0;
        at += if code.starts_with(&LANDING) { LANDING.len() } else { 0 };
        at += usize::from(code[at] == 0xf2);
        target = match code[at..] {
            [0xff, 0x25, a, b, c, d, ..] => word(relative(&[a, b, c, d], target + at as u64 + 6)?)?,
            [0xe9, a, b, c, d, ..] => relative(&[a, b, c, d], target + at as u64 + 5)?,
            _ => break,
        };
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory with these bytes at these addresses and nothing else.
    fn in_memory(parts: &[(u64, &[u8])], return_address: u64) -> Option<u64> {
        called(return_address, |address, bytes| {
            let holds = |(start, part): &&(u64, &[u8])| {
                *start <= address && address + bytes.len() as u64 <= start + part.len() as u64
            };
            let Some((start, part)) = parts.iter().find(holds) else { return false };
            let from = (address - start) as usize;
            bytes.copy_from_slice(&part[from..from + bytes.len()]);
            true
        })
    }

    const FUNCTION: (u64, &[u8]) = (0x9000, &[0x55; 16]);

    #[test]
    fn a_direct_call_has_called_what_it_names() {
        let call = [0x90, 0xe8, 0xfa, 0x7f, 0, 0];
        assert_eq!(in_memory(&[(0x1000, &call), FUNCTION], 0x1006), Some(0x9000));
    }

    #[test]
    fn a_call_through_the_linkage_table_has_called_what_its_slot_holds() {
        let call = [0x90, 0xe8, 0xfa, 0x0f, 0, 0];
        let plain = [&[0xff, 0x25, 0xfa, 0x0f, 0, 0][..], &[0x90; 10]].concat();
        let landing = [&LANDING[..], &[0xf2, 0xff, 0x25, 0xf5, 0x0f, 0, 0], &[0x90; 5]].concat();
        for slot in [plain, landing] {
            let parts: [(u64, &[u8]); 4] =
                [(0x1000, &call), (0x2000, &slot), (0x3000, &0x9000_u64.to_ne_bytes()), FUNCTION];
            assert_eq!(in_memory(&parts, 0x1006), Some(0x9000));
        }
    }

    #[test]
    fn a_call_through_a_word_has_called_what_it_holds() {
        let call = [0xff, 0x15, 0xfa, 0x1f, 0, 0];
        assert_eq!(in_memory(&[(0x1000, &call), (0x3000, &0x9000_u64.to_ne_bytes())], 0x1006), Some(0x9000));
    }

    #[test]
    fn of_a_call_through_a_register_nothing_is_known() {
        assert_eq!(in_memory(&[(0x1000, &[0x90, 0x90, 0x90, 0x90, 0xff, 0xd0])], 0x1006), None);
        assert_eq!(in_memory(&[], 0x1006), None);
        assert_eq!(in_memory(&[], 3), None);
    }

    #[test]
    fn no_memory_makes_it_panic_or_go_round_for_ever() {
        for fill in 0..=u8::MAX {
            for first in 0..=u8::MAX {
                let _ = called(u64::from(fill) << 56 | 6, |_, bytes| {
                    bytes.fill(fill);
                    bytes[0] = first;
                    true
                });
            }
        }
    }
}
