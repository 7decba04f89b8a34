//! A chain of calls in one line.

use crate::text::{columns, shorten_middle};

/// Which way a chain runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From callers to those that they call.
    Inwards,
    /// From those that are called to their callers.
    Outwards,
}

/// The names in one line of at most `width` columns. Where they do not fit, both ends stay, of the inner end the more, and
/// the number of those left out stands between them.
pub fn chain(names: &[String], direction: Direction, width: usize) -> String {
    let arrow = match direction {
        Direction::Inwards => " → ",
        Direction::Outwards => " ← ",
    };
    // A single name must not take the place of all others.
    let most = if names.len() > 1 { (width / 2).max(16) } else { width };
    let names: Vec<_> = names.iter().map(|name| shorten_middle(name, most)).collect();
    let all = names.join(arrow);
    if columns(&all) <= width {
        return all;
    }
    let gap = |left_out: usize| format!("({left_out} more)");
    let mut room = width.saturating_sub(columns(&gap(names.len())));
    let (mut front, mut back) = (0, 0);
    while front + back < names.len() {
        let (outer, inner) = if direction == Direction::Inwards { (front, back) } else { (back, front) };
        let from_front = (inner >= 2 * (outer + 1)) == (direction == Direction::Inwards);
        let next = |from_front: bool| if from_front { front } else { names.len() - 1 - back };
        let fits = |from_front: bool| columns(&names[next(from_front)]) + columns(arrow) <= room;
        let Some(from_front) = [from_front, !from_front].into_iter().find(|side| fits(*side)) else {
            break;
        };
        room -= columns(&names[next(from_front)]) + columns(arrow);
        if from_front { front += 1 } else { back += 1 }
    }
    if front + back == 0 {
        return shorten_middle(&all, width).into_owned();
    }
    let left_out = gap(names.len() - front - back);
    let mut parts: Vec<&str> = names[..front].iter().map(AsRef::as_ref).collect();
    parts.push(&left_out);
    parts.extend(names[names.len() - back..].iter().map(AsRef::<str>::as_ref));
    parts.join(arrow)
}

#[cfg(test)]
mod tests {
    use super::{Direction::*, *};

    #[test]
    fn what_does_not_fit_is_left_out_of_the_middle_and_counted() {
        let names: Vec<_> = (1..=9).map(|n| format!("call{n}")).collect();
        assert_eq!(chain(&names[..3], Inwards, 80), "call1 → call2 → call3");
        assert_eq!(chain(&names, Inwards, 32), "call1 → (6 more) → call8 → call9");
        assert_eq!(chain(&names, Outwards, 32), "call1 ← call2 ← (6 more) ← call9");
        assert_eq!(chain(&[], Inwards, 8), "");
    }

    #[test]
    fn it_is_never_wider_than_its_room() {
        let names: Vec<_> = (0..40).map(|n| "名f".repeat(n)).collect();
        for width in 0..120 {
            for count in 0..names.len() {
                for direction in [Inwards, Outwards] {
                    let line = chain(&names[..count], direction, width);
                    assert!(columns(&line) <= width, "{width}: {line}");
                }
            }
        }
    }
}
