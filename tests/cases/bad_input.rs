//! What cannot be done is refused: exit code 2, one line on standard error that says what to do, nothing on standard
//! output.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::harness::{Leaktrace, Machine, Running, Scratch, Target, leaktrace_path, wait_until};

/// `PF_KTHREAD` of `/proc/PID/stat`'s flags.
const PF_KTHREAD: u64 = 0x0020_0000;

/// Fails unless leaktrace refuses these arguments with a line that contains all of this.
fn refuses(machine: &Machine, arguments: &str, said: &[&str]) {
    check(machine.leaktrace(arguments), arguments, said);
}

fn check(leaktrace: Leaktrace, arguments: &str, said: &[&str]) {
    let line = leaktrace.wait().refusal();
    for part in said {
        assert!(line.contains(part), "leaktrace {arguments}\nsays:    {line}\nwithout: {part}");
    }
}

/// A program to give the PID of, that waits for a word.
fn idle(machine: &Machine) -> Target {
    let mut target = machine.target("pair", "1 1 0");
    target.run_pairs(1);
    target
}

#[test]
fn a_pid_without_a_process_is_refused() {
    let machine = Machine::shared();
    // Beyond the greatest PID that the kernel gives out.
    let free = "4194305";
    refuses(&machine, &format!("-p {free}"), &[free, "no process"]);
    refuses(&machine, "-p 4294967295", &["4294967295"]);
}

#[test]
fn what_is_no_pid_is_refused() {
    let machine = Machine::shared();
    for pid in ["0", "-1", "redis", "1.5", "99999999999", "1,x"] {
        refuses(&machine, &format!("-p {pid}"), &["not a process id"]);
    }
    refuses(&machine, "-p", &[]);
}

#[test]
fn a_kernel_thread_is_refused() {
    let machine = Machine::shared();
    let is_kernel_thread = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, which may hold anything, in its parentheses: state, ppid, pgrp, session, tty, tpgid, flags.
        let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse::<u64>().ok());
        flags.is_some_and(|flags| flags & PF_KTHREAD != 0)
    };
    let pids = fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let pid = { pids }.find(is_kernel_thread).expect("a kernel thread, unless this is a PID namespace");
    refuses(&machine, &format!("-p {pid}"), &[&pid.to_string(), "kernel thread"]);
}

#[test]
fn leaktrace_itself_is_refused() {
    let machine = Machine::shared();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$0\" -p $$"]).arg(leaktrace_path());
    check(machine.leaktrace_by(command), "-p $$", &["leaktrace itself"]);
}

#[test]
fn a_thread_is_refused_and_its_process_named() {
    let machine = Machine::shared();
    let target = idle(&machine);
    let process = target.pid().to_string();
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("a running process");
    let names = tasks.map(|task| task.expect("a task").file_name().into_string().expect("a number"));
    let thread = { names }.find(|name| *name != process).expect("pair has a second thread");
    refuses(&machine, &format!("-p {thread}"), &["thread", &format!("-p {process}")]);
}

#[test]
fn a_process_given_twice_is_refused() {
    let machine = Machine::shared();
    let pid = idle(&machine).pid();
    let target = idle(&machine);
    refuses(&machine, &format!("-p {0} -p {0}", target.pid()), &["twice"]);
    // The first one is gone by now: one bad PID among good ones is said, too.
    refuses(&machine, &format!("-p {},{pid}", target.pid()), &[&pid.to_string()]);
}

#[test]
fn a_process_that_has_exited_is_refused() {
    let machine = Machine::shared();
    let mut target = idle(&machine);
    target.kill();
    // Its parent, this test, does not wait for it.
    let stat = format!("/proc/{}/stat", target.pid());
    wait_until("a zombie", || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") Z ")));
    refuses(&machine, &format!("-p {}", target.pid()), &["exited"]);
}

#[test]
fn a_process_that_dies_while_leaktrace_starts_is_refused_or_reported() {
    let machine = Machine::shared();
    // Long-lived enough to be there at first, short-lived enough to be gone somewhere on the way.
    for tenths in 0..5 {
        let mut command = Command::new("sleep");
        let mut target = machine.program(command.arg(format!("0.{}", tenths * 7 % 10)).stdout(Stdio::null()));
        let outcome = machine.leaktrace(&format!("-p {} --format json", target.pid())).wait();
        if outcome.code == Some(0) {
            assert_eq!(outcome.last_report()["processes"][0]["alive"], false);
        } else {
            let line = outcome.refusal();
            assert!(line.contains("exited") || line.contains("no process"), "{line}");
        }
        target.wait();
    }
}

#[test]
fn a_user_without_privileges_is_told_which() {
    let machine = Machine::shared();
    let target = idle(&machine);
    let scratch = Scratch::new();
    // Where nobody may look, too: a home may be closed.
    let program = scratch.path("leaktrace");
    fs::copy(leaktrace_path(), &program).expect("a copy");
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups"]).arg(&program).args(["-p", &target.pid().to_string()]);
    check(machine.leaktrace_by(command), "-p PID", &["CAP_BPF", "CAP_PERFMON"]);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups"]).arg(&program).args(["run", "--", "/bin/true"]);
    check(machine.leaktrace_by(command), "run -- /bin/true", &["CAP_BPF", "CAP_PERFMON"]);
}

/// A static program without any function but its start.
fn bare_program(scratch: &Scratch) -> PathBuf {
    let program = scratch.path("bare");
    let source = scratch.file("bare.s", ".globl _start\n_start: mov $34, %eax\nsyscall\njmp _start\n");
    let made = Command::new("cc").args(["-nostdlib", "-static", "-o"]).arg(&program).arg(&source).status();
    assert!(made.expect("a C compiler").success());
    program
}

