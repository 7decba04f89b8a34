//! The figures of all stacks at a snapshot, as what changed since the one before: column by column, so that what is alike
//! lies together, and compressed.
//!
//! Stacks are known by their numbers in the session. What is read is believed no more than a stranger's file deserves:
//! it can give wrong figures, and no more.

use anyhow::{Result, ensure};

use super::{
    Point,
    bytes::{Rest, pack, put, put_signed, unpack},
};
use crate::ledger::{AGE_PARTS, Ages};

/// Columns of a [`Point`].
const COLUMNS: usize = 7;

fn columns(point: &Point) -> [u64; COLUMNS] {
    let Point {
        outstanding_bytes,
        outstanding_count,
        unknown_bytes,
        unknown_count,
        freed_bytes,
        freed_count,
        bytes_stderr,
    } = *point;
    [outstanding_bytes, outstanding_count, unknown_bytes, unknown_count, freed_bytes, freed_count, bytes_stderr]
}

fn column(point: &mut Point, index: usize) -> &mut u64 {
    match index {
        0 => &mut point.outstanding_bytes,
        1 => &mut point.outstanding_count,
        2 => &mut point.unknown_bytes,
        3 => &mut point.unknown_count,
        4 => &mut point.freed_bytes,
        5 => &mut point.freed_count,
        _ => &mut point.bytes_stderr,
    }
}

/// What makes `before` into `now`; both by the stacks' numbers, and `now` is at least as long.
pub fn encode_points(before: &[Point], now: &[Point]) -> Result<Vec<u8>> {
    let old = |number: usize| before.get(number).copied().unwrap_or_default();
    let changed: Vec<usize> = (0..now.len()).filter(|number| now[*number] != old(*number)).collect();
    let mut bytes = Vec::with_capacity(changed.len() * 8 + 8);
    put_numbers(&mut bytes, &changed);
    for index in 0..COLUMNS {
        for number in &changed {
            let (then, now) = (columns(&old(*number))[index], columns(&now[*number])[index]);
            put_signed(&mut bytes, now.wrapping_sub(then) as i64);
        }
    }
    pack(&bytes)
}

/// Makes `points`, as many as there are stacks, what [`encode_points`] was given as `now`.
pub fn apply_points(packed: &[u8], points: &mut [Point]) -> Result<()> {
    let bytes = unpack(packed)?;
    let mut rest = Rest(&bytes);
    let changed = numbers(&mut rest, points.len())?;
    for index in 0..COLUMNS {
        for number in &changed {
            let value = column(&mut points[*number], index);
            *value = value.wrapping_add(rest.signed()? as u64);
        }
    }
    ensure!(rest.0.is_empty(), "it goes on after its end");
    Ok(())
}

/// How old a stack's blocks are, and how old they became.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    /// What is held, by age, in parts of 255: figures of a picture, at a byte each.
    pub shares: [u8; AGE_PARTS],
    /// Blocks freed by the age that they reached.
    pub lifetimes: Ages,
    /// When the oldest block was allocated that is held, in tenths of a second since tracing began; 0 if before.
    pub oldest: u64,
}

impl Lives {
    /// What is held, by age, as parts of 255.
    pub fn shares_of(ages: &Ages) -> [u8; AGE_PARTS] {
        let total = ages.total();
        ages.0.map(|part| if total == 0 { 0 } else { (part as f64 / total as f64 * 255.0).round() as u8 })
    }

    /// The same of so many bytes.
    pub fn ages(&self, bytes: u64) -> Ages {
        let total: u64 = self.shares.iter().map(|share| u64::from(*share)).sum();
        Ages(
            self.shares.map(|share| {
                if total == 0 { 0 } else { (bytes as f64 * f64::from(share) / total as f64).round() as u64 }
            }),
        )
    }
}

/// What makes `before` into `now`, as for points.
pub fn encode_lives(before: &[Lives], now: &[Lives]) -> Result<Vec<u8>> {
    let old = |number: usize| before.get(number).copied().unwrap_or_default();
    let changed: Vec<usize> = (0..now.len()).filter(|number| now[*number] != old(*number)).collect();
    let mut bytes = Vec::with_capacity(changed.len() * 32 + 8);
    put_numbers(&mut bytes, &changed);
    for part in 0..AGE_PARTS {
        bytes.extend(changed.iter().map(|number| now[*number].shares[part].wrapping_sub(old(*number).shares[part])));
    }
    for part in 0..AGE_PARTS {
        for number in &changed {
            let (then, now) = (old(*number).lifetimes.0[part], now[*number].lifetimes.0[part]);
            put_signed(&mut bytes, now.wrapping_sub(then) as i64);
        }
    }
    for number in &changed {
        put_signed(&mut bytes, now[*number].oldest.wrapping_sub(old(*number).oldest) as i64);
    }
    pack(&bytes)
}

