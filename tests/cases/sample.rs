//! `leaktrace sample`: one look at a systemd unit, found by its control group, or at a program, found by its name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Leaktrace, Machine, Scratch, Target, target_path, wait_until};

/// A control group as systemd would make one for a unit, gone when this is dropped.
struct Group(PathBuf);

impl Group {
    /// Makes one of this name, `NAME-PID` with an ending.
    fn new(name: &str, ending: &str) -> Self {
        let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root =
            mounts.find(|words| words[2] == "cgroup2").expect("control groups of the second version")[1].to_owned();
        let path = Path::new(&root).join(format!("{name}-{}{ending}", process::id()));
        fs::create_dir(&path).expect("root makes groups");
        Self(path)
    }

    fn below(&self, name: &str) -> Self {
        let path = self.0.join(name);
        fs::create_dir(&path).expect("root makes groups");
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.file_name().and_then(|name| name.to_str()).expect("a plain name")
    }

    fn take(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a process may be moved");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The last process has been killed, and is reaped in a moment.
        let began = Instant::now();
        while fs::remove_dir(&self.0).is_err() && began.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(10));
        }
    }
}

/// A program of this name that leaks 200 KB a second.
fn leaking(machine: &Machine, scratch: &Scratch, name: &str) -> Target {
    let path = scratch.path(name);
    if !path.exists() {
        fs::copy(target_path("pair"), &path).expect("a copy");
    }
    let mut command = Command::new(path);
    command.args(["3", "1", "0"]);
    let mut target = Target::start(machine, command);
    target.run_pairs(1);
    target.say("leak 1000 200");
    target
}

fn sample(machine: &Machine, kept: &Path, more: &str) -> Leaktrace {
    machine.leaktrace(&format!("sample --directory {} {more}", kept.display()))
}

/// What the history of a name says.
fn history(machine: &Machine, kept: &Path, name: &str) -> Value {
    let kept = kept.to_str().expect("a plain path");
    machine.leaktrace_with(["history", "--format", "json", "--directory", kept, name]).wait().reports().remove(0)
}

#[test]
fn the_main_process_of_a_unit_is_looked_at_and_the_session_is_of_the_unit() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let kept = scratch.path("kept");
    let slice = Group::new("leaktrace-case", ".slice");
    let unit = slice.below(&format!("leaktrace\\x2dcase-{}.service", process::id()));
    let part = unit.below("workers");
    let main = leaking(&machine, &scratch, "unit-main");
    let worker = leaking(&machine, &scratch, "unit-worker");
    part.take(main.pid());
    unit.take(worker.pid());
    let name = unit.name().replace("\\x2d", "-");
    let outcome = sample(&machine, &kept, &format!("--for 5s {name}")).wait().well();
    let who = format!("unit-main (pid {}): ", main.pid());
    let found = outcome.errors.lines().last().expect("a line");
    assert!(found.contains(&who) && found.contains("at leak_slowly (pair.c:"), "the oldest is the main one: {found}");
    assert!(found.contains("; kept in "), "{found}");
    for name in [&name, unit.name(), "unit-main"] {
        let told = history(&machine, &kept, name);
        let session = &told["sessions"][0];
        assert_eq!(session["pid"], main.pid());
        assert!(session["cgroup"].as_str().is_some_and(|path| path.contains(unit.name())), "{session}");
    }
    drop((main, worker));
}

#[test]
fn what_does_not_run_is_refused() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let kept = scratch.path("kept");
    let empty = Group::new("leaktrace-empty", ".service");
    let refuses = |arguments: &str, parts: &[&str]| {
        let line = sample(&machine, &kept, arguments).wait().refusal();
        assert!(parts.iter().all(|part| line.contains(part)), "sample {arguments}: {line}");
    };
    refuses("leaktrace-none.service", &["neither a unit nor a program leaktrace-none.service"]);
    refuses(empty.name(), &[empty.name(), "has no process now"]);
    refuses("--for 1s x", &["--for", "5s or more"]);
    refuses("--fail-on never x", &["--fail-on", "is no condition"]);
    refuses("--directory /proc/none x", &["--directory"]);
    let history = machine.leaktrace(&format!("history --directory {}", kept.display())).wait().refusal();
    assert!(history.contains("there is no session in"), "{history}");
}

#[test]
fn of_several_processes_the_one_with_most_memory_is_taken_and_a_condition_that_holds_ends_with_1() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let kept = scratch.path("kept");
    // Longer than the kernel's names are.
    let name = "a-program-with-a-long-name";
    let _small = leaking(&machine, &scratch, name);
    let mut large = leaking(&machine, &scratch, name);
    large.say("leak 4000 2000");
    let resident = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    };
    wait_until("it holds more", || resident(large.pid()) > 8 << 10);
    let outcome = sample(&machine, &kept, &format!("--for 5s --fail-on bytes=1K {name}")).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains(&format!("1 more process called {name}; taken is pid {}", large.pid())));
    assert!(outcome.errors.contains("kept in") && outcome.errors.contains("--fail-on bytes:"), "{}", outcome.errors);
}

#[test]
fn a_process_that_ends_and_its_group_that_goes_are_said_and_the_session_stays() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let kept = scratch.path("kept");
    let unit = Group::new("leaktrace-ends", ".service");
    let mut target = leaking(&machine, &scratch, "ends");
    unit.take(target.pid());
    let mut look = sample(&machine, &kept, &format!("--for 60s {}", unit.name()));
    look.wait_until_said("looking at");
    sleep(Duration::from_secs(4));
    target.kill();
    target.wait();
    let name = unit.name().to_owned();
    drop(unit);
    let outcome = look.wait().well();
    assert!(outcome.errors.contains("; the process ended after "), "{}", outcome.errors);
    assert_eq!(history(&machine, &kept, &name)["sessions"].as_array().map(Vec::len), Some(1));
}

#[test]
fn told_to_stop_it_ends_at_once_and_its_session_is_whole_as_it_was_readable_before() {
    let (machine, scratch) = (Machine::alone(), Scratch::new());
    let kept = scratch.path("kept");
    let target = leaking(&machine, &scratch, "stops");
    let mut look = sample(&machine, &kept, "--for 60s stops");
    look.wait_until_said("looking at");
    sleep(Duration::from_secs(4));
    assert_eq!(history(&machine, &kept, "stops")["sessions"][0]["pid"], target.pid(), "while it is recorded");
    let asked = Instant::now();
    kill_process(Pid::from_raw(look.pid().cast_signed()).expect("a pid"), Signal::TERM).expect("it runs");
    let outcome = look.wait().well();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(outcome.errors.contains("kept in"), "{}", outcome.errors);
    let session = fs::read_dir(&kept).expect("the directory").flatten().next().expect("a session").path();
    machine.leaktrace_with(["table", session.to_str().expect("a plain path")]).wait().well();
}
