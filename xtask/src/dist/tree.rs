//! A tree of files as it will lie on a machine: each with its mode, whatever the person's own habits are.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::{paths, run};

/// The tree.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// A new one.
    pub fn new(root: PathBuf) -> Result<Self> {
        let tree = Self { root };
        tree.folder(Path::new(""))?;
        Ok(tree)
    }

    /// Where it is built.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file that all may read.
    pub fn file(&self, at: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.place(at)?;
        fs::write(&path, content).with_context(|| format!("cannot write {}", paths::short(&path)))?;
        set_mode(&path, 0o644)
    }

    /// Writes a script that all may run.
    pub fn script(&self, at: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.file(at, content)?;
        set_mode(&self.root.join(at), 0o755)
    }

    /// Where a program is to be put; [`Self::is_program`] is for when it is there.
    pub fn place(&self, at: &str) -> Result<PathBuf> {
        self.folder(Path::new(at).parent().unwrap_or(Path::new("")))?;
        Ok(self.root.join(at))
    }

    /// All may run what was put there.
    pub fn is_program(&self, at: &str) -> Result<()> {
        set_mode(&self.root.join(at), 0o755)
    }

    /// Copies all files of a folder, compressed if wanted.
    pub fn files(&self, from: &Path, to: &str, are_compressed: bool) -> Result<()> {
        for source in sorted(from)? {
            let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if are_compressed {
                self.compressed(&format!("{to}/{name}.gz"), &source)?;
            } else {
                self.file(&format!("{to}/{name}"), read(&source)?)?;
            }
        }
        Ok(())
    }

    /// Copies a file, compressed; the same file always makes the same copy.
    pub fn compressed(&self, at: &str, from: &Path) -> Result<()> {
        let path = self.place(at)?;
        let source = File::open(from).with_context(|| format!("cannot read {}", paths::short(from)))?;
        let copy = File::create(&path).with_context(|| format!("cannot write {}", paths::short(&path)))?;
        run::run(Command::new("gzip").args(["-9", "--no-name"]).stdin(source).stdout(Stdio::from(copy)))?;
        set_mode(&path, 0o644)
    }

    fn folder(&self, at: &Path) -> Result<()> {
        let mut path = self.root.clone();
        for part in std::iter::once(None).chain(at.components().map(Some)) {
            path.extend(part);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", paths::short(&path)))?;
            set_mode(&path, 0o755)?;
        }
        Ok(())
    }
}

/// A file's content.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", paths::short(path)))
}

/// The files of a folder, by name.
pub fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", paths::short(folder)))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the rights of {}", paths::short(path)))
}
