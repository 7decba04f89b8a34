//! Finds a compiler for the kernel programs: a Rust that can compile for `bpfel-unknown-none`.
//!
//! Stable Rust from rustup has no `core` for that target, so one of these is needed, in this order: what
//! `LEAKTRACE_BPF_RUSTC` names, a rustup nightly with its `rust-src`, Debian's own Rust for building browsers.
//! Debian's is installed where it can be; otherwise the commands to type are printed, and that is an error.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::linker::{self, Llvm};
use crate::packages::{self, Family};
use crate::progress::Progress;
use crate::{cargo, run};

/// The target that the kernel programs are compiled for.
pub const TARGET: &str = "bpfel-unknown-none";

/// Names a compiler to use instead of the ones looked for.
const OVERRIDE: &str = "LEAKTRACE_BPF_RUSTC";

/// Debian's packages for the task, on Debian 12 and later.
const PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev"];

/// Where Debian's Rust lies.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A compiler for the kernel programs.
#[derive(Debug)]
pub struct Toolchain {
    /// For people: "Debian rustc-web 1.96.0".
    pub name: String,
    /// The compiler.
    pub rustc: PathBuf,
    /// A cargo that works with it.
    pub cargo: PathBuf,
    /// Whether `core` must be built from its source first.
    pub builds_core: bool,
    /// An LLVM that reads what it writes; none only where the person named a linker.
    pub llvm: Option<Llvm>,
    /// Whether it is Debian's, whose parts come as packages.
    pub is_debians: bool,
}

/// Finds a toolchain, or installs one, or says how to.
pub fn find(progress: &mut Progress) -> Result<Toolchain> {
    if let Some(rustc) = env::var_os(OVERRIDE) {
        return prebuilt(Path::new(&rustc)).with_context(|| format!("{OVERRIDE} does not name a usable compiler"));
    }
    let reasons = match nightly() {
        Ok(toolchain) => return Ok(toolchain),
        Err(nightly) => match debian() {
            Ok(toolchain) => return Ok(toolchain),
            Err(debian) => [nightly, debian],
        },
    };
    progress.announce();
    let advise = || eprintln!("{}", advice(Family::here()));
    if packages::can_install() {
        packages::install(&PACKAGES, "compiling the kernel programs", &[(PACKAGES[0], oldest())])
            .inspect_err(|_| advise())?;
        return debian();
    }
    advise();
    let [nightly, debian] = reasons;
    bail!("no compiler for the kernel programs ({nightly:#}; {debian:#}): install one with the commands above");
}

/// The oldest Rust that compiles this workspace.
fn oldest() -> (u32, u32) {
    packages::two_numbers(env!("CARGO_PKG_RUST_VERSION")).unwrap_or_default()
}

/// The toolchain of the distribution's own Rust.
fn debian() -> Result<Toolchain> {
    let mut toolchain = prebuilt(Path::new(DEBIAN_RUSTC))?;
    let version = run::output(Command::new("dpkg-query").args(["--show", "--showformat=${Version}", PACKAGES[0]]));
    if let Ok(version) = version {
        toolchain.is_debians = true;
        toolchain.name = format!("Debian {} {version}", PACKAGES[0]);
    }
    Ok(toolchain)
}

/// The toolchain of a compiler that came with `core` for the target.
fn prebuilt(rustc: &Path) -> Result<Toolchain> {
    let version = Version::of(rustc)?;
    let shown = rustc.display();
    let library = isolated_output(rustc, &["--print", "target-libdir", "--target", TARGET])?;
    let has_core = fs::read_dir(&library).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| {
                name.starts_with("libcore-") && Path::new(name).extension() == Some("rlib".as_ref())
            })
        })
    });
    ensure!(has_core, "{shown} has no core for {TARGET} in {library}");
    let llvm = version.llvm(&shown.to_string())?;
    Ok(Toolchain {
        name: format!("{shown} {}", version.release),
        rustc: rustc.to_owned(),
        cargo: cargo::program().into(),
        builds_core: false,
        llvm,
        is_debians: false,
    })
}