/// Starts a program, and waits until the kernel has replaced this test's image with it: that one has a libc.
fn start(machine: &Machine, program: &Path) -> Running {
    let running = machine.program(&mut Command::new(program));
    let exe = format!("/proc/{}/exe", running.pid());
    wait_until("the program's start", || fs::read_link(&exe).is_ok_and(|exe| exe == program));
    running
}

#[test]
fn a_program_without_an_allocator_is_refused_and_what_was_searched_named() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let program = bare_program(&scratch);
    let bare = start(&machine, &program);
    let path = program.to_str().expect("a plain path");
    refuses(&machine, &format!("-p {}", bare.pid()), &["no allocator", path, "-O"]);
    refuses(&machine, &format!("run -- {path}"), &["no allocator", path, "-O"]);
    refuses(&machine, &format!("-p {} --symbols-prefix je_", bare.pid()), &["je_malloc", path]);
}

#[test]
fn a_prefix_that_no_allocator_has_is_refused() {
    let machine = Machine::shared();
    let target = idle(&machine);
    refuses(&machine, &format!("-p {} --symbols-prefix je_", target.pid()), &["je_malloc", "libc.so.6", "-O"]);
}

#[test]
fn an_object_that_does_not_fit_is_refused() {
    let machine = Machine::shared();
    let target = idle(&machine);
    let scratch = Scratch::new();
    let text = scratch.file("text", "this is no program\n");
    let empty = scratch.file("empty", "");
    let mut other = fs::read(leaktrace_path()).expect("a program");
    // e_machine of the ELF header: 183 is AArch64.
    other[18..20].copy_from_slice(&183_u16.to_le_bytes());
    let other = scratch.file("other", other);
    let half = scratch.file("half", &fs::read(leaktrace_path()).expect("a program")[..40]);
    let missing = scratch.path("missing");
    for object in [&text, &empty, &other, &half, &missing] {
        let path = object.to_str().expect("a plain path");
        refuses(&machine, &format!("-p {} -O {path}", target.pid()), &[path]);
    }
    refuses(&machine, &format!("-p {} -O /tmp", target.pid()), &["/tmp", "not a file"]);
    refuses(&machine, &format!("-p {} -O /dev/zero", target.pid()), &["/dev/zero", "not a file"]);
}

#[test]
fn an_object_that_the_process_does_not_map_is_refused() {
    let machine = Machine::shared();
    let target = idle(&machine);
    let path = leaktrace_path();
    let path = path.to_str().expect("a plain path");
    refuses(&machine, &format!("-p {} -O {path}", target.pid()), &[path, "not mapped"]);
}

#[test]
fn an_object_without_an_allocator_is_refused() {
    let machine = Machine::shared();
    let target = idle(&machine);
    let own = fs::read_link(format!("/proc/{}/exe", target.pid())).expect("a running process");
    let path = own.to_str().expect("a plain path");
    refuses(&machine, &format!("-p {} -O {path}", target.pid()), &[path, "malloc"]);
}

#[test]
fn an_interval_that_is_none_is_refused() {
    let machine = Machine::shared();
    let target = idle(&machine);
    for interval in ["0", "0s", "-1", "soon", "5 0", "5 -1", "5 many", "1e400", "nan", "5 1 1"] {
        let arguments = format!("-p {} {interval}", target.pid());
        let last = interval.rsplit(' ').next().unwrap_or_default();
        refuses(&machine, &arguments, &[last]);
    }
}

#[test]
fn an_option_without_sense_is_refused() {
    let machine = Machine::shared();
    let target = idle(&machine);
    for options in [
        "--duration 0",
        "--duration -5s",
        "--older never",
        "-T 0",
        "-T -1",
        "-z big",
        "-z -1",
        "-z 2K -Z 1K",
        "--sort colour",
        "--format xml",
        "--sample 0",
        "--ring-size 5K",
        "--ring-size 0",
        "-s 0",
        "-s -1",
        "-s often",
        "-s 999T",
        "--budget 0",
        "--budget -5",
        "--budget 101",
        "--budget nan",
        "--budget inf",
        "--budget much",
        "--no-such-option",
        "-q -v",
        "-c true",
    ] {
        refuses(&machine, &format!("-p {} {options}", target.pid()), &[]);
    }
}

#[test]
fn a_command_line_that_names_nothing_to_trace_is_refused() {
    let machine = Machine::shared();
    refuses(&machine, "", &["-p", "run"]);
    refuses(&machine, "5 1", &["-p", "run"]);
}

#[test]
fn what_it_is_given_cannot_reach_the_terminal_through_its_refusal() {
    let machine = Machine::shared();
    let hostile = "\x1b]0;x\x07\u{9b}2J\u{202e}";
    let controls = ['\x1b', '\x07', '\u{9b}', '\u{202e}'];
    for arguments in
        [vec!["-p", hostile], vec!["run", "--", hostile], vec!["-c", hostile], vec!["-T", hostile], vec![hostile]]
    {
        let line = machine.leaktrace_with(&arguments).wait().refusal();
        assert!(!line.contains(controls), "{line:?}");
    }
    // A file that is called so, and is searched in vain.
    let scratch = Scratch::new();
    let program = scratch.path(hostile);
    fs::rename(bare_program(&scratch), &program).expect("our folder");
    let bare = start(&machine, &program);
    let line = machine.leaktrace(&format!("-p {}", bare.pid())).wait().refusal();
    assert!(line.contains("no allocator") && !line.contains(controls), "{line:?}");
}
