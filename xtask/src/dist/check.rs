//! What Debian's own checkers say of the package: lintian of all of it, mandoc of the man pages.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::tree::sorted;
use crate::{packages, paths, run};

/// The checkers, each its own package.
const CHECKERS: [&str; 2] = ["lintian", "mandoc"];

/// Checks; what they call an error is one, and warnings are shown.
pub fn check(package: &Path) -> Result<()> {
    let missing: Vec<&str> =
        CHECKERS.into_iter().filter(|checker| run::output(Command::new("which").arg(checker)).is_err()).collect();
    if !missing.is_empty() && packages::can_install() {
        packages::install(&missing, "checking the package", &[])?;
    }
    for page in sorted(&paths::described().join("man"))? {
        run::run(Command::new("mandoc").args(["-T", "lint", "-W", "warning,stop"]).arg(&page))
            .with_context(|| format!("{} is no good man page", paths::short(&page)))?;
    }
    run::run(Command::new("lintian").args(["--allow-root", "--fail-on", "error"]).arg(package))
        .context("lintian finds errors in the package")?;
    eprintln!("lintian and mandoc find no errors");
    Ok(())
}
