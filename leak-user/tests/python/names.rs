//! Every way to hold a container: it grows, is found, and has the name that a person would give it.

use std::collections::BTreeMap;

use leak_user::python::holders::{Contents, Growing, Limits, growth, name};

use crate::program::{Program, READING_S, pythons};

/// What the program says it has, and the path to that.
const PATHS: [(&str, &str); 30] = [
    ("SESSIONS", "__main__.SESSIONS"),
    ("SHARED", "__main__.SHARED"),
    ("recent", "store.RECENT"),
    ("listeners", "__main__.Registry.listeners"),
    ("known", "__main__.Registry.known"),
    ("items", "__main__.registry.items"),
    ("by_name", "__main__.registry.by_name"),
    ("slotted", "__main__.slotted.table"),
    ("queue", "__main__.child.queue"),
    ("history", "__main__.history"),
    ("counts", "__main__.counts"),
    ("ordered", "__main__.ordered"),
    ("grouped", "__main__.grouped"),
    ("table", "__main__.table"),
    ("nested_items", "__main__.nested['x'][3].items"),
    ("nested_deep", "__main__.nested[7]['deep']"),
    ("nested_tuple", "__main__.nested[<tuple>]"),
    ("rows", "local `rows` of __main__.main()"),
    ("seen", "closure variable `seen` of __main__.make.<locals>.inner"),
    ("default", "__main__.default.__defaults__[0]"),
    ("method", "__main__.method.__self__"),
    ("errors", "__main__.ERRORS"),
    ("by_weak", "__main__.by_weak.data"),
    ("alive", "__main__.alive"),
    ("per_thread", "__main__.per_thread.cache"),
    ("hidden", "store.cache.hidden"),
    ("lookup", "cache of __main__.lookup (lru_cache)"),
    ("bounded", "cache of __main__.bounded (lru_cache)"),
    ("pending", "local `pending` of __main__.counter(), kept by __main__.generator"),
    ("error_rows", "local `rows` of __main__.fail(), kept by __main__.ERRORS[0].__traceback__.tb_next.tb_frame"),
];

#[test]
fn what_grows_has_the_name_that_a_person_would_give_it() {
    for python in pythons() {
        let mut program = Program::start(&python, "holders.py", &[]);
        let mut scans = vec![program.scan(0.0)];
        for reading in 1..5 {
            program.tell("100");
            scans.push(program.scan(f64::from(reading) * READING_S));
        }
        let Growing { containers, .. } = growth(&scans);
        let addresses: Vec<u64> = program.said.values().copied().collect();
        let paths = program.look(|view| name(view, &addresses, Limits::default()));
        let shown: BTreeMap<&str, String> = program
            .said
            .keys()
            .map(String::as_str)
            .zip(paths.iter().map(|path| path.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)))
            .collect();
        let mut wrong = Vec::new();
        for (what, path) in PATHS {
            if shown.get(what).map(String::as_str) != Some(path) {
                wrong.push(format!("{what}: {:?} instead of {path}", shown.get(what)));
            }
            let address = program.said[what];
            let found = containers.iter().find(|container| container.address == address);
            let is_leak = found.is_some_and(|container| container.leak().is_some());
            let growth = found.map_or(0, |container| container.entries.growth());
            if !["bounded", "error_rows"].contains(&what) && (!is_leak || growth != 400) {
                wrong.push(format!("{what} grew by {growth}: {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}:\n{}", python.display(), wrong.join("\n"));
    }
}

#[test]
fn what_a_container_holds_is_told_by_type_and_weight() {
    for python in pythons() {
        let program = Program::start(&python, "holders.py", &[]);
        program.look(|view| {
            let of = |what: &str| Contents::of(view, program.said[what]).expect("a container");
            let sessions = of("SESSIONS");
            assert_eq!(sessions.container, "dict");
            assert_eq!((sessions.values[0].name.as_str(), sessions.values[0].share), ("store.Session", 1.0));
            assert_eq!(sessions.keys[0].name, "int");
            assert!((48.0..400.0).contains(&sessions.bytes_per_entry), "{sessions:?}");
            let known = of("known");
            assert_eq!((known.container.as_str(), known.keys.len()), ("set", 0));
            assert_eq!(known.values[0].name, "store.Session");
            let history = of("history");
            assert_eq!(history.container, "collections.deque");
            assert_eq!(history.values[0].name, "store.Session");
        });
    }
}
