//! The exports and pages that other programs are to read in tests, written by the unit tests that have the made-up
//! sessions.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{cargo, paths, run};

/// The unit tests, each of which writes into a folder that a variable names.
const WRITERS: [&str; 2] =
    ["export::tests::the_sample_is_written_for_others_to_read", "page::tests::pages_are_written_for_the_browser"];

/// The variables that name the folders, for the writers and for the tests that read.
pub fn folders() -> [(&'static str, PathBuf); 2] {
    [("LEAKTRACE_EXPORTS", paths::exports()), ("LEAKTRACE_PAGES", paths::pages())]
}

/// Writes them.
pub fn write() -> Result<()> {
    // Of the whole workspace, as the tests are built next, so that nothing is compiled twice.
    let mut command = cargo::host();
    command.args(["test", "--quiet", "--workspace", "--release", "--lib", "--", "--exact"]).args(WRITERS);
    for (variable, folder) in folders() {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", paths::short(&folder)))?;
        command.env(variable, folder);
    }
    run::output(&mut command).context("the exports and pages cannot be written")?;
    Ok(())
}
