//! The exports that other programs are to read in tests, written by the unit test that has the made-up sessions.

use std::fs;

use anyhow::{Context, Result};

use crate::{cargo, paths, run};

/// The unit test, and the variable that names its folder.
const WRITER: &str = "export::tests::the_sample_is_written_for_others_to_read";
const FOLDER: &str = "LEAKTRACE_EXPORTS";

/// Writes them.
pub fn write() -> Result<()> {
    let folder = paths::exports();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", paths::short(&folder)))?;
    // Of the whole workspace, as the tests are built next, so that nothing is compiled twice.
    let mut command = cargo::host();
    command.args(["test", "--quiet", "--workspace", "--release", "--lib", "--", "--exact", WRITER]);
    run::output(command.env(FOLDER, folder)).context("the exports cannot be written")?;
    Ok(())
}
