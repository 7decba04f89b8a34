//! Debian packages: what installing some would do, and installing them.
//!
//! Nothing is ever removed: where apt would, we refuse and print the command. Nothing is installed except where
//! root's rights need no question, and what runs is said first. Other distributions get commands to type.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// The distribution's family, as far as its commands differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Debian, Ubuntu and what derives from them.
    Debian,
    /// Fedora and what derives from it.
    Fedora,
    /// Arch and what derives from it.
    Arch,
    /// All others.
    Other,
}

impl Family {
    /// That of this machine.
    pub fn here() -> Self {
        Self::of(&fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    /// That which an `os-release` file describes.
    fn of(release: &str) -> Self {
        let field = |name: &str| {
            let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().trim_matches(['"', '\''])
        };
        let mut names = field("ID").split(' ').chain(field("ID_LIKE").split(' '));
        names
            .find_map(|name| match name {
                "debian" | "ubuntu" => Some(Self::Debian),
                "fedora" | "rhel" => Some(Self::Fedora),
                "arch" => Some(Self::Arch),
                _ => None,
            })
            .unwrap_or(Self::Other)
    }
}

/// The command that installs the packages, for people to type.
pub fn command(packages: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// Whether packages can be installed here without asking anybody.
pub fn can_install() -> bool {
    Family::here() == Family::Debian && run::quietly(apt().arg("--version")) && run::root_without_asking()
}

/// Installs the packages, `needed` for something named; each of `newest` must have at least that version.
///
/// Refreshes apt's lists first where they do not know the packages, or not new enough ones.
pub fn install(packages: &[&str], needed: &str, newest: &[(&str, (u32, u32))]) -> Result<()> {
    eprintln!("Installing Debian packages, needed for {needed}:");
    let usable = |plan: &Plan| newest.iter().all(|(name, version)| plan.brings(name) >= Some(*version));
    let mut plan = Plan::of(packages);
    if !plan.as_ref().is_ok_and(usable) {
        apt_get(&["update"])?;
        plan = Plan::of(packages);
    }
    let plan = plan.with_context(|| {
        format!("apt's archives (is Debian's security archive among them?) lack packages needed for {needed}")
    })?;
    if let Some((name, (major, minor))) = newest.iter().find(|(name, version)| plan.brings(name) < Some(*version)) {
        bail!(
            "{needed} needs {name} {major}.{minor} or later, and apt's archives (is Debian's security archive among \
             them?) have an older one"
        );
    }
    if let [first, ..] = plan.removed.as_slice() {
        bail!(
            "installing the packages for {needed} would remove others ({first} …), so decide yourself and run `{}`",
            command(packages)
        );
    }
    let mut words = vec!["install", "--yes", "--no-install-recommends", "--no-remove"];
    words.extend(packages);
    apt_get(&words)
}

/// Unpacks a package into a folder and installs nothing: no service is started, now or at the next boot.
///
/// Refreshes apt's lists first where the archive has no longer what they say, if that needs no question.
pub fn unpack(package: &str, folder: &Path) -> Result<()> {
    let download = || run::run(apt().args(["--quiet", "download", package]).current_dir(folder));
    if download().is_err() {
        apt_get(&["update"])?;
        download()?;
    }
    let files = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut archives: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "deb")).collect();
    archives.sort();
    let archive = archives.pop().with_context(|| format!("apt-get has left no package {package}"))?;
    run::run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(folder))
}

/// `apt-get`, talking English and asking nothing.
fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Says and runs an apt-get command as root.
fn apt_get(words: &[&str]) -> Result<()> {
    let mut command = run::as_root("env");
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "--quiet",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Dpkg::Use-Pty=0",
    ]);
    command.args(words);
    eprintln!("  running {}", run::words(&command));
    run::run(command.stdin(std::process::Stdio::null()))
}

/// What apt would do.
struct Plan {
    /// Packages it would install or upgrade, with the first two numbers of their versions.
    installed: Vec<(String, Option<(u32, u32)>)>,
    /// Packages it would remove.
    removed: Vec<String>,
}

impl Plan {
    /// What installing the packages would do; an error when one is not in the archive.
    fn of(packages: &[&str]) -> Result<Self> {
        let mut command = apt();
        command.args(["--simulate", "install", "--no-install-recommends"]).args(packages);
        Ok(Self::parse(&run::output(&mut command)?))
    }

    /// Reads the output of a simulation.
    fn parse(simulation: &str) -> Self {
        let mut plan = Self { installed: Vec::new(), removed: Vec::new() };
        for line in simulation.lines() {
            // "Inst name [old version] (new version source)", "Remv name [version]"
            let mut words = line.split(' ');
            match (words.next(), words.next()) {
                (Some("Inst"), Some(name)) => {
                    let version = line.split_once('(').and_then(|(_, version)| two_numbers(version));
                    plan.installed.push((name.to_owned(), version));
                }
                (Some("Remv"), Some(name)) => plan.removed.push(name.to_owned()),
                _ => {}
            }
        }
        plan
    }

    /// The version of the package after the plan is carried out.
    fn brings(&self, package: &str) -> Option<(u32, u32)> {
        match self.installed.iter().find(|(name, _)| name == package) {
            Some((_, version)) => *version,
            None => two_numbers(&run::output(Command::new("dpkg-query").args(["-W", "-f=${Version}", package])).ok()?),
        }
    }
}

/// The first two numbers of a version: (1, 96) of `1.96.0+dfsg1-1`; an epoch is skipped.
pub fn two_numbers(version: &str) -> Option<(u32, u32)> {
    let version = version.split(' ').next()?;
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_by_id_and_by_likeness() {
        assert_eq!(Family::of("NAME=x\nID=debian\n"), Family::Debian);
        assert_eq!(Family::of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Family::Debian);
        assert_eq!(Family::of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Family::Fedora);
        assert_eq!(Family::of("ID=manjaro\nID_LIKE=arch\n"), Family::Arch);
        assert_eq!(Family::of("ID=nixos\n"), Family::Other);
        assert_eq!(Family::of(""), Family::Other);
    }

    #[test]
    fn a_simulation_names_what_comes_and_what_goes() {
        let plan = Plan::parse(
            "Reading package lists...\nRemv rustc [1.63.0+dfsg1-2]\n\
             Inst rustc-web [1.85.0+dfsg3-1] (1.96.0+dfsg1-1~deb12u2 Debian-Security:12 [amd64])\n\
             Inst llvm-22-dev (1:22.1.8-1~deb12u1 Debian-Security:12 [amd64])\nConf llvm-22-dev (1:22.1.8 x)\n",
        );
        assert_eq!(plan.removed, ["rustc"]);
        assert_eq!(plan.brings("rustc-web"), Some((1, 96)));
        assert_eq!(plan.brings("llvm-22-dev"), Some((22, 1)));
        assert_eq!(plan.brings("no-such-package-anywhere"), None);
    }

    #[test]
    fn versions_have_two_numbers_or_are_none() {
        assert_eq!(two_numbers("1.97.0-nightly"), Some((1, 97)));
        assert_eq!(two_numbers("5:7.0.15-1~deb12u10"), Some((7, 0)));
        assert_eq!(two_numbers(""), None);
        assert_eq!(two_numbers("abc"), None);
    }
}
