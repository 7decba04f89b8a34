//! What a look has found: its last report in a line.

use std::{fmt::Write as _, process::ExitStatus};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{
    process::{identity::start_time, who::Who},
    text::printable,
    units::{rate, seconds},
};

/// Functions that a stack is told by.
const FUNCTIONS: usize = 3;

/// How the look ends when a condition holds that it was given.
const HOLDS: i32 = 1;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// In a line, safe to print.
    pub words: String,
    /// The condition that holds, of those that were to be held against it: a sentence, safe to print.
    pub condition: Option<String>,
    /// The stack that grows the most, if there is any.
    pub top: Option<Top>,
}

/// The stack that grows the most. What it is called is not to be printed raw.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    /// What it amounts to.
    pub verdict: String,
    /// Its trend.
    pub bytes_per_s: f64,
    /// The innermost function that has a name, or else the module.
    pub function: String,
}

impl Finding {
    /// What the last report of a look says that has ended, or else why there is none.
    pub fn of(status: ExitStatus, report: &[u8], notes: &[u8], who: Who) -> Result<Self> {
        let last = report.rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty());
        let report = last.and_then(|line| serde_json::from_slice::<Value>(line).ok());
        let holds = status.code() == Some(HOLDS);
        let report = report.filter(|_| status.success() || holds).with_context(|| last_word(notes))?;
        let process = &report["processes"][0];
        let started = humantime::format_rfc3339_seconds(start_time(who.start_ticks)).to_string();
        ensure!(process["start_time"] == started, "it ended, and another process has its pid by now");
        let mut words = findings(&report);
        if process["alive"] == false {
            let after = seconds(report["elapsed_s"].as_f64().unwrap_or(f64::NAN));
            let _ = write!(words, "; the process ended after {after}");
        }
        Ok(Self { words, condition: holds.then(|| last_word(notes)), top: top(&report) })
    }
}

/// What it said last on standard error, safe to print.
fn last_word(notes: &[u8]) -> String {
    let notes = String::from_utf8_lossy(notes);
    let said = notes.lines().last().unwrap_or("it ended without a word").trim_start_matches("leaktrace: ");
    printable(said).into_owned()
}

/// A report in one line: what it amounts to, and the stack that grows the most.
fn findings(report: &Value) -> String {
    let number = |key: &str| report["outlook"][key].as_u64().unwrap_or(0);
    let how_bad = report["outlook"]["severity"].as_str().unwrap_or("unknown");
    let with_python = |key: &str| number(key) + number(&format!("python_{key}"));
    let summary = match (with_python("leaking"), with_python("growing")) {
        (0, 0) => "nothing leaks or grows".to_owned(),
        (0, growing) => format!("{growing} growing"),
        (leaking, 0) => format!("{leaking} leaking"),
        (leaking, growing) => format!("{leaking} leaking, {growing} growing"),
    };
    let grown = &report["python"]["holders"][0];
    let told = if is_rising(grown) {
        let text = |key: &str| printable(grown[key].as_str().unwrap_or("unknown")).into_owned();
        let pace = rate(grown["bytes_per_s"].as_f64().unwrap_or(f64::NAN));
        let added = grown["added"][0]["frames"]
            .get(0)
            .map_or_else(String::new, |frame| format!(", added at {}", function(frame)));
        format!("; {} {} ({}) {pace}{added}", text("verdict"), text("path"), text("type"))
    } else {
        String::new()
    };
    // Of what does not grow, any stack is as good as the next.
    let top = report["stacks"].get(0).filter(|stack| is_rising(stack)).map_or_else(String::new, |stack| {
        let frames = stack["frames"].as_array().map_or(&[][..], Vec::as_slice);
        let names: Vec<String> = frames.iter().take(FUNCTIONS).map(function).collect();
        let verdict = stack["verdict"].as_str().unwrap_or("unknown");
        let pace = rate(stack["bytes_per_s"].as_f64().unwrap_or(f64::NAN));
        format!("; {} {pace} at {}", printable(verdict), names.join(" < "))
    });
    format!("{}: {summary}{told}{top}", printable(how_bad))
}

