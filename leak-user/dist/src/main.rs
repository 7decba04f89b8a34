//! `leak-dist FOLDER`: writes what is installed beside leaktrace, from what leaktrace itself says of its commands.
//!
//! | folder          | what is in it                                                            |
//! |-----------------|--------------------------------------------------------------------------|
//! | `man/`          | a page for leaktrace and one for each of its commands, of section 8      |
//! | `completions/`  | for bash, zsh and fish                                                   |
//! | `THIRD-PARTY`   | the licences of all that is linked into it                               |
//!
//! A program of its own, so that what it needs is not in leaktrace. `cargo xtask dist` runs it and puts the files into
//! packages; the same definition always makes the same files.

mod completions;
mod examples;
mod licences;
mod man;
mod prose;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leak-dist: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let [folder] = env::args_os().skip(1).map(PathBuf::from).collect::<Vec<_>>().try_into().unwrap_or_default();
    if folder.as_os_str().is_empty() {
        bail!("one argument is taken, the folder to write to; `cargo xtask dist` gives it");
    }
    let date = env::var("LEAKTRACE_DATE").context("LEAKTRACE_DATE is to be the day of this version, as 2026-01-31")?;
    for page in man::pages(&leak_user::cli::definition(), &date) {
        write(&folder.join("man"), &page.file, page.text.as_bytes())?;
    }
    for (file, text) in completions::scripts() {
        write(&folder.join("completions"), file, &text)?;
    }
    write(&folder, "THIRD-PARTY", licences::text()?.as_bytes())
}

fn write(folder: &Path, file: &str, content: &[u8]) -> Result<()> {
    let path = folder.join(file);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, content))
        .with_context(|| format!("{} cannot be written", path.display()))
}
