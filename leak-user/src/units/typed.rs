//! Sizes and times as people type them on a command line.
//!
//! Promises exact readings (no rounding through floating point) and refusals in one sentence that names the text and
//! what to type. Leaves out units nobody types.

use std::time::Duration;

use crate::text::printable;

/// The longest time that can be typed: what is added to a clock must not overflow it.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

const MS: u128 = 1_000_000;
const SECOND: u128 = 1000 * MS;

/// Reads a size in bytes: `4096`, `64K`, `1.5M`, `2GiB`. Fractions of a byte are dropped.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, suffix) = split_unit(text);
    let unit = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" if !number.contains('.') => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1 << 30),
        "t" | "tb" | "tib" => Some(1 << 40),
        _ => None,
    };
    let size = unit.ok_or(Flaw::Malformed).and_then(|unit| exact(number, unit));
    match size.and_then(|size| u64::try_from(size).map_err(|_| Flaw::TooLarge)) {
        Ok(size) => Ok(size),
        Err(flaw) => Err(sentence(
            text,
            match flaw {
                Flaw::Malformed => "is not a size",
                Flaw::TooLarge => "is more bytes than there can be",
            },
            "a number of bytes such as 4096, 64K, 1.5M or 2G",
        )),
    }
}

/// Reads a rate, which is above zero, in bytes a second: `10K/s`, `1M/min`, `1.5G/h`; without a time it is a second.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let wrong = || sentence(text, "is not a rate", "a size and a time such as 10K/s, 1M/min or 1G/h");
    let (size, time) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match time.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    match parse_size(size) {
        Ok(size) if size > 0 => Ok(size as f64 / seconds),
        _ => Err(wrong()),
    }
}

/// Reads a time longer than zero: `500ms`, `30s`, `1.5m`, `2h`, `1d`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const TYPE: &str = "a time such as 500ms, 30s, 5m, 2h or 1d";
    let time = parse_time(text, SECOND, TYPE)?;
    if time.is_zero() {
        return Err(sentence(text, "is no time at all", TYPE));
    }
    Ok(time)
}

/// Reads an age, which may be zero: as [`parse_duration`], but a bare number is milliseconds.
pub fn parse_older(text: &str) -> Result<Duration, String> {
    parse_time(text, MS, "an age such as 0, 500 (milliseconds), 30s, 5m, 2h or 1d")
}

fn parse_time(text: &str, bare: u128, what_to_type: &str) -> Result<Duration, String> {
    let (number, suffix) = split_unit(text);
    let unit = match suffix {
        "" => Some(bare),
        "ms" => Some(MS),
        "s" => Some(SECOND),
        "m" => Some(60 * SECOND),
        "h" => Some(3600 * SECOND),
        "d" => Some(86_400 * SECOND),
        _ => None,
    };
    match unit.ok_or(Flaw::Malformed).and_then(|unit| exact(number, unit)) {
        Ok(nanos) if nanos <= LONGEST.as_nanos() => {
            let (whole, rest) = (nanos / SECOND, nanos % SECOND);
            Ok(Duration::new(whole as u64, rest as u32))
        }
        Err(Flaw::Malformed) => Err(sentence(text, "is not a time", what_to_type)),
        Ok(_) | Err(Flaw::TooLarge) => Err(sentence(text, "is longer than a hundred years", what_to_type)),
    }
}

/// What can be wrong with a typed number.
enum Flaw {
    Malformed,
    TooLarge,
}

fn sentence(text: &str, wrong: &str, what_to_type: &str) -> String {
    let wrong = if text.trim().is_empty() {
        "is empty"
    } else if text.trim_start().starts_with('-') {
        "is negative"
    } else {
        wrong
    };
    format!("\"{}\" {wrong}: type {what_to_type}", printable(text))
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// A decimal number times `unit`, which is below 2^60; what is less than one is dropped.
fn exact(number: &str, unit: u128) -> Result<u128, Flaw> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') {
        return Err(Flaw::Malformed);
    }
    let whole = digits(whole)?.checked_mul(unit).ok_or(Flaw::TooLarge)?;
    // Digits after these are worth less than one, whatever the unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let fraction = digits(fraction)? * unit / 10_u128.pow(fraction.len() as u32);
    whole.checked_add(fraction).ok_or(Flaw::TooLarge)
}

/// The value of ASCII digits, of which there may be none.
fn digits(digits: &str) -> Result<u128, Flaw> {
    if digits.is_empty() {
        return Ok(0);
    }
    digits.parse().map_err(|_| Flaw::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_with_any_usual_suffix() {
        let read = [
            ("0", 0),
            ("4096", 4096),
            ("512B", 512),
            ("64k", 65_536),
            ("1.5M", 1_572_864),
            (".5 KiB", 512),
            ("2gb", 1 << 31),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, value) in read {
            assert_eq!(parse_size(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            " ",
            ".",
            "-1",
            "+1",
            "1.5",
            "1..5K",
            "1.2.3K",
            "K",
            "1e5",
            "nan",
            "0x10",
            "1ib",
            "5 apples",
            "16777216T",
            "18446744073709551616",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert!(parse_size(&"9".repeat(1000)).is_err());
    }

    #[test]
    fn a_refusal_names_the_text_and_what_to_type() {
        let to_type = "type a number of bytes such as 4096, 64K, 1.5M or 2G";
        assert_eq!(parse_size("-1"), Err(format!("\"-1\" is negative: {to_type}")));
        assert_eq!(parse_size("x\x1b"), Err(format!("\"x\\x1b\" is not a size: {to_type}")));
        assert_eq!(
            parse_duration("0").unwrap_err(),
            "\"0\" is no time at all: type a time such as 500ms, 30s, 5m, 2h or 1d"
        );
    }

    #[test]
    fn a_rate_is_a_size_in_a_time() {
        assert_eq!(parse_rate("1K"), Ok(1024.0));
        assert_eq!(parse_rate("60K/min"), Ok(1024.0));
        assert_eq!(parse_rate("1M/h"), Ok(f64::from(1 << 20) / 3600.0));
        for text in ["", "/s", "0/s", "1K/", "1K/year", "-1K/s", "K/s"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_read_in_its_unit_and_bare_in_seconds() {
        let read = [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1.5h", 5_400_000),
            ("1d", 86_400_000),
            ("2", 2000),
            ("0.25", 250),
        ];
        for (text, ms) in read {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn an_age_is_bare_in_milliseconds_and_may_be_zero() {
        assert_eq!(parse_older("250"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_older("0"), Ok(Duration::ZERO));
        assert_eq!(parse_older("2s"), Ok(Duration::from_secs(2)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "0",
            "0s",
            "0.0000000001s",
            "-5s",
            "inf",
            "nan",
            "1e3",
            "5y",
            "s",
            "1 2s",
            "36501d",
            "99999999999999999999999999999999999999999d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
