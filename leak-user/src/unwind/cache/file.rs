//! A cached table as a file: written by us, but read as if by anyone.
//!
//! All numbers are little-endian. Behind the header come the rules and the rows, 8 bytes each, and a SHA-256 digest of
//! everything before it, which tells a torn or rotten file.
//!
//! | bytes  | what                                                                  |
//! |--------|-----------------------------------------------------------------------|
//! | 0..8   | `LTUNWIND`                                                            |
//! | 8..12  | [`VERSION`]                                                           |
//! | 12..16 | number of rules                                                       |
//! | 16..20 | number of rows                                                        |
//! | 20..36 | entries compiled, broken, outside; rows unsupported                   |
//! | 36..40 | 1 when rows were cut, else 0                                          |
//! | 40..48 | bytes of code uncovered                                               |
//! | 48..56 | base                                                                  |
//! | 56..88 | the [`Key`]                                                           |

use leak_ebpf::frame::{MAX_ROWS, MAX_RULES, NO_RULE, Row, Rule};
use sha2::{Digest as _, Sha256};

use crate::unwind::{Compiled, Stats, image::Image};

/// Version of the format, and of what compiling makes of the same sections: to be counted up with every change to
/// either.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"LTUNWIND";
const HEADER: usize = 88;
const DIGEST: usize = 32;

/// Largest file that can be one.
pub const MAX_FILE: usize = HEADER + 8 * (MAX_RULES + MAX_ROWS as usize) + DIGEST;

/// What a table is found by: a digest of everything it is made of.
///
/// Not the build ID: a traced program chooses its own, and could have the table of another one replaced by its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub [u8; 32]);

impl Key {
    /// The key of what an object file has for unwinding.
    pub(in crate::unwind) fn of(image: &Image<'_>) -> Self {
        let mut digest = Sha256::new();
        // Every part has a fixed length or its length before it, so that no two images are the same bytes.
        let mut number = |number: u64| digest.update(number.to_le_bytes());
        number(VERSION.into());
        number(image.base);
        for address in [image.text, image.got] {
            number(address.is_some().into());
            number(address.unwrap_or(0));
        }
        number(image.code.len() as u64);
        for (start, end) in &image.code {
            number(u64::from(*start) << 32 | u64::from(*end));
        }
        for section in [&image.eh_frame, &image.debug_frame] {
            let Some(section) = section else {
                digest.update(u64::MAX.to_le_bytes());
                continue;
            };
            digest.update((section.bytes.len() as u64).to_le_bytes());
            digest.update(section.vaddr.unwrap_or(0).to_le_bytes());
            digest.update([section.is_sized.into()]);
            digest.update(&section.bytes);
        }
        Self(digest.finalize().into())
    }

    /// The key in hexadecimal.
    pub fn hex(&self) -> String {
        self.0.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }
}

/// The file that holds a table.
pub fn encode(table: &Compiled, key: &Key) -> Vec<u8> {
    let Stats { entries, broken, outside, unsupported, uncovered, is_cut } = table.stats;
    let mut file = Vec::with_capacity(HEADER + 8 * (table.rules.len() + table.rows.len()) + DIGEST);
    file.extend_from_slice(MAGIC);
    let counts = [VERSION, table.rules.len() as u32, table.rows.len() as u32];
    for number in counts.into_iter().chain([entries, broken, outside, unsupported, is_cut.into()]) {
        file.extend_from_slice(&number.to_le_bytes());
    }
    file.extend_from_slice(&uncovered.to_le_bytes());
    file.extend_from_slice(&table.base.to_le_bytes());
    file.extend_from_slice(&key.0);
    for word in table.rules.iter().map(|rule| rule.raw()).chain(table.rows.iter().copied()) {
        file.extend_from_slice(&word.to_le_bytes());
    }
    let digest = Sha256::digest(&file);
    file.extend_from_slice(&digest);
    file
}

