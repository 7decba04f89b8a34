//! What came of every program on every version, as a table that can be kept in a note.

use std::fmt::Write;

/// What came of one program on one version.
#[derive(Debug)]
pub struct Outcome {
    /// The program's name.
    pub program: &'static str,
    /// Whether it leaks.
    pub leaks: bool,
    /// The interpreter's version.
    pub version: String,
    /// What was found, or why that is not what there is.
    pub told: Result<Told, String>,
}

impl Outcome {
    fn word(&self) -> String {
        match &self.told {
            Ok(Told::Named { after_s, .. }) => format!("{after_s:.0} s"),
            Ok(Told::Quiet) => "quiet".to_owned(),
            Err(_) if self.leaks => "NOT NAMED".to_owned(),
            Err(_) => "NOT QUIET".to_owned(),
        }
    }
}

/// What was rightly found.
#[derive(Debug)]
pub enum Told {
    /// The leak.
    Named {
        /// Seconds of tracing until it was.
        after_s: f64,
        /// What it is called.
        what: String,
    },
    /// Nothing, in a program that leaks nothing.
    Quiet,
}

/// The table, and below it what was found.
pub fn table(outcomes: &[Outcome]) -> String {
    let programs = in_order(outcomes.iter().map(|outcome| outcome.program));
    let versions = in_order(outcomes.iter().map(|outcome| outcome.version.as_str()));
    let mut text = format!("{:<16}", "");
    for version in &versions {
        let _ = write!(text, "{version:>12}");
    }
    for program in programs {
        let _ = write!(text, "\n{program:<16}");
        for version in &versions {
            let outcome = outcomes.iter().find(|one| one.program == program && one.version == *version);
            let _ = write!(text, "{:>12}", outcome.map_or_else(|| "-".to_owned(), Outcome::word));
        }
    }
    text.push('\n');
    for outcome in outcomes {
        let said = match &outcome.told {
            Ok(Told::Named { what, .. }) => what,
            Ok(Told::Quiet) => continue,
            Err(why) => why,
        };
        let _ = writeln!(text, "{} on {}: {said}", outcome.program, outcome.version);
    }
    text
}

/// The outcomes that are not as they should be.
pub fn failed(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.told.is_err()).count()
}

/// Each once, as they first come.
fn in_order<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut each = Vec::new();
    for one in all {
        if !each.contains(&one) {
            each.push(one);
        }
    }
    each
}

#[test]
fn the_table_has_what_was_tried_and_why_it_failed() {
    let outcome = |program, version: &str, told: Result<Told, String>| {
        let (leaks, version) = (program == "sessions", version.to_owned());
        Outcome { program, leaks, version, told }
    };
    let named = |after_s| Ok(Told::Named { after_s, what: "as it is".to_owned() });
    let outcomes = [
        outcome("sessions", "3.8.18", named(12.3)),
        outcome("sessions", "3.13.0", Err("no line".to_owned())),
        outcome("warm_up", "3.13.0", Ok(Told::Quiet)),
        outcome("batches", "3.8.18", Err("accused".to_owned())),
    ];
    let table = table(&outcomes);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines[..4],
        [
            vec!["3.8.18", "3.13.0"],
            vec!["sessions", "12", "s", "NOT", "NAMED"],
            vec!["warm_up", "-", "quiet"],
            vec!["batches", "NOT", "QUIET", "-"]
        ]
    );
    assert_eq!(lines[4..].len(), 3, "{table}");
    assert!(table.ends_with("sessions on 3.13.0: no line\nbatches on 3.8.18: accused\n"), "{table}");
    assert_eq!(failed(&outcomes), 2);
}