/// Makes `lives`, as many as there are stacks, what [`encode_lives`] was given as `now`.
pub fn apply_lives(packed: &[u8], lives: &mut [Lives]) -> Result<()> {
    let bytes = unpack(packed)?;
    let mut rest = Rest(&bytes);
    let changed = numbers(&mut rest, lives.len())?;
    for part in 0..AGE_PARTS {
        for number in &changed {
            let share = &mut lives[*number].shares[part];
            *share = share.wrapping_add(rest.byte()?);
        }
    }
    for part in 0..AGE_PARTS {
        for number in &changed {
            let count = &mut lives[*number].lifetimes.0[part];
            *count = count.wrapping_add(rest.signed()? as u64);
        }
    }
    for number in &changed {
        let oldest = &mut lives[*number].oldest;
        *oldest = oldest.wrapping_add(rest.signed()? as u64);
    }
    ensure!(rest.0.is_empty(), "it goes on after its end");
    Ok(())
}

/// Numbers in ascending order, as the gaps between them.
fn put_numbers(bytes: &mut Vec<u8>, numbers: &[usize]) {
    put(bytes, numbers.len() as u64);
    let mut next = 0;
    for number in numbers {
        put(bytes, (number - next) as u64);
        next = number + 1;
    }
}

/// The same, all below `end`.
fn numbers(rest: &mut Rest<'_>, end: usize) -> Result<Vec<usize>> {
    let count = rest.count(end)?;
    let mut next = 0_usize;
    (0..count)
        .map(|_| {
            let number = next.saturating_add(usize::try_from(rest.number()?).unwrap_or(usize::MAX));
            ensure!(number < end, "it has figures of a stack that it does not have");
            next = number + 1;
            Ok(number)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that repeat from run to run.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn points_come_back_as_they_were_snapshot_after_snapshot() {
        let (mut state, mut before, mut read) = (1, Vec::new(), Vec::new());
        for stacks in [0, 1, 50, 50, 200] {
            let mut now: Vec<Point> = before.clone();
            now.resize(stacks.max(before.len()), Point::default());
            for point in &mut now {
                if random(&mut state).is_multiple_of(3) {
                    point.outstanding_bytes = random(&mut state);
                    point.freed_count = random(&mut state) << 20;
                    point.unknown_bytes = u64::MAX - random(&mut state);
                }
            }
            read.resize(now.len(), Point::default());
            apply_points(&encode_points(&before, &now).unwrap(), &mut read).unwrap();
            assert_eq!(read, now);
            before = now;
        }
    }

    #[test]
    fn lives_come_back_as_they_were() {
        let (mut state, mut before, mut read) = (1, Vec::new(), vec![Lives::default(); 100]);
        for _ in 0..5 {
            let now: Vec<Lives> = (0..100)
                .map(|_| Lives {
                    shares: [0; AGE_PARTS].map(|_: u8| random(&mut state) as u8),
                    lifetimes: Ages([0; AGE_PARTS].map(|_: u64| random(&mut state))),
                    oldest: random(&mut state),
                })
                .collect();
            apply_lives(&encode_lives(&before, &now).unwrap(), &mut read).unwrap();
            assert_eq!(read, now);
            before = now;
        }
    }

    #[test]
    fn shares_give_the_ages_back_to_within_a_byte_of_precision() {
        let mut ages = Ages::default();
        (ages.0[0], ages.0[5], ages.0[13]) = (1000, 3000, 96_000);
        let lives = Lives { shares: Lives::shares_of(&ages), ..Lives::default() };
        let back = lives.ages(100_000);
        assert!(back.0.iter().zip(ages.0).all(|(back, then)| back.abs_diff(then) < 500), "{back:?}");
        assert_eq!(Lives::default().ages(5), Ages::default());
    }

    #[test]
    fn bytes_of_any_kind_are_refused_or_read_but_never_end_the_program() {
        let mut state = 3;
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length).map(|_| random(&mut state) as u8).collect();
            for packed in [pack(&bytes).unwrap(), bytes] {
                let _ = apply_points(&packed, &mut [Point::default(); 9]);
                let _ = apply_lives(&packed, &mut [Lives::default(); 9]);
            }
        }
    }
}
