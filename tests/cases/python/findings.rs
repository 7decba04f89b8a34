//! What a report finds in a process that runs Python: containers that grow, cycles that nobody holds, stacks of the C
//! library's allocator.
//!
//! A report without the part that is asked for is an error, not one that finds nothing.

use std::path::Path;

use serde_json::Value;

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container, by the path on which it is held.
    Holder,
    /// Objects in cycles that nobody holds, by their type.
    Cycle,
    /// Blocks of the C library's allocator, by their stack.
    Stack,
}

/// One finding.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'r> {
    kind: Kind,
    entry: &'r Value,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Holder, Self::Cycle, Self::Stack];

    /// The findings of this kind.
    pub fn in_report(self, report: &Value) -> Result<Vec<Finding<'_>>, String> {
        let (name, entries) = match self {
            Self::Holder => ("python.holders", &report["python"]["holders"]),
            Self::Cycle => ("python.cycles", &report["python"]["cycles"]),
            Self::Stack => ("stacks", &report["stacks"]),
        };
        let entries = entries.as_array().ok_or_else(|| format!("the report has no {name}"))?;
        Ok(entries.iter().map(|entry| Finding { kind: self, entry }).collect())
    }
}

impl<'r> Finding<'r> {
    /// The process that it is about.
    pub fn pid(&self) -> Option<u64> {
        self.entry["pid"].as_u64()
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it is called: a path, a type, or the innermost function of Python's.
    pub fn name(&self) -> &'r str {
        let name = match self.kind {
            Kind::Holder => &self.entry["path"],
            Kind::Cycle => &self.entry["type"],
            Kind::Stack => self.python_frame().map_or(&Value::Null, |frame| &frame["function"]),
        };
        name.as_str().unwrap_or("(without a name)")
    }

    /// What its past amounts to.
    pub fn verdict(&self) -> &'r str {
        self.entry["verdict"].as_str().unwrap_or("(without a verdict)")
    }

    /// How sure that is, 0 to 1.
    pub fn confidence(&self) -> f64 {
        self.entry["confidence"].as_f64().unwrap_or(f64::NAN)
    }

    /// File and line of the innermost Python frame of what adds to it most.
    pub fn line(&self) -> Option<(&'r Path, u64)> {
        line(self.python_frame()?)
    }

    /// The same of everything that adds to it.
    pub fn lines(&self) -> Vec<(&'r Path, u64)> {
        self.stacks().into_iter().filter_map(innermost).filter_map(line).collect()
    }

    fn python_frame(&self) -> Option<&'r Value> {
        innermost(self.stacks().first()?)
    }

    /// The frames of what adds to it, of what adds most first.
    fn stacks(&self) -> Vec<&'r Value> {
        match self.kind {
            Kind::Holder | Kind::Cycle => {
                self.entry["added"].as_array().into_iter().flatten().map(|added| &added["frames"]).collect()
            }
            Kind::Stack => vec![&self.entry["frames"]],
        }
    }
}

/// The innermost frame of Python's.
fn innermost(frames: &Value) -> Option<&Value> {
    frames.as_array()?.iter().find(|frame| frame["kind"] == "python")
}

fn line(frame: &Value) -> Option<(&Path, u64)> {
    Some((Path::new(frame["file"].as_str()?), frame["line"].as_u64()?))
}

impl std::fmt::Display for Finding<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{:?} {} ({}, {:.0} %", self.kind, self.name(), self.verdict(), self.confidence() * 100.0)?;
        match self.line() {
            Some((file, line)) => write!(to, ", {}:{line})", file.display()),
            None => write!(to, ", no line)"),
        }
    }
}

#[test]
fn a_report_without_a_part_is_an_error_and_one_with_an_empty_part_is_not() {
    let whole = serde_json::json!({"python": {"holders": [], "cycles": []}, "stacks": []});
    for kind in Kind::ALL {
        assert_eq!(kind.in_report(&whole).map(|found| found.len()), Ok(0));
        assert!(kind.in_report(&serde_json::json!({})).is_err_and(|why| why.contains("has no")));
    }
    assert!(Kind::Holder.in_report(&serde_json::json!({"python": {"holders": null}})).is_err());
}

#[test]
fn the_line_is_that_of_the_innermost_python_frame() {
    let native = serde_json::json!({"function": "halve", "file": "_shrink.c", "line": 1, "kind": "native"});
    let frame = |line: u64| serde_json::json!({"function": "f", "file": "/a/b.py", "line": line, "kind": "python"});
    let report = serde_json::json!({"stacks": [{"frames": [native, frame(7), frame(9)]}, {"frames": [native]}]});
    let stacks = Kind::Stack.in_report(&report).expect("stacks");
    assert_eq!(stacks[0].line(), Some((Path::new("/a/b.py"), 7)));
    assert_eq!(stacks[1].line(), None);
    let added = serde_json::json!([{"frames": [frame(3)]}, {"frames": [frame(4)]}]);
    let report = serde_json::json!({"python": {"holders": [{"path": "a.B", "added": added}, {"path": "a.C"}]}});
    let holders = Kind::Holder.in_report(&report).expect("holders");
    assert_eq!(holders[0].line(), Some((Path::new("/a/b.py"), 3)), "of what adds most");
    assert_eq!(holders[0].lines(), [3, 4].map(|line| (Path::new("/a/b.py"), line)));
    assert_eq!((holders[1].line(), holders[1].verdict()), (None, "(without a verdict)"));
}
