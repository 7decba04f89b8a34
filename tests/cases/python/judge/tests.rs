//! The judge is judged by made-up reports: each thing that a report may lack or have wrong is found.

use serde_json::{Value, json};

use super::{Kind, Leak, Traced};

const PID: u32 = 42;
const VERSION: &str = "3.11.7";

/// The final report on a program that keeps sessions, as it should be.
fn good() -> Value {
    let frames = json!([
        {"function": "session_of", "file": "/home/me/python/sessions.py", "line": 25, "kind": "python"},
        {"function": "main", "file": "/home/me/python/sessions.py", "line": 38, "kind": "python"},
    ]);
    let of_c = json!({"function": "PyObject_Malloc", "file": "obmalloc.c", "line": 685, "kind": "native"});
    json!({
        "final": true,
        "elapsed_s": 45.0,
        "processes": [{"pid": PID, "rss_at_attach_bytes": 10_000_000, "rss_bytes": 30_000_000}],
        "python": {
            "interpreters": [{"pid": PID, "version": "3.11.7", "state": "read", "live_blocks": 70_000, "scans": 9}],
            "types": [],
            "holders": [
                {
                    "pid": PID, "path": "__main__.SESSIONS", "type": "dict", "verdict": "leak", "confidence": 0.8,
                    "added": [{"share": 1.0, "frames": frames}],
                },
                {"pid": PID, "path": "sys.modules", "type": "dict", "verdict": "plateau", "confidence": 1, "added": []},
            ],
            "cycles": [
                {"pid": PID, "type": "__main__.Request", "verdict": "churn", "confidence": 0.9, "added": []},
            ],
        },
        "stacks": [{"pid": PID, "verdict": "growing", "confidence": 0.6, "frames": [of_c, frames[0].clone()]}],
    })
}

/// The same with one value put in another's place.
fn with(place: &str, value: Value) -> Value {
    let mut report = good();
    *report.pointer_mut(place).unwrap_or_else(|| panic!("{place} is in the report")) = value;
    report
}

/// The report before the last one, when nothing was known.
fn early() -> Value {
    let mut report = with("/python/holders", json!([]));
    report["final"] = json!(false);
    report["elapsed_s"] = json!(5.0);
    report
}

fn leak() -> Leak {
    Leak { kind: Kind::Holder, name: "SESSIONS", file: "python/sessions.py".into(), lines: vec![25], surely: true }
}

fn names(last: Value, leak: &Leak) -> Result<super::Named, String> {
    Traced { pid: PID, version: VERSION, reports: &[early(), last] }.names(leak)
}

fn accuses_nothing(last: Value) -> Result<(), String> {
    Traced { pid: PID, version: VERSION, reports: &[early(), last] }.accuses_nothing()
}

/// Fails unless the leak is not named, for a reason that has this in it.
fn misses(last: Value, reason: &str) {
    let told = names(last, &leak());
    assert!(told.as_ref().is_err_and(|why| why.contains(reason)), "not \"{reason}\", but {told:?}");
}

#[test]
fn a_leak_is_named_from_the_first_report_that_names_it() {
    let named = names(good(), &leak()).expect("it is named");
    assert_eq!(named.after_s.to_bits(), 45.0_f64.to_bits());
    assert!(named.what.contains("__main__.SESSIONS (leak, 80 %, /home/me/python/sessions.py:25)"), "{}", named.what);
    let mut sooner = good();
    sooner["elapsed_s"] = json!(15.5);
    let reports = [early(), sooner, good()];
    let named = Traced { pid: PID, version: VERSION, reports: &reports }.names(&leak()).expect("it is named");
    assert_eq!(named.after_s.to_bits(), 15.5_f64.to_bits());
}

#[test]
fn a_leak_of_another_line_file_name_or_verdict_is_not_the_one() {
    misses(with("/python/holders/0/added/0/frames/0/line", json!(26)), "none of 2 findings");
    misses(with("/python/holders/0/added/0/frames/0/file", json!("/home/me/sessions.py")), "none of 2 findings");
    misses(with("/python/holders/0/added/0/frames/0/kind", json!("native")), "none of 2 findings");
    misses(with("/python/holders/0/added", json!([])), "none of 2 findings");
    misses(with("/python/holders/0/path", json!("__main__.OTHERS")), "none of 2 findings");
    misses(with("/python/holders/0/pid", json!(PID + 1)), "none of 1 findings");
    misses(with("/python/holders/0/verdict", json!("growing")), "named, but as");
    misses(with("/python/holders/0/verdict", json!(null)), "named, but as");
    misses(with("/python/holders", json!([])), "there is none");
}

#[test]
fn the_last_report_counts_and_not_one_before() {
    let reports = [good(), early()];
    let traced = Traced { pid: PID, version: VERSION, reports: &reports };
    assert!(traced.names(&leak()).is_err_and(|why| why.contains("not the final one")));
    let mut forgotten = with("/python/holders", json!([]));
    forgotten["final"] = json!(true);
    let reports = [good(), forgotten];
    let traced = Traced { pid: PID, version: VERSION, reports: &reports };
    assert!(traced.names(&leak()).is_err_and(|why| why.contains("there is none")));
}

