//! `--all`, `--cgroup`, `--comm` and `--env`: every process that fits is traced, and each that comes to fit.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    Leaktrace, Machine, Running, Scratch, Target, first_function, number, python_path, stacks, target_path, wait_until,
};

/// A copy of a program by a name that no other test's has.
fn copy(scratch: &Scratch, target: &str, name: &str) -> PathBuf {
    let path = scratch.path(name);
    fs::copy(target_path(target), &path).expect("a copy");
    path
}

fn pair(machine: &Machine, path: &Path) -> Target {
    let mut command = Command::new(path);
    command.args(["3", "1", "0"]);
    let mut target = Target::start(machine, command);
    target.run_pairs(1);
    target
}

fn pids(report: &Value) -> Vec<u64> {
    report["processes"].as_array().expect("processes").iter().map(|process| number(process, "pid")).collect()
}

/// Waits for a report that is as it should be.
fn until(trace: &mut Leaktrace, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let report = trace.next_report();
        if is_so(&report) {
            return report;
        }
        assert!(began.elapsed() < Duration::from_secs(40), "{what} does not come: {report}");
    }
}

#[test]
fn five_hundred_processes_are_traced_at_once_and_the_one_that_leaks_is_named() {
    const CROWD: usize = 499;
    let machine = Machine::alone();
    let marked = |program: &str| {
        let mut command = Command::new(program);
        command.env("LEAKTRACE_CROWD", "yes");
        command
    };
    let crowd: Vec<Running> = (0..CROWD).map(|_| machine.program(marked("sleep").arg("300"))).collect();
    let mut command = marked(target_path("pair").to_str().expect("a plain path"));
    command.args(["3", "1", "0"]);
    let mut leaking = Target::start(&machine, command);
    leaking.run_pairs(1);
    let mut trace = machine.leaktrace("--env LEAKTRACE_CROWD=yes --format json 2");
    let said = trace.wait_until_said("tracing");
    assert!(said.contains("tracing 500 processes, and those to come"), "{said}");
    leaking.say("leak 1000 200");
    let leaks = |report: &Value| stacks(report).first().is_some_and(|stack| first_function(stack) == "leak_slowly");
    let report = until(&mut trace, "the leak", leaks);
    assert_eq!(pids(&report).len(), CROWD + 1);
    assert_eq!(number(&stacks(&report)[0], "pid"), u64::from(leaking.pid()));
    assert_eq!(number(&report["totals"], "outstanding_count"), number(&stacks(&report)[0], "outstanding_count"));
    // A process of the crowd that goes is told of no more.
    drop(crowd);
    until(&mut trace, "the end of the crowd", |report| pids(report) == [u64::from(leaking.pid())]);
    let began = Instant::now();
    trace.end().well();
    assert!(began.elapsed() < Duration::from_secs(10), "it lets go of so many in time");
}

#[test]
fn a_program_that_starts_later_is_traced_under_its_name_and_no_other_is() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let (wanted, other) = (copy(&scratch, "pair", "newcomer"), copy(&scratch, "pair", "stranger"));
    let mut trace = machine.leaktrace("--comm newcome? --format json 1");
    trace.wait_until_said("there is no process called newcome? yet; waiting for one");
    let (mut one, _other) = (pair(&machine, &wanted), pair(&machine, &other));
    until(&mut trace, "the newcomer", |report| pids(report) == [u64::from(one.pid())]);
    one.say("leak 1000 200");
    let leaks = |report: &Value| stacks(report).iter().any(|stack| first_function(stack) == "leak_slowly");
    let report = until(&mut trace, "its leak", leaks);
    assert_eq!(report["processes"][0]["comm"], "newcomer");
    let second = pair(&machine, &wanted);
    until(&mut trace, "the second", |report| pids(report).contains(&u64::from(second.pid())));
    drop((one, second));
    // There may be others to come.
    until(&mut trace, "their end", |report| pids(report).is_empty());
    trace.end().well();
}

