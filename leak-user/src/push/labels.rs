//! What a server is to find a profile by: names and values.
//!
//! Pyroscope takes them as a text, in which commas and braces end a value and nothing is quoted. So what a target calls
//! itself loses those, and every other letter that acts on what shows it; and what a person typed is refused.

use std::{collections::BTreeMap, fs};

use anyhow::{Result, bail, ensure};

use crate::text::{is_hostile, printable};

/// Letters of a value.
const LONGEST: usize = 128;

/// Letters of a name.
const LONGEST_NAME: usize = 64;

/// Names and values, in the order of names.
pub type Labels = BTreeMap<String, String>;

/// `NAME=VALUE`, as a person types it.
pub fn parse(text: &str) -> Result<(String, String)> {
    let Some((name, value)) = text.split_once('=') else {
        bail!("\"{}\" is no label; give NAME=VALUE", printable(text));
    };
    let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    let is_plain = name.starts_with(is_first) && name.chars().all(|letter| is_first(letter) || letter.is_ascii_digit());
    ensure!(
        is_plain && name.len() <= LONGEST_NAME && !name.starts_with("__"),
        "\"{}\" is no name for a label; give up to {LONGEST_NAME} letters, digits and _, not two of these in front",
        printable(name)
    );
    ensure!(
        !value.is_empty() && inert(value) == value,
        "the value of the label {name} is empty, or has more than {LONGEST} letters, commas, braces or control letters; \
         give a plainer one"
    );
    Ok((name.to_owned(), value.to_owned()))
}

/// The labels of a program's profile: its name, this machine's, and what a person gave, which goes before.
pub fn of_program(comm: &str, given: &[(String, String)]) -> Labels {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let known = [("comm", comm), ("host", &host)].map(|(name, value)| (name.to_owned(), inert(value)));
    let known = known.into_iter().filter(|(_, value)| !value.is_empty());
    known.chain(given.iter().cloned()).collect()
}

/// The value as every server takes it and every page can show it.
fn inert(value: &str) -> String {
    let plain = |letter: char| if is_hostile(letter) || "{},".contains(letter) { '_' } else { letter };
    value.trim().chars().take(LONGEST).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_makes_no_other_label_and_has_an_end() {
        let labels = of_program("x,host=evil}\n\x1b[2J\u{202e}", &[]);
        assert_eq!(labels["comm"], "x_host=evil___[2J_");
        assert_ne!(labels["host"], "evil");
        assert_eq!(of_program(&"é".repeat(1 << 20), &[])["comm"].chars().count(), LONGEST);
    }

    #[test]
    fn what_a_person_gives_goes_before_what_is_known() {
        let labels = of_program("redis", &[parse("host=web-3").unwrap(), parse("env=prod").unwrap()]);
        assert_eq!(
            (labels["host"].as_str(), labels["env"].as_str(), labels["comm"].as_str()),
            ("web-3", "prod", "redis")
        );
    }

    #[test]
    fn a_label_that_no_server_takes_is_refused() {
        for text in ["x", "=1", "1x=1", "a-b=1", "__name__=1", "a=", "a=b,c=d", "a=b}", "a=\x1b[2J", "a b=1"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(!error.contains(is_hostile), "{error}");
        }
        assert_eq!(parse("a=b=c").unwrap(), ("a".to_owned(), "b=c".to_owned()));
    }
}
