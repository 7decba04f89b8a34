//! The archive for all systems: the static program, and beside it what its folder's names say.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::program;
use super::release::Release;
use super::tree::{Tree, read};
use crate::{paths, run};

/// Files of the repository that are handed on as they are.
const AS_THEY_ARE: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Makes it.
pub fn make(release: &Release) -> Result<PathBuf> {
    program::build_static()?;
    let name = format!("leaktrace-{}-{}", release.version, Release::system());
    let tree = Tree::new(paths::staged().join(&name))?;
    program::strip(&paths::static_leaktrace(), &tree.place("leaktrace")?)?;
    tree.is_program("leaktrace")?;
    for file in AS_THEY_ARE {
        tree.file(file, read(&paths::root().join(file))?)?;
    }
    let described = paths::described();
    tree.file("THIRD-PARTY", read(&described.join("THIRD-PARTY"))?)?;
    for folder in ["man", "completions"] {
        tree.files(&described.join(folder), folder, false)?;
    }
    let source = paths::dist_source();
    tree.files(&source.join("systemd"), "systemd", false)?;
    tree.file("etc/leaktrace/watch.list", read(&source.join("watch.list"))?)?;
    tree.file("etc/default/leaktrace", read(&source.join("default"))?)?;
    let archive = paths::dist().join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--format=gnu", "--owner=root:0", "--group=root:0"]);
    tar.arg(format!("--mtime=@{}", release.epoch)).args(["--use-compress-program=gzip -9 --no-name", "--create"]);
    tar.arg("--file").arg(&archive).arg("--directory").arg(paths::staged()).arg(&name);
    run::run(&mut tar)?;
    Ok(archive)
}
