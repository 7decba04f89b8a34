//! Code that a program compiles as it runs has the names that the program tells, where perf looks for them, too.

use std::{
    fs,
    os::unix::fs::{chown, symlink},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

use crate::harness::{Machine, Target, functions, number, stacks, target_path, wait_until};

/// A user that is neither the program nor root.
const NOBODY: u32 = 65534;

/// `jit` with its map, which goes with it.
struct Jit {
    target: Target,
    map: PathBuf,
}

impl Jit {
    fn start(machine: &Machine) -> Self {
        let mut target = machine.target("jit", "");
        assert_eq!(target.hear(), "ready");
        let map = PathBuf::from(format!("/tmp/perf-{}.map", target.pid()));
        Self { target, map }
    }

    fn compile(&mut self, name: &str) {
        compile(&mut self.target, name);
    }
}

impl Drop for Jit {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(&self.map);
    }
}

fn compile(target: &mut Target, name: &str) {
    target.say(&format!("compile {name}"));
    assert_eq!(target.hear(), "compiled");
}

fn work(target: &mut Target) {
    target.say("work");
    assert_eq!(target.hear(), "done");
}

/// The stacks of compiled code in a report.
fn compiled(report: &Value) -> Vec<&Value> {
    let is_called_by_jit = |stack: &&Value| stack["frames"][1]["function"] == "run_code";
    stacks(report).iter().filter(is_called_by_jit).collect()
}

/// What the code is called, of which a program runs one function.
fn name_and_kind(machine: &Machine, jit: &mut Jit) -> (Value, Value) {
    let leaktrace = machine.attach(jit.target.pid(), "--format json -T 10000 60");
    work(&mut jit.target);
    let report = leaktrace.end().last_report();
    let [stack] = compiled(&report)[..] else { panic!("one stack: {report}") };
    let frame = &stack["frames"][0];
    assert_eq!(number(stack, "outstanding_bytes"), 100);
    assert_eq!(frame["module"], Value::Null);
    (frame["function"].clone(), frame["kind"].clone())
}

#[test]
fn compiled_code_has_the_name_that_its_program_tells() {
    let machine = Machine::shared();
    let mut jit = Jit::start(&machine);
    jit.compile("Function:~keep /app/main.js:12");
    let (name, kind) = name_and_kind(&machine, &mut jit);
    assert_eq!((name, kind), ("Function:~keep /app/main.js:12".into(), "jit".into()));
}

#[test]
fn code_that_is_compiled_while_traced_is_named_in_later_reports() {
    let machine = Machine::shared();
    let mut jit = Jit::start(&machine);
    jit.compile("first");
    let mut leaktrace = machine.attach(jit.target.pid(), "--format json -T 10000 1");
    work(&mut jit.target);
    wait_until("the first function", || {
        compiled(&leaktrace.next_report()).iter().any(|stack| functions(stack)[0] == "first")
    });
    jit.compile("second");
    work(&mut jit.target);
    // At first it may have been looked at a moment ago, and not be looked at again.
    wait_until("the second function", || {
        let report = leaktrace.next_report();
        let mut names: Vec<&str> = compiled(&report).iter().map(|stack| functions(stack)[0]).collect();
        names.sort_unstable();
        names == ["first", "second"]
    });
    leaktrace.end().well();
}

#[test]
fn a_program_that_is_gone_keeps_the_names_it_told() {
    let machine = Machine::shared();
    let mut jit = Jit::start(&machine);
    jit.compile("last");
    let mut leaktrace = machine.attach(jit.target.pid(), "--format json -T 10000 60");
    work(&mut jit.target);
    jit.target.kill();
    let report = std::iter::from_fn(|| Some(leaktrace.next_report())).find(|report| report["final"] == true);
    let report = report.expect("the last report");
    assert_eq!(functions(compiled(&report)[0])[..2], ["last", "run_code"]);
}

#[test]
fn a_map_of_another_user_is_not_believed() {
    let machine = Machine::shared();
    let mut jit = Jit::start(&machine);
    jit.compile("made_up");
    chown(&jit.map, Some(NOBODY), None).expect("root may");
    assert_eq!(name_and_kind(&machine, &mut jit), (Value::Null, "unknown".into()));
}

#[test]
fn a_map_that_is_a_link_is_not_followed() {
    let machine = Machine::shared();
    let mut jit = Jit::start(&machine);
    jit.compile("linked");
    let elsewhere = jit.map.with_extension("elsewhere");
    fs::rename(&jit.map, &elsewhere).expect("our files");
    symlink(&elsewhere, &jit.map).expect("our files");
    let seen = name_and_kind(&machine, &mut jit);
    fs::remove_file(elsewhere).expect("our file");
    assert_eq!(seen, (Value::Null, "unknown".into()));
}

#[test]
fn a_container_has_its_own_map_under_its_own_id() {
    let machine = Machine::shared();
    let mut command = Command::new("unshare");
    // The program itself may lie below the /tmp that the container does not see.
    let script = "mount -t tmpfs none /mnt && cp \"$1\" /mnt/jit && mount --bind /mnt /tmp && exec /tmp/jit";
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-e", "-c", script, "sh"]);
    let mut target = Target::start(&machine, {
        command.arg(target_path("jit"));
        command
    });
    assert_eq!(target.hear(), "ready");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", target.pid())).expect("a process");
    let pid: u32 = children.trim().parse().expect("one child");
    compile(&mut target, "inside");
    assert!(!PathBuf::from("/tmp/perf-1.map").exists(), "it is in the container alone");
    let leaktrace = machine.attach(pid, "--format json -T 10000 60");
    work(&mut target);
    let report = leaktrace.end().last_report();
    assert_eq!(functions(compiled(&report)[0])[..2], ["inside", "run_code"]);
}
