//! Containers: a process in namespaces of its own runs files that are not where its paths lead from here. What is read
//! and probed is the file that is mapped, wherever it lies and whatever has been put in its place since.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::{Books, Machine, Scratch, Target, number, stacks, target_path, wait_until};

/// Where the program lies in the container: here, that is another program.
const PROGRAM: &str = "bin/sh";

/// Rounds of `leak-c`.
const ROUNDS: &str = "200";

/// The libraries that a program maps.
fn libraries(machine: &Machine, name: &str) -> Vec<PathBuf> {
    let mut target = machine.target(name, "1");
    target.hear();
    let maps = fs::read_to_string(format!("/proc/{}/maps", target.pid())).expect("a running process");
    let files = maps.lines().filter(|line| line.contains(" r-xp ")).filter_map(|line| line.split_whitespace().nth(5));
    files.filter(|path| path.contains(".so")).map(PathBuf::from).collect()
}

/// A folder to be the root of a container: `leak-c` and what it needs.
fn fill_root(machine: &Machine, root: &Path) {
    let put = |file: &Path, path: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("our folder");
        fs::copy(file, path).expect("a copy");
    };
    put(&target_path("leak-c"), PROGRAM);
    for library in libraries(machine, "leak-c") {
        let name = library.file_name().and_then(|name| name.to_str()).expect("a plain name");
        // Where programs name their loader, and where that is told to look.
        put(&library, &format!("lib64/{name}"));
    }
}

/// Runs shell commands in mount and PID namespaces of their own, the last of which becomes the target. With its starter
/// goes the whole container, and with that everything that it has mounted.
fn contain(machine: &Machine, commands: &str, folder: &Path) -> Target {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-e", "-c", commands, "sh"]).arg(folder);
    command.env("LD_LIBRARY_PATH", "/lib64");
    let mut target = Target::start(machine, command);
    assert_eq!(target.hear(), "ready 1", "the target is the first of its PID namespace");
    target
}

/// The process that a starter has started, by its id here.
fn only_child(of: u32) -> u32 {
    let mut children = String::new();
    wait_until("a child", || {
        children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).expect("a running process");
        !children.is_empty()
    });
    children.trim().parse().expect("one child")
}

/// Fails unless the books of `leak-c`, which runs as this process, are kept right, and its functions named.
fn check(machine: &Machine, target: &mut Target, pid: u32, meanwhile: impl FnOnce()) {
    let leaktrace = machine.attach(pid, "--format json -T 10000 60");
    let books = Books::of(target);
    meanwhile();
    let report = leaktrace.end().last_report();
    books.check(&report, pid);
    assert_eq!(report["loss"]["complete"], true, "{}", report["loss"]);
    assert_eq!(number(&report["totals"], "allocated_bytes"), books.allocated().0);
    for stack in stacks(&report) {
        let frames = stack["frames"].as_array().expect("frames");
        let named = frames.iter().filter(|frame| frame["file"].as_str().is_some_and(|file| file.ends_with("leak.c")));
        // All but what the C library calls by itself, see the harness's books.
        assert!(named.count() >= 5 || frames.len() == 1, "lines of the source: {stack}");
    }
}

#[test]
fn a_process_in_another_mount_and_pid_namespace_with_a_c_library_of_its_own() {
    let machine = Machine::shared();
    let root = Scratch::new();
    fill_root(&machine, &root.path(""));
    let mut target = contain(&machine, &format!("exec chroot \"$1\" /{PROGRAM} {ROUNDS}"), &root.path(""));
    let pid = only_child(target.pid());
    check(&machine, &mut target, pid, || {});
}

#[test]
fn a_process_whose_root_is_an_overlay() {
    let machine = Machine::shared();
    let has_overlays = || fs::read_to_string("/proc/filesystems").expect("/proc").contains("\toverlay\n");
    let _ = has_overlays() || Command::new("modprobe").arg("overlay").status().is_ok();
    assert!(has_overlays(), "this kernel has no overlay filesystem, so that leaktrace cannot be tried on one");
    let scratch = Scratch::new();
    fill_root(&machine, &scratch.path("lower"));
    // The upper part is on a filesystem that may be one where the scratch folder's may not, as an overlay is itself.
    // The C library is written, and with that copied from the lower part to the upper: the program lies in the one, the
    // C library in the other.
    let commands = format!(
        "cd \"$1\"; mkdir room root; mount -t tmpfs room room; mkdir room/upper room/work; \
         mount -t overlay -o lowerdir=lower,upperdir=room/upper,workdir=room/work overlay root; \
         touch root/lib64/libc.so.6; exec chroot root /{PROGRAM} {ROUNDS}"
    );
    let mut target = contain(&machine, &commands, &scratch.path(""));
    let pid = only_child(target.pid());
    check(&machine, &mut target, pid, || {});
}

/// `leak-c` outside of containers, from copies of all its files in this folder.
fn from_copies(machine: &Machine, scratch: &Scratch) -> Target {
    let mut copies = libraries(machine, "leak-c");
    copies.push(target_path("leak-c"));
    for file in &copies {
        fs::copy(file, scratch.path("").join(file.file_name().expect("a name"))).expect("a copy");
    }
    let mut command = Command::new(scratch.path("leak-c"));
    command.arg(ROUNDS).env("LD_LIBRARY_PATH", scratch.path(""));
    let mut target = Target::start(machine, command);
    assert!(target.hear().starts_with("ready "));
    let maps = fs::read_to_string(format!("/proc/{}/maps", target.pid())).expect("a running process");
    let own = scratch.path("libc.so.6");
    assert!(maps.contains(own.to_str().expect("a plain path")), "{maps}");
    target
}

/// Puts other files in the place of those that a process maps.
fn replace_files(scratch: &Scratch) {
    for (file, other) in [("libc.so.6", "/proc/self/exe"), ("leak-c", "/bin/sh")] {
        let next = scratch.path("next");
        fs::copy(other, &next).expect("a copy");
        fs::rename(next, scratch.path(file)).expect("our folder");
    }
}

#[test]
fn a_process_whose_c_library_was_replaced_and_whose_program_was_removed() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let mut target = from_copies(&machine, &scratch);
    replace_files(&scratch);
    fs::remove_file(scratch.path("leak-c")).expect("our file");
    let pid = target.pid();
    check(&machine, &mut target, pid, || {});
}

#[test]
fn a_process_whose_c_library_was_removed_and_whose_program_was_replaced() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let mut target = from_copies(&machine, &scratch);
    replace_files(&scratch);
    fs::remove_file(scratch.path("libc.so.6")).expect("our file");
    let pid = target.pid();
    check(&machine, &mut target, pid, || {});
}

#[test]
fn a_process_whose_files_are_replaced_while_it_is_traced() {
    let machine = Machine::shared();
    let scratch = Scratch::new();
    let mut target = from_copies(&machine, &scratch);
    let pid = target.pid();
    check(&machine, &mut target, pid, || replace_files(&scratch));
}
