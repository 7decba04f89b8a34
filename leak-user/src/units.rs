//! Figures with units: as people read them in a report, and as they type them on a command line.
//!
//! Promises one spelling a quantity, 1024-based for bytes, and readers that are exact (no rounding through floating
//! point) and refuse what they do not understand in one sentence. Leaves out locales, and units nobody types.

mod typed;

pub use typed::{parse_duration, parse_older, parse_rate, parse_size};

/// What stands for a figure that is not a number.
const UNKNOWN: &str = "n/a";

/// Bytes: `512 B`, `1.5 KiB`, `12.3 MiB`.
pub fn bytes(bytes: u64) -> String {
    binary(bytes as f64)
}

/// A trend in bytes a second, with its sign: `+1.2 MiB/s`, `-3.0 KiB/s`, `0 B/s`.
pub fn rate(bytes_per_s: f64) -> String {
    if !bytes_per_s.is_finite() {
        return UNKNOWN.to_owned();
    }
    let sign = match bytes_per_s.round() {
        r if r > 0.0 => "+",
        r if r < 0.0 => "-",
        _ => "",
    };
    format!("{sign}{}/s", binary(bytes_per_s.abs()))
}

fn binary(bytes: f64) -> String {
    if bytes.round() < 1024.0 {
        return format!("{:.0} B", bytes.round());
    }
    let mut value = bytes / 1024.0;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        // As printed, or 1 MiB less a byte would read 1024.0 KiB.
        if (value * 10.0).round() < 10240.0 {
            return format!("{value:.1} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} EiB")
}

/// A time in seconds, by its two leading units: `0.4 s`, `12 s`, `3 m 05 s`, `2 h 10 m`, `3 d 4 h`.
pub fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() {
        return UNKNOWN.to_owned();
    }
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        _ if tenths == 0 => "0 s".to_owned(),
        _ if tenths < 100 => format!("{}.{} s", tenths / 10, tenths % 10),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} m {:02} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {:02} m", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

/// A number of things, in groups of three digits: `1,234,567`.
pub fn count(things: u64) -> String {
    let digits = things.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of things with their name, of which `one` is the singular: `1 block`, `1,234 blocks`.
pub fn plural(things: u64, one: &str) -> String {
    let ending = match one {
        _ if things == 1 => "",
        sibilant if sibilant.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {one}{ending}", count(things))
}

/// A share already in per cent: `0 %`, `<0.1 %`, `0.4 %`, `8 %`, `97 %`.
pub fn percent(per_cent: f64) -> String {
    let tenths = (per_cent * 10.0).round();
    match per_cent {
        p if !p.is_finite() => UNKNOWN.to_owned(),
        p if p > 0.0 && tenths < 1.0 => "<0.1 %".to_owned(),
        p if tenths.abs() < 100.0 && tenths % 10.0 != 0.0 => format!("{p:.1} %"),
        // Adding zero turns -0 into 0.
        p => format!("{:.0} %", p.round() + 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_unit_that_keeps_them_short() {
        let said = [
            (0, "0 B"),
            (512, "512 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (12_897_485, "12.3 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (value, text) in said {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn bytes_just_below_a_unit_are_rounded_into_it() {
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(rate(1023.9), "+1.0 KiB/s");
    }

    #[test]
    fn a_rate_below_zero_has_its_sign() {
        assert_eq!(rate(-3072.0), "-3.0 KiB/s");
        assert_eq!(rate(1_258_291.2), "+1.2 MiB/s");
    }

    #[test]
    fn a_rate_that_rounds_to_nothing_has_no_sign() {
        for nothing in [0.0, -0.0, 0.4, -0.4] {
            assert_eq!(rate(nothing), "0 B/s");
        }
    }

    #[test]
    fn figures_that_are_no_numbers_are_said_to_be_none() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!((rate(value), seconds(value), percent(value)), ("n/a".into(), "n/a".into(), "n/a".into()));
        }
    }

    #[test]
    fn a_time_shows_its_two_leading_units() {
        let said = [
            (0.0, "0 s"),
            (-1.0, "0 s"),
            (0.4, "0.4 s"),
            (9.96, "10 s"),
            (12.0, "12 s"),
            (59.7, "1 m 00 s"),
            (185.0, "3 m 05 s"),
            (3599.9, "1 h 00 m"),
            (7800.0, "2 h 10 m"),
            (273_600.0, "3 d 4 h"),
        ];
        for (value, text) in said {
            assert_eq!(seconds(value), text);
        }
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        let said = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (value, text) in said {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn one_thing_is_singular_and_none_is_not() {
        assert_eq!([0, 1, 1234].map(|n| plural(n, "block")), ["0 blocks", "1 block", "1,234 blocks"]);
    }

    #[test]
    fn a_share_shows_a_tenth_only_where_it_matters() {
        let said = [
            (0.0, "0 %"),
            (-0.0, "0 %"),
            (0.01, "<0.1 %"),
            (0.42, "0.4 %"),
            (8.0, "8 %"),
            (9.97, "10 %"),
            (97.3, "97 %"),
        ];
        for (value, text) in said {
            assert_eq!(percent(value), text);
        }
    }
}
