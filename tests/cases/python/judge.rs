//! Whether the reports on a Python program say what is known of it.
//!
//! Pure: reports go in, and out comes what they name, or one sentence on why that is not what they should say. Reports that
//! say nothing fail also for a program that leaks nothing: the interpreter must have been read.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::findings::{Finding, Kind};

/// A leak that reports are to name.
#[derive(Clone, Debug)]
pub struct Leak {
    /// What kind of finding it is.
    pub kind: Kind,
    /// What its name has in it, of whoever holds it or what it is.
    pub name: &'static str,
    /// The file of the line that leaks, or what its path ends with.
    pub file: PathBuf,
    /// The lines that leak: the first that is said to add to it is one of them, and each is said to.
    pub lines: Vec<u64>,
    /// Whether it must be called a leak; or may also be said to grow, where it was watched for too short a time.
    pub surely: bool,
}

/// What was traced.
#[derive(Clone, Copy, Debug)]
pub struct Traced<'a> {
    /// The process.
    pub pid: u32,
    /// The interpreter's version, such as `3.11.7`.
    pub version: &'a str,
    /// All reports of the trace.
    pub reports: &'a [Value],
}

/// How a leak was named.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Seconds of tracing until a report first named it as the last one does.
    pub after_s: f64,
    /// What the last report calls it.
    pub what: String,
}

/// Least growth of a program that leaks, in bytes: one that has not grown proves nothing.
const LEAST_GROWTH: u64 = 256 << 10;

impl Leak {
    /// Whether it is this finding, whatever that is said to do.
    fn is(&self, finding: &Finding<'_>) -> bool {
        let is_there = |(file, line): (&Path, u64)| file.ends_with(&self.file) && self.lines.contains(&line);
        finding.kind() == self.kind && finding.name().contains(self.name) && finding.line().is_some_and(is_there)
    }

    /// The lines that a finding does not say to add to it.
    fn unsaid(&self, finding: &Finding<'_>) -> Vec<u64> {
        let said = finding.lines();
        let is_said = |line: &u64| said.iter().any(|(file, said)| file.ends_with(&self.file) && said == line);
        self.lines.iter().copied().filter(|line| !is_said(line)).collect()
    }

    fn accepts(&self, verdict: &str) -> bool {
        verdict == "leak" || (verdict == "growing" && !self.surely)
    }

    /// The finding that is this leak, or why there is none.
    fn find<'r>(&self, report: &'r Value, pid: u32) -> Result<Finding<'r>, String> {
        let findings = self.kind.in_report(report)?;
        let of_process: Vec<&Finding<'_>> = findings.iter().filter(|found| found.pid() == Some(pid.into())).collect();
        let (accepted, others): (Vec<&Finding<'_>>, Vec<&Finding<'_>>) =
            of_process.iter().filter(|found| self.is(found)).partition(|found| self.accepts(found.verdict()));
        if let Some(found) = accepted.first() {
            let unsaid = self.unsaid(found);
            return if unsaid.is_empty() { Ok(**found) } else { Err(format!("{found} lacks the lines {unsaid:?}")) };
        }
        if let Some(other) = others.first() {
            return Err(format!("it is named, but as {other}"));
        }
        let first: Vec<String> = of_process.iter().take(3).map(ToString::to_string).collect();
        Err(format!(
            "none of {} findings of its kind is {} at {}:{:?}: {}",
            of_process.len(),
            self.name,
            self.file.display(),
            self.lines,
            if first.is_empty() { "there is none".to_owned() } else { first.join("; ") }
        ))
    }
}

impl Traced<'_> {
    /// How the leak is named, if it is, and nothing else is called one.
    pub fn names(&self, leak: &Leak) -> Result<Named, String> {
        let last = self.last()?;
        let grown = self.growth(last)?;
        if grown < LEAST_GROWTH {
            return Err(format!("the program has grown by {grown} bytes only, so it hardly leaks"));
        }
        let found = leak.find(last, self.pid)?;
        // Of what Python's own allocator gives, the C library's stacks show the same leak from below.
        for kind in [Kind::Holder, Kind::Cycle] {
            if let Some(other) = accused(last, kind)?.into_iter().find(|other| !leak.is(other)) {
                return Err(format!("beside it something is accused: {other}"));
            }
        }
        let first = self.reports.iter().find(|report| leak.find(report, self.pid).is_ok()).unwrap_or(last);
        let after_s = first["elapsed_s"].as_f64().ok_or("a report does not say when it was made")?;
        Ok(Named { after_s, what: found.to_string() })
    }

    /// Whether nothing was ever called a leak, by reports that have seen the program.
    pub fn accuses_nothing(&self) -> Result<(), String> {
        let last = self.last()?;
        for kind in Kind::ALL {
            // What is not there in the last report is an error; the first ones may be made before anything is read.
            accused(last, kind)?;
            let ever = self.reports.iter().find_map(|report| accused(report, kind).ok()?.into_iter().next());
            if let Some(finding) = ever {
                return Err(format!("it is accused: {finding}"));
            }
        }
        Ok(())
    }

    /// The final report, of an interpreter that was read.
    fn last(&self) -> Result<&Value, String> {
        let last = self.reports.last().ok_or("there is no report")?;
        if last["final"] != true {
            return Err("the last report is not the final one".to_owned());
        }
        let interpreters = last["python"]["interpreters"].as_array().ok_or("the report has no python.interpreters")?;
        let interpreter = interpreters
            .iter()
            .find(|interpreter| interpreter["pid"] == self.pid)
            .ok_or_else(|| format!("no interpreter is of process {}", self.pid))?;
        if interpreter["state"] != "read" {
            return Err(format!("the interpreter was not read: {interpreter}"));
        }
        let version = interpreter["version"].as_str().unwrap_or_default();
        // Some releases do not say which patch of them it is.
        if version.split('.').count() < 2 || !format!("{}.", self.version).starts_with(&format!("{version}.")) {
            return Err(format!("it is Python {}, and said to be \"{version}\"", self.version));
        }
        let (scans, blocks) = (&interpreter["scans"], &interpreter["live_blocks"]);
        if scans.as_u64().is_none_or(|scans| scans < 2) || blocks.as_u64().is_none_or(|blocks| blocks == 0) {
            return Err(format!("the interpreter was hardly read: {interpreter}"));
        }
        Ok(last)
    }

    /// By how much the program has grown since leaktrace came, in bytes.
    fn growth(&self, last: &Value) -> Result<u64, String> {
        let processes = last["processes"].as_array().ok_or("the report has no processes")?;
        let process = processes.iter().find(|process| process["pid"] == self.pid).ok_or("the process is not there")?;
        let bytes = |key: &str| process[key].as_u64().ok_or_else(|| format!("the process has no {key}"));
        Ok(bytes("rss_bytes")?.saturating_sub(bytes("rss_at_attach_bytes")?))
    }
}

/// The findings of a kind that are called leaks.
fn accused(report: &Value, kind: Kind) -> Result<Vec<Finding<'_>>, String> {
    Ok(kind.in_report(report)?.into_iter().filter(|finding| finding.verdict() == "leak").collect())
}

mod tests;
