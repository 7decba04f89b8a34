//! A profile as the spool keeps it: one file that says what it is, and whether it is whole.
//!
//! Two lines of text, then the profile: the first line names the form and has the checksum of all that follows, the second
//! says in JSON what the profile is of and for whom it waits.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::profile::{Head, Profile};

/// The form that this build writes.
const FORM: &str = "leaktrace.push/1";

/// The second line.
#[derive(Serialize, Deserialize)]
struct Second {
    /// For people: the name of the file says for whom it is.
    target: String,
    #[serde(flatten)]
    head: Head,
}

/// The bytes of a file with this profile.
pub fn encode(profile: &Profile, target: &str) -> Result<Vec<u8>> {
    let second = Second { target: target.to_owned(), head: profile.head.clone() };
    let mut rest = serde_json::to_vec(&second)?;
    rest.push(b'\n');
    rest.extend_from_slice(&profile.pprof);
    let mut all = format!("{FORM} {:08x}\n", crc32fast::hash(&rest)).into_bytes();
    all.append(&mut rest);
    Ok(all)
}

/// The profile in a file with these bytes, if it is whole.
pub fn decode(bytes: &[u8]) -> Result<Profile> {
    let (first, rest) = split_line(bytes).context("it has no first line")?;
    let first = str::from_utf8(first).context("its first line is no text")?;
    let sum = first.strip_prefix(FORM).context("this leaktrace does not know its form")?;
    ensure!(sum.trim() == format!("{:08x}", crc32fast::hash(rest)), "its checksum is wrong");
    let (second, pprof) = split_line(rest).context("it has no second line")?;
    let second: Second = serde_json::from_slice(second).context("its second line is not what it should be")?;
    Ok(Profile { head: second.head, pprof: pprof.to_vec() })
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A profile that tells itself apart by a number.
    pub fn profile(number: u64) -> Profile {
        let labels = [("comm".to_owned(), "redis\nserver".to_owned())].into();
        Profile { head: Head { from: number, until: number + 1, labels }, pprof: b"\x1f\x8b\nnot text\xff".to_vec() }
    }

    #[test]
    fn what_is_kept_comes_back() {
        let bytes = encode(&profile(7), "http://h/ingest").unwrap();
        assert_eq!(decode(&bytes).unwrap(), profile(7));
    }

    #[test]
    fn a_changed_or_missing_byte_is_found() {
        let bytes = encode(&profile(7), "http://h/ingest").unwrap();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x11;
            assert!(decode(&changed).is_err(), "{place}");
            assert!(decode(&bytes[..place]).is_err(), "{place}");
        }
    }
}