/// The table of this key that a file holds; `None` when it holds anything else.
pub fn decode(file: &[u8], key: &Key) -> Option<Compiled> {
    let (header, body) = file.split_at_checked(HEADER)?;
    let u32_at = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
    let u64_at = |at: usize| Some(u64::from_le_bytes(*header.get(at..)?.first_chunk()?));
    if !header.starts_with(MAGIC) || u32_at(8)? != VERSION || header.get(56..)? != key.0 {
        return None;
    }
    let (rule_count, row_count) = (u32_at(12)? as usize, u32_at(16)? as usize);
    if rule_count > MAX_RULES || row_count > MAX_ROWS as usize || file.len() > MAX_FILE {
        return None;
    }
    let (words, digest) = body.split_at_checked(8 * (rule_count + row_count))?;
    if digest.len() != DIGEST || Sha256::digest(file.get(..HEADER + words.len())?)[..] != *digest {
        return None;
    }
    let (words, _) = words.as_chunks::<8>();
    let (rules, rows) = words.split_at_checked(rule_count)?;
    let rules: Vec<Rule> = rules.iter().map(|word| Rule::from_raw(u64::from_le_bytes(*word))).collect();
    let rows: Vec<u64> = rows.iter().map(|word| u64::from_le_bytes(*word)).collect();
    let stats = Stats {
        entries: u32_at(20)?,
        broken: u32_at(24)?,
        outside: u32_at(28)?,
        unsupported: u32_at(32)?,
        is_cut: u32_at(36)? != 0,
        uncovered: u64_at(40)?,
    };
    is_sound(&rules, &rows).then_some(Compiled { base: u64_at(48)?, rules, rows, stats })
}

/// Whether the rows are in order and know no rule that is not there.
fn is_sound(rules: &[Rule], rows: &[u64]) -> bool {
    let known = |row: Row| row.rule() == NO_RULE || usize::from(row.rule()) < rules.len();
    rows.iter().all(|row| known(Row::from_raw(*row)))
        && rows.is_sorted_by(|row, next| Row::from_raw(*row).pc() < Row::from_raw(*next).pc())
}

#[cfg(test)]
mod tests {
    use leak_ebpf::frame::{Cfa, Saved};

    use super::*;

    const KEY: Key = Key([7; 32]);

    fn table() -> Compiled {
        let rule = |offset| Rule::new(Cfa::Sp(offset), Saved::AtCfa(-2), Saved::Unknown).expect("it fits");
        Compiled {
            base: 0x40_0000,
            rules: vec![rule(8), rule(-16)],
            rows: vec![Row::new(5, 1).raw(), Row::new(9, NO_RULE).raw(), Row::new(u32::MAX, 0).raw()],
            stats: Stats { entries: 1, broken: 2, outside: 3, unsupported: 4, uncovered: 1 << 40, is_cut: true },
        }
    }

    /// The file, with its digest made right again.
    fn resealed(mut file: Vec<u8>) -> Vec<u8> {
        file.truncate(file.len() - DIGEST);
        let digest = Sha256::digest(&file);
        file.extend_from_slice(&digest);
        file
    }

    #[test]
    fn a_table_comes_back_as_it_was_written() {
        for table in [table(), Compiled::default()] {
            assert_eq!(decode(&encode(&table, &KEY), &KEY), Some(table));
        }
    }

    #[test]
    fn a_file_with_any_bit_changed_cut_off_or_added_is_refused() {
        let file = encode(&table(), &KEY);
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut broken = file.clone();
                broken[at] ^= 1 << bit;
                assert_eq!(decode(&broken, &KEY), None, "byte {at}");
            }
            assert_eq!(decode(&file[..at], &KEY), None, "{at} bytes");
        }
        assert_eq!(decode(&[file.as_slice(), &[0]].concat(), &KEY), None);
        assert_eq!(decode(&file, &Key([8; 32])), None);
    }

    #[test]
    fn a_forged_file_never_yields_rows_that_are_not_sound() {
        let file = encode(&table(), &KEY);
        let forged = |at: usize, bytes: &[u8]| {
            let mut forged = file.clone();
            forged[at..at + bytes.len()].copy_from_slice(bytes);
            decode(&resealed(forged), &KEY)
        };
        assert!(forged(48, &[0xff; 8]).is_some(), "another base is none of its business");
        for count in [0, 1, 4, u32::MAX] {
            assert_eq!(forged(16, &count.to_le_bytes()), None, "{count} rows");
        }
        for row in [Row::new(9, 1), Row::new(8, 2), Row::new(u32::MAX, 1)] {
            assert_eq!(forged(HEADER + 2 * 8, &row.raw().to_le_bytes()), None, "{row:?}");
        }
    }
}
