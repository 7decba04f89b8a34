//! `cargo xtask dist`: what is handed to people without the source, in `target/dist`.
//!
//! A Debian package, with the program that `cargo xtask build` makes and the dependencies that Debian's own tools compute,
//! and an archive for all other systems, with one that is linked statically. The package has the dynamic program because
//! Debian mends its C library by replacing it; the archive has the static one because it is to run wherever it is unpacked.
//!
//! What is made twice of one commit, with the same compiler and in the same place, is the same to the byte: all files
//! belong to root, are sorted, and are of the commit's time, or of `SOURCE_DATE_EPOCH`.
//!
//! | file         | what it holds                                              |
//! |--------------|------------------------------------------------------------|
//! | `release.rs` | of which version, day and machine it is                    |
//! | `program.rs` | the two programs, stripped                                 |
//! | `tree.rs`    | a tree of files as it will lie on a machine                |
//! | `package.rs` | the Debian package                                         |
//! | `archive.rs` | the archive                                                |
//! | `check.rs`   | `--check`: what Debian's own checkers say of it            |

mod archive;
mod check;
mod package;
mod program;
mod release;
mod tree;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::packages::Family;
use crate::{build, cargo, paths, run};
use release::Release;

/// The options of `cargo xtask dist`.
#[derive(Args)]
pub struct Options {
    /// Also check the package with lintian and the man pages with mandoc, installed first where they are missing
    #[arg(long)]
    check: bool,
}

/// Builds and makes both.
pub fn run(options: &Options) -> Result<()> {
    build::run()?;
    let package = make()?;
    if let Some(package) = package.filter(|_| options.check) {
        check::check(&package)?;
    }
    Ok(())
}

/// Makes them of what is built; gives the package, where one can be made.
pub fn make() -> Result<Option<PathBuf>> {
    let release = Release::of_this()?;
    // Whatever an earlier version left would be taken for this one's.
    let _ = fs::remove_dir_all(paths::dist());
    describe(&release)?;
    let package = if Family::here() == Family::Debian {
        Some(package::make(&release)?)
    } else {
        eprintln!("a Debian package is made on Debian only");
        None
    };
    let archive = archive::make(&release)?;
    for made in package.iter().chain([&archive]) {
        eprintln!("made {}", paths::short(made));
    }
    Ok(package)
}

/// Writes man pages, completions and licences.
fn describe(release: &Release) -> Result<()> {
    run::run(cargo::host().args(["build", "--quiet", "--release", "--package", "leak-dist"]))
        .context("the writer of man pages does not compile")?;
    let mut writer = cargo::host();
    writer.args(["run", "--quiet", "--release", "--package", "leak-dist", "--"]).arg(paths::described());
    run::run(writer.env("LEAKTRACE_DATE", release.day()))
}
