//! Numbers as bytes: seven bits a byte, the lowest first.

use anyhow::{Context, Result, ensure};

/// Appends a number.
pub fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a difference: small ones of either sign are short.
pub fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put(bytes, ((number << 1) ^ (number >> 63)) as u64);
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub struct Rest<'a>(pub &'a [u8]);

impl Rest<'_> {
    /// The next byte.
    pub fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.0.split_first().context("it ends too early")?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next number.
    #[inline]
    pub fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        anyhow::bail!("a number in it is too long")
    }

    /// The next difference.
    #[inline]
    pub fn signed(&mut self) -> Result<i64> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// A number of things of which each takes a byte at least, and which are no more than `most`.
    pub fn count(&mut self, most: usize) -> Result<usize> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        ensure!(count <= most && count <= self.0.len(), "it claims more than it holds");
        Ok(count)
    }
}

/// How much smaller for how long: the usual.
const LEVEL: i32 = 3;

/// Compresses.
pub fn pack(bytes: &[u8]) -> Result<Vec<u8>> {
    zstd::bulk::compress(bytes, LEVEL).context("it cannot be compressed")
}

/// Nothing that leaktrace packs is larger.
const MOST: usize = 1 << 28;

/// Undoes [`pack`].
pub fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let bytes = zstd::bulk::Decompressor::upper_bound(packed).context("it does not say how large it is")?;
    ensure!(bytes <= MOST, "it claims to be larger than anything that leaktrace writes");
    zstd::bulk::decompress(packed, bytes).context("it cannot be decompressed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were() {
        let numbers = [0, 1, 127, 128, 300, 1 << 35, u64::MAX];
        let mut bytes = Vec::new();
        for number in numbers {
            put(&mut bytes, number);
        }
        for number in numbers {
            put_signed(&mut bytes, number as i64);
        }
        let mut rest = Rest(&bytes);
        assert!(numbers.iter().all(|number| rest.number().unwrap() == *number));
        assert!(numbers.iter().all(|number| rest.signed().unwrap() == *number as i64));
        assert!(rest.byte().is_err());
    }

    #[test]
    fn what_is_packed_comes_back_and_nonsense_is_refused() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| (n / 100) as u8).collect();
        let packed = pack(&bytes).unwrap();
        assert!(packed.len() < 1000);
        assert_eq!(unpack(&packed).unwrap(), bytes);
        assert!(unpack(&packed[..packed.len() / 2]).is_err());
        assert!(unpack(b"no such thing").is_err());
    }
}
