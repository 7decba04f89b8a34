//! Where the running kernel's structures have their fields, from what it says of its types (BTF).
//!
//! Of the whole description only fields of structures are read, by the structures' names. It comes from the kernel, but
//! every length in it is checked all the same: what does not fit together ends in an error.

use std::{fs::File, io::Read as _};

use anyhow::{Context as _, Result, ensure};

/// Where the kernel describes its types.
const PATH: &str = "/sys/kernel/btf/vmlinux";

/// No kernel's description is as long.
const MAX_BYTES: u64 = 256 << 20;

/// What it begins with, and how long that is at least.
const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;

/// Sorts of types, by `BTF_KIND_*`.
const STRUCT: u32 = 4;

/// A description of types.
pub struct KernelTypes {
    types: Vec<u8>,
    names: Vec<u8>,
}

impl KernelTypes {
    /// Those of the running kernel.
    pub fn of_running() -> Result<Self> {
        let mut bytes = Vec::new();
        File::open(PATH)
            .and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
            .with_context(|| format!("the kernel does not describe its types in {PATH}"))?;
        Self::parse(&bytes).with_context(|| format!("{PATH} is not what it should be"))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let magic = bytes.first_chunk().map(|magic| u16::from_le_bytes(*magic));
        ensure!(bytes.len() >= HEADER_BYTES && magic == Some(MAGIC), "it does not begin as a description of types");
        let field = |at: usize| number(bytes, at).unwrap_or(0) as usize;
        let section = |offset: usize, length: usize| {
            let start = field(4).checked_add(offset)?;
            bytes.get(start..start.checked_add(length)?)
        };
        let types = section(field(8), field(12)).context("its types are cut off")?;
        let names = section(field(16), field(20)).context("its names are cut off")?;
        Ok(Self { types: types.to_vec(), names: names.to_vec() })
    }

    /// Where in a structure of this name the field of this name begins, in bytes.
    pub fn offset_of(&self, structure: &str, field: &str) -> Option<u64> {
        let mut at = 0;
        while let (Some(name), Some(info)) = (number(&self.types, at), number(&self.types, at + 4)) {
            let (kind, count, packs_bits) = (info >> 24 & 0x1f, (info & 0xffff) as usize, info >> 31 != 0);
            let fields = at + 12;
            if kind == STRUCT && self.is_named(name, structure) {
                for place in (0..count).map(|number| fields + number * 12) {
                    if self.is_named(number(&self.types, place)?, field) {
                        let bits = number(&self.types, place + 8)?;
                        return Some(u64::from(if packs_bits { bits & 0xff_ffff } else { bits }) / 8);
                    }
                }
            }
            at = fields + tail_bytes(kind, count)?;
        }
        None
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        let here = self.names.get(offset as usize..).unwrap_or_default();
        here.starts_with(name.as_bytes()) && here.get(name.len()) == Some(&0)
    }
}

/// Bytes that follow the head of a type of this kind with so many parts.
fn tail_bytes(kind: u32, parts: usize) -> Option<usize> {
    Some(match kind {
        // Integers, variables, tags of declarations.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structures, unions, sections, enumerations of 64 bits.
        4 | 5 | 15 | 19 => parts * 12,
        // Enumerations, prototypes.
        6 | 13 => parts * 8,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_says_where_a_thread_pointer_is() {
        let types = KernelTypes::of_running().expect("BTF");
        assert!(types.offset_of("task_struct", "thread").is_some_and(|offset| offset > 0));
        assert!(types.offset_of("thread_struct", "fsbase").is_some());
        assert_eq!(types.offset_of("task_struct", "no such field"), None);
        assert_eq!(types.offset_of("no such structure", "thread"), None);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let mut bytes = vec![0; 24];
        bytes[..2].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4] = 24;
        assert!(KernelTypes::parse(&bytes).is_ok());
        bytes[12] = 1;
        assert!(KernelTypes::parse(&bytes).is_err());
        assert!(KernelTypes::parse(&bytes[..20]).is_err());
        assert!(KernelTypes::parse(b"").is_err());
    }
}
