//! A clean Debian to install leaktrace's package on: a disk, a kernel and its first programs, for a virtual machine.
//!
//! It is of the suite that this machine runs, for the package is made for that one, and comes from the archive that apt
//! here takes its packages from. It is made once. What a test does in it is not kept; all that it has beyond Debian's
//! smallest system is a service that does what is on its second disk, and turns the machine off.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::packages::{self, Family};
use crate::{paths, run};

/// What makes and runs it: a program each, and the Debian package that has it.
const TOOLS: [(&str, &str); 3] = [
    ("/usr/sbin/debootstrap", "debootstrap"),
    ("/sbin/mke2fs", "e2fsprogs"),
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
];

/// Packages beyond the smallest system: what starts it.
const PACKAGES: &str = "systemd,systemd-sysv,initramfs-tools,linux-image-cloud-amd64";

/// The disk's size.
const SIZE: &str = "1500M";

/// Runs the script `errand.sh` in the archive that is the second disk.
const ERRAND: &str = "\
[Unit]
Description=What the second disk says
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mkdir -p /run/errand && tar -xf /dev/vdb -C /run/errand && exec sh /run/errand/errand.sh'
ExecStopPost=/bin/systemctl poweroff --force --force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
TimeoutStartSec=infinity

[Install]
WantedBy=graphical.target
";

/// Makes sure that it is there.
pub fn ensure() -> Result<()> {
    let place = paths::clean_debian();
    // Written last.
    if place.join("disk").exists() {
        return Ok(());
    }
    ensure!(Family::here() == Family::Debian, "a clean Debian is made on Debian only");
    let missing: Vec<&str> =
        TOOLS.into_iter().filter(|(tool, _)| !Path::new(tool).exists()).map(|(_, package)| package).collect();
    if !missing.is_empty() {
        packages::install(&missing, "a clean Debian for the tests", &[])?;
    }
    let (archive, suite) = origin()?;
    eprintln!("Making a clean Debian ({suite}) under {}, for the tests …", paths::short(&place));
    let root = place.join("root");
    let as_root = |program: &str| run::as_root(program);
    run::run(as_root("rm").arg("-rf").arg(&place))?;
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", paths::short(&place)))?;
    let mut debootstrap = as_root("debootstrap");
    debootstrap.args(["--variant=minbase", "--include", PACKAGES, &suite]).arg(&root).arg(&archive);
    run::output(&mut debootstrap).context("the clean Debian cannot be made")?;
    let unit = place.join("errand.service");
    fs::write(&unit, ERRAND).with_context(|| format!("cannot write {}", paths::short(&unit)))?;
    run::run(as_root("install").args(["-m", "644"]).arg(&unit).arg(root.join("etc/systemd/system")))?;
    run::output(as_root("chroot").arg(&root).args(["systemctl", "enable", "errand.service"]))?;
    run::output(as_root("chroot").arg(&root).args(["apt-get", "clean"]))?;
    // The links to the newest kernel.
    for (link, name) in [("vmlinuz", "vmlinuz"), ("initrd.img", "initrd")] {
        run::run(as_root("cp").arg("--dereference").args([root.join(link), place.join(name)]))?;
    }
    let disk = place.join("disk.new");
    let mut make = as_root("/sbin/mke2fs");
    run::run(make.args(["-q", "-t", "ext4", "-d"]).arg(&root).arg(&disk).arg(SIZE))?;
    run::run(as_root("rm").arg("-rf").arg(&root))?;
    run::run(as_root("mv").args([disk, place.join("disk")]))
}

/// The archive that apt takes this machine's packages from, and the suite.
fn origin() -> Result<(String, String)> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = suite.context("/etc/os-release names no suite of Debian")?.trim_matches('"').to_owned();
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"]);
    let said = run::output(targets.arg(format!("Codename: {suite}")))?;
    let archive =
        said.lines().next().with_context(|| format!("apt has no source for {suite}: run `apt-get update`"))?;
    Ok((archive.to_owned(), suite))
}