fn is_rising(judged: &Value) -> bool {
    matches!(judged["verdict"].as_str(), Some("leak" | "growing"))
}

/// The stack that grows the most, by what it is known by.
fn top(report: &Value) -> Option<Top> {
    let stack = report["stacks"].get(0)?;
    let frames = stack["frames"].as_array().map_or(&[][..], Vec::as_slice);
    let named = |key: &str| frames.iter().find_map(|frame| frame[key].as_str());
    Some(Top {
        verdict: stack["verdict"].as_str().unwrap_or("unknown").to_owned(),
        bytes_per_s: stack["bytes_per_s"].as_f64()?,
        function: named("function").or_else(|| named("module")).unwrap_or("unknown").to_owned(),
    })
}

fn function(frame: &Value) -> String {
    let name = frame["function"].as_str().or_else(|| frame["module"].as_str()).unwrap_or("?");
    let line = match (frame["file"].as_str(), frame["line"].as_u64()) {
        (Some(file), Some(line)) => format!(" ({}:{line})", printable(file.rsplit('/').next().unwrap_or(file))),
        _ => String::new(),
    };
    format!("{}{line}", printable(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_told_in_a_line_and_no_name_does_harm() {
        let report = json!({
            "outlook": { "severity": "critical", "leaking": 1, "growing": 2 },
            "stacks": [{ "verdict": "leak", "bytes_per_s": 8192.0, "frames": [
                { "function": "keep\u{1b}[2J", "file": "/src/app/cache.c", "line": 12 },
                { "function": null, "module": "libx.so" },
            ] }],
        });
        let said = findings(&report);
        assert_eq!(said.split('\u{1b}').count(), 1);
        assert!(said.starts_with("critical: 1 leaking, 2 growing; leak +8.0 KiB/s at keep"), "{said}");
        assert!(said.ends_with("(cache.c:12) < libx.so"), "{said}");
        assert_eq!(findings(&json!({})), "unknown: nothing leaks or grows");
        let top = super::top(&report).unwrap();
        assert_eq!((top.verdict.as_str(), top.function.as_str()), ("leak", "keep\u{1b}[2J"));
        assert!(super::top(&json!({})).is_none());
    }

    #[test]
    fn a_look_that_fails_says_why() {
        use std::os::unix::process::ExitStatusExt as _;
        let who = Who { pid: 7, start_ticks: 0 };
        let failed = Finding::of(ExitStatus::from_raw(2 << 8), b"", b"a note\nleaktrace: there is no process 7\n", who);
        assert_eq!(failed.unwrap_err().to_string(), "there is no process 7");
        let another = br#"{ "processes": [{ "pid": 7, "start_time": "1970-01-01T00:00:00Z" }] }"#;
        let failed = Finding::of(ExitStatus::from_raw(0), another, b"", who);
        assert!(failed.unwrap_err().to_string().contains("another process"));
    }

    #[test]
    fn a_condition_that_holds_is_said_and_so_is_the_end_of_the_process() {
        let who = Who { pid: 7, start_ticks: 0 };
        let started = humantime::format_rfc3339_seconds(start_time(0)).to_string();
        let report = json!({ "processes": [{ "start_time": started, "alive": false }], "elapsed_s": 12.0 });
        let status = <ExitStatus as std::os::unix::process::ExitStatusExt>::from_raw(1 << 8);
        let found =
            Finding::of(status, report.to_string().as_bytes(), b"leaktrace: --fail-on leak: \x1b\n", who).unwrap();
        assert_eq!(found.condition.as_deref(), Some("--fail-on leak: \\x1b"));
        assert!(found.words.ends_with("; the process ended after 12 s"), "{}", found.words);
    }
}
