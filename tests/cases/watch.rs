//! `leaktrace watch`: it finds the process that grows among others, looks at it alone, keeps a session, and leaves the rest in
//! peace.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Leaktrace, Machine, Scratch, Target, leaktrace_path, target_path};

/// Rounds every half second, for looks at what has grown for ten seconds.
const SHORT: &str = "--interval 500ms --within 10s --least-growth 256K";

/// A program of this name that leaks when it is told to. Only watches that allow the name look at it: other tests' programs
/// leak, too.
fn program(machine: &Machine, scratch: &Scratch, name: &str) -> Target {
    let path = scratch.path(name);
    if !path.exists() {
        fs::copy(target_path("pair"), &path).expect("a copy");
    }
    let mut command = Command::new(path);
    command.args(["3", "1", "0"]);
    let mut target = Target::start(machine, command);
    target.run_pairs(1);
    target
}

/// Loses 200 KB a second from now on.
fn leak(target: &mut Target) {
    target.say("leak 1000 200");
}

fn watch(machine: &Machine, directory: &Path, more: &str) -> Leaktrace {
    let directory = directory.to_str().expect("a plain path");
    let mut watch = machine.leaktrace(&format!("watch --directory {directory} {more}"));
    watch.wait_until_said("watching every process");
    watch
}

fn sessions(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "leak")).collect()
}

/// Has a watch find the one of several programs of this name that grows.
fn finds_the_one_that_grows(
    machine: &Machine,
    scratch: &Scratch,
    name: &str,
    start: impl FnOnce(&Path, &str) -> Leaktrace,
) {
    let kept = scratch.path("kept");
    let mut leaking = program(machine, scratch, name);
    let _idle: Vec<Target> = (0..3).map(|_| program(machine, scratch, name)).collect();
    let mut watch = start(&kept, &format!("--look 8s --allow {name}"));
    leak(&mut leaking);
    let who = format!("{name} (pid {})", leaking.pid());
    let decided = watch.wait_until_said("looking closer");
    assert!(decided.contains(&who) && decided.contains("grew in") && decided.contains("MiB/min"), "{decided}");
    let found = watch.wait_until_said("no other look for 30 m");
    assert!(found.contains(&who) && found.contains("at leak_slowly (pair.c:") && found.contains("kept in"), "{found}");
    let sessions = sessions(&kept);
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    let file = session.file_name().unwrap().to_string_lossy().into_owned();
    assert!(file.starts_with(&format!("{name}-{}-", leaking.pid())), "{file}");
    let summary = machine.leaktrace_with(["summary", session.to_str().unwrap()]).wait().well();
    assert!(summary.output.contains("leak_slowly"), "{}", summary.output);
    watch.end().well();
}

#[test]
fn the_process_that_grows_is_looked_at_and_its_stack_is_named() {
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    finds_the_one_that_grows(&machine, &scratch, "grower", |kept, more| {
        watch(&machine, kept, &format!("{SHORT} {more}"))
    });
}

/// The capabilities that the service has, as the unit says.
fn capabilities() -> Vec<String> {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../leak-user/dist/systemd/leaktrace-watch.service");
    let unit = fs::read_to_string(unit).expect("the unit");
    let line = unit.lines().find_map(|line| line.strip_prefix("AmbientCapabilities=")).expect("its capabilities");
    line.split_whitespace().map(|name| name.trim_start_matches("CAP_").to_lowercase()).collect()
}

#[test]
fn as_nobody_and_with_the_capabilities_of_the_service_it_does_the_same() {
    const NOBODY: u32 = 65534;
    let (machine, scratch) = (Machine::shared(), Scratch::new());
    let capabilities = format!("-all,+{}", capabilities().join(",+"));
    finds_the_one_that_grows(&machine, &scratch, "served", |kept, more| {
        fs::create_dir(kept).unwrap();
        std::os::unix::fs::chown(kept, Some(NOBODY), Some(NOBODY)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs"]);
        for set in ["--bounding-set", "--inh-caps", "--ambient-caps"] {
            command.arg(format!("{set}={capabilities}"));
        }
        command.arg(leaktrace_path()).arg("watch").arg("--directory").arg(kept);
        command.args(SHORT.split_whitespace().chain(more.split_whitespace()));
        let mut watch = machine.leaktrace_by(command);
        watch.wait_until_said("watching every process");
        watch
    });
}

#[test]
fn what_a_list_denies_is_left_alone_until_the_list_is_read_again() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let list = scratch.file("list", "allow denied-first\ndeny denied*\n");
    let mut leaking = program(&machine, &scratch, "denied-first");
    let more = format!("{SHORT} --look 8s --list {}", list.display());
    let mut watch = watch(&machine, &scratch.path("kept"), &more);
    leak(&mut leaking);
    let decided = watch.wait_until_said("denied-first");
    assert!(decided.contains("not looked at, for it is denied"), "{decided}");
    fs::write(&list, "allow denied-first\nnonsense\n").unwrap();
    signal(&watch, Signal::HUP);
    let said = watch.wait_until_said("the lists stay as they were");
    assert!(said.contains("line 2") && said.contains("nonsense"), "{said}");
    fs::write(&list, "allow denied-first\n").unwrap();
    signal(&watch, Signal::HUP);
    watch.wait_until_said("the lists were read again");
    watch.wait_until_said("looking closer");
    watch.end().well();
}

#[test]
fn told_to_stop_in_the_middle_of_a_look_it_ends_at_once_and_keeps_the_session() {
    let machine = Machine::alone();
    let scratch = Scratch::new();
    let kept = scratch.path("kept");
    let mut leaking = program(&machine, &scratch, "stopped");
    let mut watch =
        watch(&machine, &kept, "--interval 200ms --within 3s --least-growth 64K --allow stopped --look 60s");
    leak(&mut leaking);
    watch.wait_until_said("looking closer");
    sleep(Duration::from_secs(3));
    let asked = Instant::now();
    let outcome = watch.end().well();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(outcome.errors.contains("kept in"), "{}", outcome.errors);
    let sessions = sessions(&kept);
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    machine.leaktrace_with(["table", session.to_str().unwrap()]).wait().well();
    // The process goes on, untraced.
    leaking.run_pairs(1);
}

#[test]
fn what_cannot_be_watched_so_is_refused() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let list = scratch.file("list", "deny\n");
    let file = scratch.file("file", "");
    let refuses = |arguments: &str, parts: &[&str]| {
        let line = machine.leaktrace(&format!("watch {arguments}")).wait().refusal();
        assert!(parts.iter().all(|part| line.contains(part)), "watch {arguments}: {line}");
    };
    refuses("--interval 1ms", &["--interval", "100ms"]);
    refuses("--within 20s", &["--within", "too few rounds"]);
    refuses("--at-once 0", &["--at-once", "1 or more"]);
    refuses(
        &format!("--directory {}", scratch.path("kept").display()).replace("--directory", "--list"),
        &["cannot be read"],
    );
    refuses(
        &format!("--directory {} --list {}", scratch.path("kept").display(), list.display()),
        &["line 1", "allow PATTERN"],
    );
    refuses(&format!("--directory {}", file.join("below").display()), &["--directory"]);
}

fn signal(leaktrace: &Leaktrace, signal: Signal) {
    let pid = Pid::from_raw(leaktrace.pid().cast_signed()).expect("a pid");
    kill_process(pid, signal).expect("it runs");
}
