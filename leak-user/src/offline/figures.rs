//! Figures that only pages of sessions have: differences, shares and bars.

use crate::units::{bytes, percent};

/// A difference of bytes with its sign: `+1.2 MiB`, `-3.0 KiB`, `0 B`.
pub fn signed(difference: i64) -> String {
    let sign = match difference {
        1.. => "+",
        0 => "",
        _ => "-",
    };
    format!("{sign}{}", bytes(difference.unsigned_abs()))
}

/// What part a figure is of a whole, as `units::percent` says it; `-` of nothing.
pub fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { percent(part as f64 * 100.0 / whole as f64) }
}

/// A bar of at most `width` columns, in eighths of one; what is not nothing is seen.
pub fn bar(part: u64, most: u64, width: usize) -> String {
    if part == 0 || most == 0 {
        return String::new();
    }
    let eighths = (part.min(most) as f64 / most as f64 * width as f64 * 8.0).round().max(1.0) as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::columns;

    #[test]
    fn a_difference_has_its_sign_and_none_has_not() {
        assert_eq!([1536, -1536, 0, i64::MIN].map(signed), ["+1.5 KiB", "-1.5 KiB", "0 B", "-8.0 EiB"]);
    }

    #[test]
    fn a_bar_is_as_long_as_its_share_and_never_longer() {
        assert_eq!(bar(1, 2, 4), "██");
        assert_eq!(bar(5, 16, 4), "█▎");
        assert_eq!(bar(1, u64::MAX, 4), "▏");
        assert_eq!((bar(0, 7, 4), bar(0, 0, 4)), (String::new(), String::new()));
        assert_eq!(columns(&bar(9, 7, 4)), 4);
    }
}
