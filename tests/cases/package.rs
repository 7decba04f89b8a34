//! What `cargo xtask dist` hands out: units that are sound and expose little, and, in full, the package on a clean Debian.
//!
//! The clean Debian is a virtual machine of its own, started anew from an image that `cargo xtask test --full` makes once:
//! systemd is to be the first process of its PID namespace, and leaktrace in the initial one. It is emulated, and slow.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::harness::{Lines, Machine, Scratch, clean_debian_path, dist_path, is_full, leaktrace_path, target_path};

/// What `systemd-analyze security` calls a unit's exposure, times ten: below this it is "OK".
const MOST_EXPOSED: &str = "40";

/// The units of this name in the repository.
fn units() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../leak-user/dist/systemd");
    let mut units: Vec<PathBuf> = fs::read_dir(folder).expect("the units").flatten().map(|unit| unit.path()).collect();
    units.sort();
    assert!(!units.is_empty());
    units
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// What a command says, all of it, and whether it ended well.
fn said(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let scratch = Scratch::new();
    // They name the place where leaktrace is installed; here it is elsewhere.
    let leaktrace = leaktrace_path().canonicalize().expect("leaktrace");
    for unit in units() {
        let text = fs::read_to_string(&unit).expect("a unit");
        scratch.file(&name(&unit), text.replace("/usr/bin/leaktrace", leaktrace.to_str().unwrap()));
    }
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["verify", "--man=no", "--recursive-errors=no"]);
    for unit in units() {
        // A template is looked at with something in its place.
        analyze.arg(scratch.path(&name(&unit).replace('@', "@redis-server")));
    }
    let (is_well, text) = said(&mut analyze);
    assert!(is_well && text.trim().is_empty(), "{text}");
}

#[test]
fn the_services_are_exposed_to_little() {
    let services = units().into_iter().filter(|unit| unit.extension().is_some_and(|kind| kind == "service"));
    for service in services {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--no-pager", "--offline=true", "--threshold", MOST_EXPOSED]).arg(&service);
        let (is_well, text) = said(&mut analyze);
        assert!(is_well, "{text}");
    }
}

#[test]
fn a_service_may_do_what_leaktrace_does_and_nothing_that_needs_more() {
    for service in units().into_iter().filter(|unit| unit.extension().is_some_and(|kind| kind == "service")) {
        let text = fs::read_to_string(&service).expect("a unit");
        let values = |key: &str| -> Vec<&str> {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("{} has no {key}", name(&service))).split_whitespace().collect()
        };
        let capabilities = ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"];
        assert_eq!(values("CapabilityBoundingSet"), capabilities);
        assert_eq!(values("AmbientCapabilities"), capabilities);
        // One directory of one user, whose sessions both of them keep.
        assert_eq!((values("User"), values("StateDirectory")), (vec!["leaktrace"], vec!["leaktrace"]));
    }
}

/// Does what the README says on a clean machine; each claim there is a line of the script.
#[test]
fn on_a_clean_debian_the_package_does_what_the_readme_says() {
    if !is_full() {
        return;
    }
    let (machine, scratch) = (Machine::alone(), Scratch::new());
    let errand = scratch.path("errand.tar");
    pack(&scratch, &errand);
    let mut debian = machine.program(&mut virtual_machine(&errand));
    let mut console = Lines::of(debian.stdout());
    let mut is_done = false;
    while !is_done && let Some(line) = console.next() {
        let line = line.trim();
        assert!(!line.contains("does not hold: "), "{line}\n{}", console.all());
        is_done = line.contains("the errand is done");
    }
    assert!(is_done, "the machine ended before its errand did:\n{}", console.all());
}

/// Puts the packages, a program that leaks and the script into one file.
fn pack(scratch: &Scratch, errand: &Path) {
    scratch.file("errand.sh", include_str!("package/errand.sh"));
    let handed_out = fs::read_dir(dist_path()).expect("what is handed out").flatten().map(|entry| entry.path());
    let handed_out = handed_out.filter(|path| path.is_file());
    for file in handed_out.chain([target_path("pair")]) {
        fs::copy(&file, scratch.path(&name(&file))).expect("a copy");
    }
    let (is_well, text) = said(
        Command::new("tar")
            .args(["--exclude=errand.tar", "--create", "--file"])
            .arg(errand)
            .arg("--directory")
            .arg(scratch.path(""))
            .arg("."),
    );
    assert!(is_well, "{text}");
}

/// A machine that boots the image, does what the file says, and is forgotten.
fn virtual_machine(errand: &Path) -> Command {
    let debian = clean_debian_path();
    let disk = |file: &Path, more: &str| format!("file={},format=raw,if=virtio,{more}", file.display());
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"]);
    // Emulated, as it is to run where no machine may run in a machine.
    command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"]);
    command.arg("-kernel").arg(debian.join("vmlinuz")).arg("-initrd").arg(debian.join("initrd"));
    // No login on the console: it would hang up on the errand.
    let login = "systemd.mask=serial-getty@ttyS0.service";
    command.arg("-append").arg(format!("root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off {login}"));
    command.arg("-drive").arg(disk(&debian.join("disk"), "snapshot=on"));
    command.arg("-drive").arg(disk(errand, "readonly=on"));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}