/// The toolchain of rustup's nightly, with its own cargo: the two must fit to build `core`.
fn nightly() -> Result<Toolchain> {
    // Asked so, rustup installs nothing.
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "rustc", "--print", "sysroot"]).env("RUSTUP_AUTO_INSTALL", "0");
    let Ok(sysroot) = run::output(&mut command) else {
        bail!("no nightly from rustup");
    };
    let sysroot = PathBuf::from(sysroot);
    ensure!(sysroot.join("lib/rustlib/src/rust/library/core").is_dir(), "rustup's nightly has no rust-src");
    let rustc = sysroot.join("bin/rustc");
    let cargo = sysroot.join("bin/cargo");
    ensure!(cargo.exists(), "rustup's nightly has no cargo");
    let version = Version::of(&rustc)?;
    let llvm = version.llvm("rustup's nightly")?;
    Ok(Toolchain {
        name: format!("rustup nightly {}", version.release),
        rustc,
        cargo,
        builds_core: true,
        llvm,
        is_debians: false,
    })
}

/// What a compiler says of itself.
struct Version {
    /// "1.96.0"
    release: String,
    /// The major version of its LLVM.
    llvm: u32,
}

impl Version {
    /// Asks the compiler; one too old for this workspace is an error.
    fn of(rustc: &Path) -> Result<Self> {
        let said = isolated_output(rustc, &["--version", "--verbose"])?;
        let version = Self::parse(&said).with_context(|| format!("{} does not tell its version", rustc.display()))?;
        let (major, minor) = oldest();
        ensure!(
            packages::two_numbers(&version.release) >= Some((major, minor)),
            "{} is Rust {}, and {major}.{minor} is needed",
            rustc.display(),
            version.release
        );
        Ok(version)
    }

    /// Reads the output of `rustc --version --verbose`.
    fn parse(said: &str) -> Option<Self> {
        let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let llvm = field("LLVM version")?.split('.').next()?.parse().ok()?;
        Some(Self { release: field("release")?.to_owned(), llvm })
    }

    /// An LLVM for the linker; an error where there is none and the linker is to be built.
    fn llvm(&self, compiler: &str) -> Result<Option<Llvm>> {
        let llvm = Llvm::reading(self.llvm);
        let major = self.llvm;
        ensure!(
            llvm.is_some() || linker::is_overridden(),
            "{compiler} writes for LLVM {major}, whose development files are missing"
        );
        Ok(llvm)
    }
}

/// What a compiler prints, asked outside the calling cargo's environment.
fn isolated_output(rustc: &Path, words: &[&str]) -> Result<String> {
    run::output(cargo::isolated(rustc).args(words))
}

/// The commands to type where nothing can be installed for the person.
fn advice(family: Family) -> String {
    let debian = format!("On Debian 12 or later:\n  {}", packages::command(&PACKAGES));
    let nightly = "rustup toolchain install nightly --component rust-src";
    match family {
        Family::Debian => format!(
            "{debian}\nOn Ubuntu, whose archive lacks these packages, with LLVM 22 from https://apt.llvm.org:\n  \
             sudo apt-get install llvm-22-dev\n  {nightly}"
        ),
        Family::Fedora => format!("On Fedora:\n  sudo dnf install gcc llvm-devel\n  {nightly}"),
        Family::Arch => format!("On Arch:\n  sudo pacman -S --needed base-devel llvm\n  {nightly}"),
        Family::Other => {
            format!(
                "Install LLVM's development files (llvm-config, libLLVM.so; version 21 to 23), and then:\n  {nightly}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_tell_their_versions() {
        let version = Version::parse("rustc 1.96.0 (x)\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8").unwrap();
        assert_eq!((version.release.as_str(), version.llvm), ("1.96.0", 22));
        assert!(Version::parse("rustc 1.96.0\n").is_none());
    }

    #[test]
    fn what_is_no_compiler_is_refused_by_name() {
        let error = prebuilt(Path::new("/bin/echo")).unwrap_err().to_string();
        assert!(error.contains("/bin/echo does not tell its version"), "{error}");
        let error = format!("{:#}", prebuilt(Path::new("/no/such/rustc")).unwrap_err());
        assert!(error.contains("/no/such/rustc"), "{error}");
    }

    #[test]
    fn advice_is_for_the_family() {
        assert!(advice(Family::Debian).contains("apt-get install --no-install-recommends rustc-web"));
        assert!(advice(Family::Fedora).contains("dnf"));
        assert!(advice(Family::Arch).contains("pacman"));
        assert!(advice(Family::Other).contains("rustup toolchain install nightly --component rust-src"));
    }
}
