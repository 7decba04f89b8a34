//! Which line an instruction is of, from a code object's table: pure reading of bytes.
//!
//! A table is the target's, and may be anything: what does not fit together is no line.

use super::super::layout::LineFormat;

/// The line of the instruction at this byte offset, of code whose first line is this.
pub fn line(format: LineFormat, table: &[u8], first: i64, offset: u64) -> Option<u32> {
    let line = match format {
        LineFormat::Increments => by_increments(table, first, offset),
        LineFormat::Ranges => by_ranges(table, first, offset)?,
        LineFormat::Locations => by_locations(table, first, offset)?,
    };
    u32::try_from(line).ok().filter(|line| *line != 0)
}

/// Pairs: so many bytes on, the line changes by so much.
fn by_increments(table: &[u8], first: i64, offset: u64) -> i64 {
    let (mut at, mut line) = (0, first);
    for [bytes, lines] in table.as_chunks().0 {
        at += u64::from(*bytes);
        if at > offset {
            break;
        }
        line += i64::from(*lines as i8);
    }
    line
}

/// Pairs: so many bytes are of the line that is so much further, or of none.
fn by_ranges(table: &[u8], first: i64, offset: u64) -> Option<i64> {
    const NO_LINE: i8 = -128;
    let (mut at, mut line) = (0, first);
    for [bytes, lines] in table.as_chunks().0 {
        let lines = *lines as i8;
        if lines != NO_LINE {
            line += i64::from(lines);
        }
        at += u64::from(*bytes);
        if at > offset {
            return (lines != NO_LINE).then_some(line);
        }
    }
    None
}

/// Entries of several bytes, the first of which has its highest bit set: so many units of code are at a location.
fn by_locations(table: &[u8], first: i64, offset: u64) -> Option<i64> {
    const UNIT: u64 = 2;
    let (mut at, mut line) = (0, first);
    let mut rest = table;
    while let Some((head, behind)) = rest.split_first() {
        let tail = behind.iter().take_while(|byte| **byte < 0x80).count();
        let (body, next) = behind.split_at(tail);
        let code = head >> 3 & 15;
        match code {
            // It says by how much the line changes.
            13 | 14 => line += signed(body)?,
            10..=12 => line += i64::from(code) - 10,
            _ => {}
        }
        at += (u64::from(head & 7) + 1) * UNIT;
        if at > offset {
            return (code != 15).then_some(line);
        }
        rest = next;
    }
    None
}

/// A number in pieces of six bits, the lowest first; its own lowest bit is the sign.
fn signed(bytes: &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for (place, byte) in bytes.iter().enumerate().take(8) {
        number |= u64::from(byte & 0x3f) << (place * 6);
        if byte & 0x40 == 0 {
            let size = (number >> 1) as i64;
            return Some(if number & 1 != 0 { -size } else { size });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(format: LineFormat, table: &[u8], offsets: &[u64]) -> Vec<Option<u32>> {
        offsets.iter().map(|offset| line(format, table, 10, *offset)).collect()
    }

    #[test]
    fn increments_hold_from_their_offset_on_and_may_go_back() {
        // 10 from 0, 11 from 4, 13 from 10, 12 from 12.
        let table = [4, 1, 6, 2, 2, 0xff];
        let found = lines(LineFormat::Increments, &table, &[0, 2, 4, 8, 10, 12, 900]);
        assert_eq!(found, [10, 10, 11, 11, 13, 12, 12].map(Some));
    }

    #[test]
    fn ranges_end_and_may_have_no_line() {
        // 4 bytes of 10, 2 of none, 6 of 12.
        let table = [4, 0, 2, 0x80, 6, 2];
        let found = lines(LineFormat::Ranges, &table, &[0, 3, 4, 6, 11, 12]);
        assert_eq!(found, [Some(10), Some(10), None, Some(12), Some(12), None]);
    }

    #[test]
    fn locations_have_a_form_of_each_length() {
        let entry = |code: u8, units: u8| 0x80 | code << 3 | (units - 1);
        let table = [
            // One unit of the first line, in the short form.
            entry(0, 1),
            0x11,
            // Two, a line on.
            entry(11, 2),
            3,
            4,
            // One with no columns, 40 lines on: 80 in two pieces.
            entry(13, 1),
            0x50,
            1,
            // One with everything, 41 lines back.
            entry(14, 1),
            0x53,
            1,
            0,
            1,
            1,
            // One of no line.
            entry(15, 1),
        ];
        let found = lines(LineFormat::Locations, &table, &[0, 2, 4, 6, 8, 10, 12]);
        assert_eq!(found, [Some(10), Some(11), Some(11), Some(51), Some(10), None, None]);
    }

    #[test]
    fn a_table_of_anything_gives_no_line_or_some() {
        for format in [LineFormat::Increments, LineFormat::Ranges, LineFormat::Locations] {
            for seed in 0..200_u32 {
                let bytes =
                    (0..64_u32).map(|place| (seed.wrapping_mul(2_654_435_761) >> (place % 24)) as u8 ^ place as u8);
                let table: Vec<u8> = bytes.collect();
                let _ = line(format, &table, i64::from(seed), u64::from(seed));
            }
        }
        assert_eq!(line(LineFormat::Locations, &[0xe8, 0x7f, 0x7f], 10, 0), None);
    }
}
