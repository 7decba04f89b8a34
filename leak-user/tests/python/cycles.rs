//! What nothing reaches and is there nevertheless: the cycles that keep it are told.

use leak_user::python::holders::{Ended, Limits, Walk, growth, unreached};

use crate::program::{Program, READING_S, pythons};

#[test]
fn cycles_that_nothing_reaches_are_told_by_their_fields() {
    for python in pythons() {
        let mut program = Program::start(&python, "holders.py", &[]);
        let mut scans = vec![program.scan(0.0)];
        for reading in 1..5 {
            program.tell("100");
            scans.push(program.scan(f64::from(reading) * READING_S));
        }
        let growing = growth(&scans);
        let grown = |name: &str| {
            let found = growing.types.iter().find(|kind| kind.name == name);
            found.unwrap_or_else(|| panic!("{name} does not grow")).clone()
        };
        let (node, failure) = (grown("__main__.Node"), grown("ValueError"));
        assert_eq!(node.objects.growth(), 800, "{node:?}");
        assert!(node.leak().is_some());
        let session = grown("store.Session");
        program.look(|view| {
            let mut walk = Walk::new(view, Limits::default());
            assert_eq!(walk.run(&[]), Ended::Whole);
            let found = unreached(view, &walk, &[node.address, failure.address, session.address]);
            let of = |name: &str| found.iter().find(|kind| kind.name == name);
            // At each turn one has a child, the other a parent; the frames of kept exceptions have the last of some.
            let nodes = of("__main__.Node").expect("nodes");
            assert!(nodes.unreached >= 780 && nodes.unreached <= nodes.objects, "{nodes:?}");
            let shown: Vec<String> = nodes.cycles.iter().map(ToString::to_string).collect();
            let expected = [
                "__main__.Node.children -> list -> __main__.Node.parent -> __main__.Node",
                "__main__.Node.parent -> __main__.Node.children -> list -> __main__.Node",
            ];
            assert!(expected.iter().all(|cycle| shown.iter().any(|one| one == cycle)), "{shown:#?}");
            let failures = of("ValueError").expect("exceptions");
            let shown: Vec<String> = failures.cycles.iter().map(ToString::to_string).collect();
            let expected = "ValueError.__traceback__ -> traceback.tb_frame -> frame.local `kept` -> ValueError";
            assert!(shown.iter().any(|cycle| cycle == expected), "{shown:#?}");
            // As many are kept in a list, which is no cycle.
            assert!(failures.unreached >= 400 && failures.unreached <= failures.objects - 400, "{failures:?}");
            assert!(of("store.Session").is_none(), "all of them are held by name");
        });
    }
}
