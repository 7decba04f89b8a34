//! Names as the data of an export.
//!
//! Promises valid UTF-8 of a sane length, otherwise as the target wrote it. Leaves out making names inert: that is for
//! each form to do in its own way.

use std::borrow::Cow;

use crate::report::Report;

/// The most bytes of a name, the mark of what was left out included.
pub const LONGEST: usize = 4096;

/// Stands for what was left out.
const CUT: char = '…';

/// The name in at most [`LONGEST`] bytes: of a longer one both ends are kept.
pub fn cut(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST {
        return Cow::Borrowed(name);
    }
    let room = LONGEST - CUT.len_utf8();
    let head = name.floor_char_boundary(room / 2);
    let tail = name.ceil_char_boundary(name.len() - room / 2);
    Cow::Owned(format!("{}{CUT}{}", &name[..head], &name[tail..]))
}

/// Cuts every name in a report that the target, or a person, chose.
pub fn cut_all(report: &mut Report) {
    for process in &mut report.processes {
        cut_in_place(&mut process.comm);
        cut_in_place(&mut process.exe);
    }
    report.label.iter_mut().for_each(cut_in_place);
    for frame in report.stacks.iter_mut().flat_map(|stack| &mut stack.frames) {
        frame.function.iter_mut().chain(&mut frame.file).for_each(cut_in_place);
        for name in frame.module.iter_mut().chain(&mut frame.build_id) {
            if let Cow::Owned(shorter) = cut(name) {
                *name = shorter.into();
            }
        }
    }
}

/// Cuts a name where it stands.
pub fn cut_in_place(name: &mut String) {
    if let Cow::Owned(shorter) = cut(name) {
        *name = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::Verdict;

    #[test]
    fn an_ordinary_name_is_not_touched() {
        for name in ["", "main", "名前", "\x1b[2J", &"x".repeat(LONGEST)] {
            assert!(matches!(cut(name), Cow::Borrowed(same) if same == name));
        }
    }

    #[test]
    fn a_long_name_keeps_both_ends_whatever_its_letters() {
        for letter in ["x", "é", "名", "🦀"] {
            for shift in ["", "a", "ab", "abc"] {
                let name = format!("{shift}front{}back", letter.repeat(1 << 18));
                let short = cut(&name);
                assert!(short.len() <= LONGEST && short.len() > LONGEST - 8, "{}", short.len());
                assert!(short.starts_with(shift) && short.ends_with("back") && short.contains(CUT));
            }
        }
    }

    #[test]
    fn a_verdict_is_spelled_as_in_the_report() {
        for verdict in [Verdict::Leak, Verdict::Growing, Verdict::Plateau, Verdict::Churn, Verdict::New] {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
        }
    }
}
