//! Text from outside, made fit for a terminal.
//!
//! Promises that nothing a target chose (its name, its paths, its symbols) can move the cursor, change colours, hide or
//! reorder what stands beside it, or fill the screen. Leaves out what only looks alike: letters of other scripts,
//! right-to-left letters and combining marks are shown as they are, and so is a backslash the target wrote itself.

use std::borrow::Cow;

/// The most characters that [`printable`] gives back, the mark of what was left out included.
pub const LONGEST: usize = 512;

/// Stands for what was left out.
const CUT: char = '…';

/// Whether a terminal may act on this character instead of showing it, or show nothing: controls, line and paragraph
/// separators, bidirectional controls and all that Unicode calls default-ignorable.
pub const fn is_hostile(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with every hostile character written out (`\x1b`, `\u{202e}`), at most [`LONGEST`] characters of it: of a
/// longer one both ends are kept, for a C++ name has its namespace in front and its method at the back.
pub fn printable(text: &str) -> Cow<'_, str> {
    // No more than this many bytes can pass unchanged, so a huge name is not read whole to find that out.
    if text.len() <= LONGEST && !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let (whole, all) = escaped_up_to(text.chars(), LONGEST);
    if all {
        return Cow::Owned(whole.concat());
    }
    let (head, _) = escaped_up_to(text.chars(), LONGEST / 2);
    let (mut tail, _) = escaped_up_to(text.chars().rev(), LONGEST - LONGEST / 2 - 1);
    tail.reverse();
    Cow::Owned(format!("{}{CUT}{}", head.concat(), tail.concat()))
}

/// Characters written out one by one while they fit into `room` characters, and whether they all did.
fn escaped_up_to(text: impl Iterator<Item = char>, room: usize) -> (Vec<String>, bool) {
    let mut pieces = Vec::new();
    let mut used = 0;
    for c in text {
        let piece = escaped(c);
        used += piece.chars().count();
        if used > room {
            return (pieces, false);
        }
        pieces.push(piece);
    }
    (pieces, true)
}

fn escaped(c: char) -> String {
    match u32::from(c) {
        _ if !is_hostile(c) => c.to_string(),
        code @ ..=0xff => format!("\\x{code:02x}"),
        code => format!("\\u{{{code:x}}}"),
    }
}

/// Columns the text takes on a terminal. Never too few for what [`printable`] gives: where terminals differ it counts
/// the wider, and a combining mark as one.
pub fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

const fn columns_of(c: char) -> usize {
    let wide = matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{231a}'..='\u{23ff}' | '\u{25fd}'..='\u{27bf}' | '\u{2b1b}'..='\u{2b55}'
        | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe10}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{16fe0}'..='\u{18d8f}' | '\u{1aff0}'..='\u{1b2ff}' | '\u{1d300}'..='\u{1d37f}'
        | '\u{1f000}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}');
    if wide { 2 } else { 1 }
}

/// The text in at most `width` columns: if it has more, its middle gives way to `…`.
pub fn shorten_middle(text: &str, width: usize) -> Cow<'_, str> {
    if columns(text) <= width {
        return Cow::Borrowed(text);
    }
    let Some(room) = width.checked_sub(1) else {
        return Cow::Borrowed("");
    };
    let head = bytes_within(text.chars(), room / 2);
    let tail = bytes_within(text.chars().rev(), room - room / 2);
    Cow::Owned(format!("{}{CUT}{}", &text[..head], &text[text.len() - tail..]))
}

/// Bytes of the characters that fit into `room` columns.
fn bytes_within(text: impl Iterator<Item = char>, mut room: usize) -> usize {
    text.map_while(|c| {
        room = room.checked_sub(columns_of(c))?;
        Some(c.len_utf8())
    })
    .sum()
}

/// The words in lines of at most `width` columns. A number keeps what it counts, and a word too long is shortened.
pub fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for phrase in phrases(text) {
        let phrase = shorten_middle(&phrase, width);
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(&phrase),
            Some(line) if columns(line) + 1 + columns(&phrase) <= width => {
                line.push(' ');
                line.push_str(&phrase);
            }
            _ => lines.push(phrase.into_owned()),
        }
    }
    lines
}

/// The words of a text, those that end in a digit together with the next.
fn phrases(text: &str) -> Vec<String> {
    let mut phrases: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match phrases.last_mut() {
            Some(last) if last.ends_with(|c: char| c.is_ascii_digit()) => {
                last.push(' ');
                last.push_str(word);
            }
            _ => phrases.push(word.to_owned()),
        }
    }
    phrases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_honest_name_is_not_touched() {
        for name in ["redis-server", "naïve café", "名前", "std::vec::Vec<T>", "a\\b", ""] {
            assert!(matches!(printable(name), Cow::Borrowed(same) if same == name));
        }
    }

    #[test]
    fn a_hostile_name_is_written_out() {
        assert_eq!(printable("\x1b[2Jx\r\n\0"), "\\x1b[2Jx\\x0d\\x0a\\x00");
        assert_eq!(printable("\u{9b}31m\x7f"), "\\x9b31m\\x7f");
        assert_eq!(printable("a\u{202e}b\u{2066}c"), "a\\u{202e}b\\u{2066}c");
        assert_eq!(printable("\u{200b}\u{feff}\u{2028}"), "\\u{200b}\\u{feff}\\u{2028}");
        assert_eq!(printable("\u{e0041}"), "\\u{e0041}");
    }

    #[test]
    fn every_character_comes_out_harmless_and_is_counted_at_least_once() {
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            let shown = printable(&text);
            assert!(!shown.contains(|c: char| c.is_control() || is_hostile(c)), "{c:?}");
            assert!(columns(&shown) >= 1);
        }
    }

    #[test]
    fn a_long_name_keeps_both_ends_and_the_bound() {
        let long = format!("front{}back", "x".repeat(100_000));
        let shown = printable(&long);
        assert_eq!(shown.chars().count(), LONGEST);
        assert!(shown.starts_with("front") && shown.ends_with("back") && shown.contains(CUT));
    }

    #[test]
    fn the_bound_counts_what_is_written_out_and_never_cuts_an_escape() {
        let shown = printable(&"\x1b".repeat(LONGEST)).into_owned();
        assert!(shown.chars().count() <= LONGEST);
        assert_eq!(shown.replace("\\x1b", ""), "…");
        assert_eq!(printable(&"é".repeat(LONGEST)).chars().count(), LONGEST);
        assert!(!printable(&"é".repeat(LONGEST)).contains(CUT));
    }

    #[test]
    fn a_shortened_text_has_the_width_asked_for() {
        assert_eq!(shorten_middle("abcdefghij", 10), "abcdefghij");
        assert_eq!(shorten_middle("abcdefghij", 6), "ab…hij");
        assert_eq!(shorten_middle("abcdefghij", 1), "…");
        assert_eq!(shorten_middle("abcdefghij", 0), "");
    }

    #[test]
    fn wide_letters_count_as_two_columns() {
        assert_eq!(columns("名前"), 4);
        for width in 0..8 {
            assert!(columns(&shorten_middle("名前名前名前", width)) <= width);
        }
    }

    #[test]
    fn text_is_folded_between_words_and_a_number_keeps_its_unit() {
        assert_eq!(fold("RSS 45.2 MiB at attach", 12), ["RSS 45.2 MiB", "at attach"]);
        assert_eq!(fold("RSS 45.2 MiB at attach", 10), ["RSS", "45.2 MiB", "at attach"]);
        assert_eq!(fold("a verylongword b", 8), ["a", "ver…word", "b"]);
        assert_eq!(fold("", 8), [""]);
    }
}