#[test]
fn a_process_is_traced_as_long_as_its_program_is_what_was_asked_for() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let (before, after) = (copy(&scratch, "pair", "asked-for"), copy(&scratch, "pair", "not-asked-for"));
    let script = format!("sleep 3; exec {} 3 1 0", after.display());
    let mut trace = machine.leaktrace("--comm asked-for --format json 500ms");
    trace.wait_until_said("waiting for one");
    let shell = scratch.path("asked-for-shell");
    fs::copy("/bin/sh", &shell).expect("a shell");
    let renamed = scratch.path("bin/asked-for");
    fs::create_dir(scratch.path("bin")).expect("a folder");
    fs::rename(&shell, &renamed).expect("a name");
    let running = machine.program(Command::new(&renamed).args(["-c", &script]).stdin(std::process::Stdio::piped()));
    until(&mut trace, "the shell", |report| pids(report).contains(&u64::from(running.pid())));
    until(&mut trace, "its other program", |report| !pids(report).contains(&u64::from(running.pid())));
    drop(before);
    trace.end().well();
}

/// A control group that is gone with this.
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Self {
        let name = format!("leaktrace-{name}-{}", std::process::id());
        let roots = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(Path::new);
        let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists()).expect("control groups");
        fs::create_dir(root.join(&name)).expect("a group");
        Self(root.join(name))
    }

    fn add(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a process joins");
    }

    fn remove(&self) {
        wait_until("an empty group", || fs::remove_dir(&self.0).is_ok() || !self.0.exists());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn the_processes_of_a_control_group_are_traced_until_it_is_gone() {
    let (machine, group) = (Machine::shared(), Group::new("case"));
    let mut inside = machine.target("pair", "3 1 0");
    inside.run_pairs(1);
    let outside = machine.target("pair", "3 1 0");
    group.add(inside.pid());
    let path = group.0.to_str().expect("a plain path");
    let mut trace = machine.leaktrace(&format!("--cgroup {path} --format json 1"));
    until(&mut trace, "the one inside", |report| pids(report) == [u64::from(inside.pid())]);
    drop((inside, outside));
    group.remove();
    let ended = trace.wait().well();
    assert!(ended.errors.contains("any more: it is gone"), "{}", ended.errors);
}

#[test]
fn a_program_is_seen_before_its_first_thousand_allocations() {
    // The machine may be busy with other tests when it comes.
    const TRIES: usize = 5;
    let (machine, scratch) = (Machine::alone(), Scratch::new());
    let name = "early-python";
    let program = scratch.path(name);
    fs::copy(python_path().canonicalize().expect("CPython"), &program).expect("a copy");
    let home = python_path().canonicalize().expect("CPython");
    let home = home.parent().and_then(Path::parent).expect("its home");
    let python = || {
        let mut command = Command::new(&program);
        command.env("PYTHONHOME", home).args(["-c", "import time; time.sleep(1.5)"]);
        command
    };
    let mut command = Command::new(crate::harness::leaktrace_path());
    command.args(["run", "--format", "json", "--"]).arg(python().get_program()).args(python().get_args());
    command.env("PYTHONHOME", home);
    let whole = number(&machine.leaktrace_by(command).wait().last_report()["totals"], "allocated_count");
    let mut missed = Vec::new();
    for _ in 0..TRIES {
        let mut trace = machine.leaktrace(&format!("--comm {name} -s exact --budget off --format json 500ms"));
        trace.wait_until_said("waiting for one");
        sleep(Duration::from_millis(500));
        let mut running = machine.program(&mut python());
        running.wait();
        let seen = number(&trace.end().last_report()["totals"], "allocated_count");
        missed.push(whole.saturating_sub(seen));
        if seen + 1000 > whole {
            return;
        }
    }
    panic!("of {whole} allocations these were missed: {missed:?}");
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let machine = Machine::shared();
    for (arguments, said) in [
        ("--cgroup /no/such/group", "there is no process in the control group /no/such/group"),
        ("--cgroup x", "neither a control group nor the id of a container"),
        ("--env =x", "no variable; give NAME or NAME=VALUE"),
        ("--all --comm x", "cannot be used with"),
        ("--all -p 1", "cannot be used with"),
    ] {
        let line = machine.leaktrace(arguments).wait().refusal();
        assert!(line.contains(said), "{arguments}: {line}");
    }
}