#[test]
fn what_was_watched_for_too_short_a_time_may_be_said_to_grow() {
    let growing = with("/python/holders/0/verdict", json!("growing"));
    let unsure = Leak { surely: false, ..leak() };
    assert!(names(growing, &unsure).is_ok());
    assert!(names(good(), &unsure).is_ok(), "a leak is more than growth");
    for verdict in ["plateau", "churn", "new"] {
        assert!(names(with("/python/holders/0/verdict", json!(verdict)), &unsure).is_err(), "{verdict}");
    }
}

#[test]
fn cycles_and_stacks_are_looked_for_where_they_belong() {
    let stack = Leak { kind: Kind::Stack, name: "session_of", surely: false, ..leak() };
    let unaccused = with("/python/holders/0/verdict", json!("growing"));
    assert!(names(unaccused.clone(), &stack).is_ok());
    assert!(names(unaccused.clone(), &Leak { surely: true, ..stack }).is_err());
    let cycle = Leak { kind: Kind::Cycle, name: "Request", ..leak() };
    assert!(names(unaccused.clone(), &cycle).is_err());
    let mut cyclic = unaccused;
    cyclic["python"]["cycles"][0]["verdict"] = json!("leak");
    cyclic["python"]["cycles"][0]["added"] = good()["python"]["holders"][0]["added"].clone();
    assert!(names(cyclic, &cycle).is_ok());
}

#[test]
fn a_leak_beside_which_something_else_is_accused_is_not_well_named() {
    misses(with("/python/holders/1/verdict", json!("leak")), "beside it something is accused: Holder sys.modules");
    misses(with("/python/cycles/0/verdict", json!("leak")), "beside it something is accused: Cycle __main__.Request");
    assert!(names(with("/stacks/0/verdict", json!("leak")), &leak()).is_ok(), "the same from below");
}

#[test]
fn each_line_that_adds_is_to_be_named() {
    let two = Leak { lines: vec![25, 31], ..leak() };
    assert!(names(good(), &two).is_err_and(|why| why.contains("lacks the lines [31]")));
    let mut both = good();
    let mut other = good()["python"]["holders"][0]["added"][0].clone();
    other["frames"][0]["line"] = json!(31);
    both["python"]["holders"][0]["added"].as_array_mut().expect("what adds").push(other);
    assert!(names(both.clone(), &two).is_ok());
    assert!(names(both.clone(), &leak()).is_ok(), "it has one line, and that is the first");
    both["python"]["holders"][0]["added"].as_array_mut().expect("what adds").swap(0, 1);
    assert!(names(both, &leak()).is_err(), "it has one line, and that is not the first");
}

#[test]
fn a_program_that_has_not_grown_proves_nothing() {
    misses(with("/processes/0/rss_bytes", json!(10_100_000)), "hardly leaks");
    misses(with("/processes/0/rss_bytes", json!(9_000_000)), "hardly leaks");
    misses(with("/processes/0/pid", json!(PID + 1)), "the process is not there");
}

#[test]
fn whoever_is_healthy_is_never_accused() {
    let at_rest = || with("/python/holders/0/verdict", json!("growing"));
    assert_eq!(accuses_nothing(at_rest()), Ok(()));
    for place in ["/python/holders/0/verdict", "/python/cycles/0/verdict", "/stacks/0/verdict"] {
        let mut accused = at_rest();
        *accused.pointer_mut(place).expect("a verdict") = json!("leak");
        assert!(accuses_nothing(accused.clone()).is_err_and(|why| why.contains("accused")), "{place}");
        let reports = [accused, at_rest()];
        let traced = Traced { pid: PID, version: VERSION, reports: &reports };
        assert!(traced.accuses_nothing().is_err_and(|why| why.contains("accused")), "once is too often");
    }
}

#[test]
fn silence_is_no_acquittal() {
    let unread = [
        ("/python", json!(null), "no python.interpreters"),
        ("/python/interpreters", json!([]), "no interpreter is of"),
        ("/python/interpreters/0/pid", json!(PID + 1), "no interpreter is of"),
        ("/python/interpreters/0/state", json!("refused"), "was not read"),
        ("/python/interpreters/0/version", json!("3.12.1"), "said to be"),
        ("/python/interpreters/0/version", json!("3.1"), "said to be"),
        ("/python/interpreters/0/version", json!("3"), "said to be"),
        ("/python/interpreters/0/version", json!(null), "said to be"),
        ("/python/interpreters/0/scans", json!(1), "hardly read"),
        ("/python/interpreters/0/live_blocks", json!(0), "hardly read"),
        ("/python/holders", json!(null), "no python.holders"),
        ("/python/cycles", json!(null), "no python.cycles"),
        ("/stacks", json!(null), "no stacks"),
    ];
    for (place, value, reason) in unread {
        let mut report = with("/python/holders/0/verdict", json!("growing"));
        *report.pointer_mut(place).expect("a place") = value;
        let told = accuses_nothing(report);
        assert!(told.as_ref().is_err_and(|why| why.contains(reason)), "{place}: not \"{reason}\", but {told:?}");
    }
    let nothing = Traced { pid: PID, version: VERSION, reports: &[] };
    assert!(nothing.accuses_nothing().is_err() && nothing.names(&leak()).is_err());
}

#[test]
fn a_version_may_be_told_without_its_patch() {
    let mut report = good();
    report["python"]["interpreters"][0]["version"] = json!("3.11");
    assert!(names(report, &leak()).is_ok());
}
