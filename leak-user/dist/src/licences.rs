//! The licences of everything that is linked into leaktrace, by what cargo knows of its crates.
//!
//! Texts are taken from the crates' own sources, and each stands once with the crates that it is of. What only builds
//! leaktrace, and procedural macros, is not in it and not named.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What is linked beside crates.
const BESIDE_CRATES: &str = "\
Beside the crates below, leaktrace holds

  the Rust standard library      MIT OR Apache-2.0    Copyright (c) The Rust Project Contributors
  SQLite (in libsqlite3-sys)     public domain
  DejaVu Sans, some glyphs       its own text, below

and, where it is linked statically, as in the archive but not in the Debian package,

  the GNU C library              LGPL-2.1-or-later    Copyright (c) Free Software Foundation, Inc.
  GCC's runtime library          GPL-3.0-or-later WITH GCC-exception-3.1

leaktrace's complete source, with `cargo xtask dist` in it, links it anew with another version of either. Their sources
are those of the packages glibc and gcc of the distribution that built it.
";

/// Folders of a crate below which are other people's programs, examples or tests.
const LOOKED_INTO: [&str; 2] = ["zstd", "sqlite3"];

/// A crate that is linked in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
    folder: PathBuf,
}

/// The whole text.
pub fn text() -> Result<String> {
    let crates = linked()?;
    let mut text = format!("Licences of what is linked into leaktrace\n\n{BESIDE_CRATES}\nCrates\n\n");
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Crate { name, version, licence, folder } in &crates {
        writeln!(text, "  {name} {version}    {licence}")?;
        for found in texts_in(folder)? {
            texts.entry(found).or_default().insert(name.clone());
        }
    }
    let font = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/plot/LICENSE-DEJAVU");
    texts.entry(read(&font)?).or_default().insert("DejaVu Sans".to_owned());
    for (licence, owners) in texts {
        let owners: Vec<&str> = owners.iter().map(String::as_str).collect();
        write!(text, "\n{}\n{}\n\n{licence}\n", "-".repeat(100), wrapped(&owners))?;
    }
    Ok(text)
}

/// The crates in the program and in the kernel programs that it carries.
fn linked() -> Result<BTreeSet<Crate>> {
    let metadata = cargo(&["metadata", "--format-version=1", "--locked", "--all-features"])?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo's metadata cannot be read")?;
    let mut known = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let word = |field: &str| package[field].as_str().unwrap_or_default().to_owned();
        let folder = Path::new(&word("manifest_path")).parent().unwrap_or(Path::new("")).to_owned();
        let licence = if word("license").is_empty() { "its own text, below".to_owned() } else { word("license") };
        let found = Crate { name: word("name"), version: word("version"), licence, folder };
        known.insert((word("name"), word("version")), (found, package["source"].is_null()));
    }
    let mut linked = BTreeSet::new();
    let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    for (package, more, target) in
        [("leak-user", &[][..], host.as_str()), ("leak-ebpf", &["--features=programs"][..], "bpfel-unknown-none")]
    {
        let mut words = vec!["tree", "--locked", "--prefix=none", "--no-dedupe", "--edges=normal,no-proc-macro"];
        words.extend(["--format={p}", "--package", package, "--target", target]);
        words.extend(more);
        for line in cargo(&words)?.lines() {
            let mut words = line.split(' ');
            let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
            let key = (name.to_owned(), version.trim_start_matches('v').to_owned());
            let (found, is_ours) =
                known.remove_entry(&key).map_or((None, true), |(_, (found, ours))| (Some(found), ours));
            if let Some(found) = found.filter(|_| !is_ours) {
                linked.insert(found);
            }
        }
    }
    ensure!(!linked.is_empty(), "cargo names no crate that leaktrace is made of");
    Ok(linked)
}

/// The licence texts in a crate's folder.
fn texts_in(folder: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let path = entry.path();
        if path.is_dir() {
            if LOOKED_INTO.contains(&name.as_str()) {
                texts.extend(texts_in(&path)?);
            }
        } else if ["licen", "copying", "notice", "copyright", "unlicense"].iter().any(|word| name.starts_with(word)) {
            texts.push(read(&path)?);
        }
    }
    texts.sort();
    Ok(texts)
}

/// A text without what differs between copies of the same: line ends, and blanks around it.
fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n").trim_matches('\n').to_owned())
}

fn wrapped(names: &[&str]) -> String {
    let mut lines = vec![String::from("Of")];
    for name in names {
        match lines.last_mut() {
            Some(line) if line.len() + name.len() < 98 => {
                if line != "Of" {
                    line.push(',');
                }
                line.push(' ');
                line.push_str(name);
            }
            _ => {
                if let Some(line) = lines.last_mut() {
                    line.push(',');
                }
                lines.push(format!("   {name}"));
            }
        }
    }
    lines.join("\n")
}

/// What cargo says.
fn cargo(words: &[&str]) -> Result<String> {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.context("cargo cannot be run")?;
    ensure!(
        output.status.success(),
        "`cargo {}` failed: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_linked_in_has_its_licence_and_what_only_builds_has_none() {
        let crates = linked().unwrap();
        let names: BTreeSet<&str> = crates.iter().map(|found| found.name.as_str()).collect();
        for name in ["aya", "aya-ebpf", "clap", "rusqlite", "libsqlite3-sys", "zstd-sys"] {
            assert!(names.contains(name), "{name} is linked in: {names:?}");
        }
        for name in ["leak-user", "clap_derive", "cc", "clap_mangen"] {
            assert!(!names.contains(name), "{name} is not linked in, or our own");
        }
        assert!(crates.iter().all(|found| !found.licence.is_empty()));
    }

    #[test]
    fn a_text_stands_once_with_all_that_it_is_of() {
        assert_eq!(wrapped(&["one", "two"]), "Of one, two");
        let long = ["a".repeat(60), "b".repeat(60)];
        assert_eq!(wrapped(&[&long[0], &long[1]]), format!("Of {},\n   {}", long[0], long[1]));
    }
}
