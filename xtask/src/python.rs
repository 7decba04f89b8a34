//! Python packages that tests need, in an environment of their own under `target/`; the machine's are left alone.
//!
//! They come from `PyPI`, each of one version, as wheels only: nothing is compiled.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{packages, paths, run};

/// The packages: what reads exported sessions, and pages of figures.
const PACKAGES: [&str; 3] = ["jsonschema==4.26.0", "prometheus-client==0.26.0", "pyarrow==26.0.1"];

/// Debian's package with what makes environments.
const DEBIAN: &str = "python3-venv";

/// The interpreter of the environment.
pub fn program() -> PathBuf {
    paths::python().join("bin/python3")
}

/// Makes sure that the environment is there and has the packages.
pub fn ensure() -> Result<()> {
    let known = PACKAGES.join("\n");
    // Written last, so an environment that was begun and not finished has none.
    let list = paths::python().join("packages");
    if program().exists() && fs::read_to_string(&list).is_ok_and(|installed| installed == known) {
        return Ok(());
    }
    eprintln!("Installing Python packages under {}, needed for the tests:", paths::short(&paths::python()));
    make().with_context(|| format!("the tests need a Python 3 that can make environments (Debian: {DEBIAN})"))?;
    let mut pip = Command::new(program());
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
    pip.args(PACKAGES);
    eprintln!("  running {}", run::words(&pip));
    run::run(&mut pip).context("the packages that the tests need cannot be installed")?;
    fs::write(&list, known).with_context(|| format!("cannot write {}", paths::short(&list)))
}

/// Makes the environment anew.
fn make() -> Result<()> {
    if !run::quietly(Command::new("python3").args(["-c", "import ensurepip, venv"])) && packages::can_install() {
        packages::install(&[DEBIAN], "the tests' Python packages", &[])?;
    }
    run::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(paths::python()))?;
    Ok(())
}
