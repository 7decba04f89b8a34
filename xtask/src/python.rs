//! Python packages that tests need, in an environment of their own under `target/`; the machine's are left alone.
//!
//! They come from `PyPI`, each of one version, as wheels only: nothing is compiled. The headers of the machine's Python, for
//! an extension that a test compiles, come from Debian.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{packages, paths, run};

/// The packages: what reads exported sessions, and pages of figures, what web services are made with, and another finder of
/// leaks.
const PACKAGES: [&str; 8] = [
    "jsonschema==4.26.0",
    "memray==1.20.0",
    "prometheus-client==0.26.0",
    "pyarrow==26.0.1",
    "flask==3.1.3",
    "gunicorn==27.0.1",
    "fastapi==0.165.0",
    "uvicorn==0.54.0",
];

/// Debian's package with what makes environments.
const DEBIAN: &str = "python3-venv";

/// Debian's interpreter, which the tests try leaktrace on beside any others.
const DEBIANS: &str = "/usr/bin/python3";

/// Debian's package with its headers.
const HEADERS: &str = "python3-dev";

/// Succeeds where an interpreter has its headers.
const HAS_HEADERS: &str =
    "import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path('include') + '/Python.h'))";

/// The interpreter of the environment.
pub fn program() -> PathBuf {
    paths::python().join("bin/python3")
}

/// Makes sure that the environment is there and has the packages, and that there are headers.
pub fn ensure() -> Result<()> {
    ensure_headers()?;
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

/// Makes sure that an extension can be compiled for Debian's interpreter, if that is there.
fn ensure_headers() -> Result<()> {
    let has_headers = || run::quietly(Command::new(DEBIANS).args(["-I", "-S", "-c", HAS_HEADERS]));
    if !Path::new(DEBIANS).exists() || has_headers() {
        return Ok(());
    }
    if packages::can_install() {
        return packages::install(&[HEADERS], "an extension of Python that is compiled in the tests", &[]);
    }
    bail!("the tests need the headers of {DEBIANS} (Debian: {HEADERS}): run `{}`", packages::command(&[HEADERS]))
}

/// Makes the environment anew.
fn make() -> Result<()> {
    if !run::quietly(Command::new("python3").args(["-c", "import ensurepip, venv"])) && packages::can_install() {
        packages::install(&[DEBIAN], "the tests' Python packages", &[])?;
    }
    run::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(paths::python()))?;
    Ok(())
}
