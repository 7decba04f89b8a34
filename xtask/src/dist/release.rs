//! Of which version, day and machine a release is, and who answers for it.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{paths, run};

/// What a release is called by.
pub struct Release {
    /// "0.1.0"
    pub version: &'static str,
    /// Its time, in seconds since 1970.
    pub epoch: u64,
}

impl Release {
    /// The one that the source is of.
    pub fn of_this() -> Result<Self> {
        Ok(Self { version: env!("CARGO_PKG_VERSION"), epoch: epoch()? })
    }

    /// Its day, such as 2026-01-31.
    pub fn day(&self) -> String {
        self.date("+%Y-%m-%d").unwrap_or_default()
    }

    /// Its time, as date(1) writes it in this form.
    pub fn date(&self, form: &str) -> Result<String> {
        let mut command = Command::new("date");
        command.env("LC_ALL", "C").args(["--utc", "--date"]).arg(format!("@{}", self.epoch)).arg(form);
        run::output(&mut command)
    }

    /// The name of the system that it is for, such as `x86_64-linux`.
    pub fn system() -> String {
        format!("{}-linux", env::consts::ARCH)
    }
}

/// The time that `SOURCE_DATE_EPOCH` says, or that of the last commit.
fn epoch() -> Result<u64> {
    const VARIABLE: &str = "SOURCE_DATE_EPOCH";
    let said = match env::var(VARIABLE) {
        Ok(said) => said,
        Err(_) => run::output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(paths::root()))
            .with_context(|| format!("the last commit's time cannot be told; give a time as {VARIABLE}"))?,
    };
    said.parse().with_context(|| format!("{VARIABLE} is no number of seconds; give one such as 1700000000"))
}

/// Who answers for a package: as Debian's tools are told, or who made the last commit.
pub fn maintainer() -> Result<String> {
    let told = |variable: &str| env::var(variable).ok().filter(|said| !said.is_empty());
    if let (Some(name), Some(address)) = (told("DEBFULLNAME"), told("DEBEMAIL")) {
        return Ok(format!("{name} <{address}>"));
    }
    run::output(Command::new("git").args(["log", "-1", "--format=%an <%ae>"]).current_dir(paths::root()))
        .context("a package names who answers for it; give DEBFULLNAME and DEBEMAIL")
}
