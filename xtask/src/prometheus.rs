//! Prometheus and `promtool`, for the tests of the page of figures.
//!
//! Their package would start a service on this machine, now and at every boot. So it is unpacked below `target/` and not
//! installed: its programs need the C library only.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result, bail};

use crate::packages::{self, Family};
use crate::{paths, tools};

/// The programs, as the package has them in `usr/bin`.
const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

/// Debian's package with both.
const PACKAGE: &str = "prometheus";

/// Makes sure that both are on the tests' search path.
pub fn ensure() -> Result<()> {
    if PROGRAMS.iter().all(|program| tools::find(program).is_some()) {
        return Ok(());
    }
    if Family::here() != Family::Debian {
        bail!("the tests need prometheus and promtool: install the packages of your distribution that have them");
    }
    let folder = paths::prometheus();
    eprintln!("Unpacking Debian's package {PACKAGE} under {}, needed for the tests:", paths::short(&folder));
    for folder in [&folder, &paths::targets()] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", paths::short(folder)))?;
    }
    packages::unpack(PACKAGE, &folder).context("the tests need prometheus, and its package cannot be had")?;
    for program in PROGRAMS {
        let link = paths::targets().join(program);
        // A link that leads nowhere any more; `find` has seen to the others.
        let _ = fs::remove_file(&link);
        symlink(folder.join("usr/bin").join(program), &link)
            .with_context(|| format!("cannot make the link {}", paths::short(&link)))?;
    }
    Ok(())
}
