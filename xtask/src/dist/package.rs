//! The Debian package, made with `dpkg-deb` from a tree, without root's rights.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::program;
use super::release::{Release, maintainer};
use super::tree::{Tree, read, sorted};
use crate::{packages, paths, run};

/// Debian's package with what computes dependencies.
const TOOLS: &str = "dpkg-dev";

/// What a person may change, and an upgrade must not.
const SETTINGS: [(&str, &str); 2] = [("etc/leaktrace/watch.list", "watch.list"), ("etc/default/leaktrace", "default")];

/// What dpkg runs.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Characters in a line of a changelog.
const LINE: usize = 78;

/// Where the program goes.
const PROGRAM: &str = "usr/bin/leaktrace";

/// Where what is to be read goes.
const DOCUMENTS: &str = "usr/share/doc/leaktrace";

/// Makes it.
pub fn make(release: &Release) -> Result<PathBuf> {
    let source = paths::dist_source();
    let described = paths::described();
    let architecture = run::output(Command::new("dpkg").arg("--print-architecture"))?;
    let tree = Tree::new(paths::staged().join("package"))?;
    program::strip(&paths::leaktrace(), &tree.place(PROGRAM)?)?;
    tree.is_program(PROGRAM)?;
    tree.files(&source.join("systemd"), "usr/lib/systemd/system", false)?;
    tree.files(&described.join("man"), "usr/share/man/man8", true)?;
    for (script, place) in [
        ("leaktrace", "bash-completion/completions"),
        ("_leaktrace", "zsh/vendor-completions"),
        ("leaktrace.fish", "fish/vendor_completions.d"),
    ] {
        let content = read(&described.join("completions").join(script))?;
        tree.file(&format!("usr/share/{place}/{script}"), content)?;
    }
    for (place, file) in SETTINGS {
        tree.file(place, read(&source.join(file))?)?;
    }
    documents(&tree, release)?;
    control(&tree, release, &architecture)?;
    let package = paths::dist().join(format!("leaktrace_{}_{architecture}.deb", release.version));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(tree.root()).arg(&package);
    build.env("SOURCE_DATE_EPOCH", release.epoch.to_string());
    run::output(&mut build)?;
    Ok(package)
}

/// Licences and the changelog.
fn documents(tree: &Tree, release: &Release) -> Result<()> {
    let expat = read(&paths::root().join("LICENSE-MIT"))?;
    let copyright = expat.lines().find_map(|line| line.strip_prefix("Copyright (c) ")).unwrap_or_default();
    let (_, terms) = expat.split_once(copyright).context("LICENSE-MIT names nobody")?;
    let text = read(&paths::dist_source().join("debian/copyright"))?;
    let text = text.replace("@COPYRIGHT@", copyright).replace("@EXPAT@", &indented(terms.trim()));
    tree.file(&format!("{DOCUMENTS}/copyright"), text)?;
    tree.compressed(&format!("{DOCUMENTS}/THIRD-PARTY.gz"), &paths::described().join("THIRD-PARTY"))?;
    let changes = paths::staged().join("changelog");
    fs::write(&changes, changelog(release, &maintainer()?)?)
        .with_context(|| format!("cannot write {}", paths::short(&changes)))?;
    tree.compressed(&format!("{DOCUMENTS}/changelog.gz"), &changes)
}

/// What changed in this version, as Debian writes it.
fn changelog(release: &Release, maintainer: &str) -> Result<String> {
    let changes = read(&paths::root().join("CHANGELOG.md"))?;
    let of_this = changes.split("\n## ").nth(1).context("CHANGELOG.md has no version")?;
    let mut text = format!("leaktrace ({}) unstable; urgency=medium\n", release.version);
    for line in of_this.lines().skip(1) {
        if line.starts_with("- ") {
            text.push('\n');
        }
        for word in line.split_whitespace() {
            let length = text.rsplit('\n').next().map_or(0, str::len);
            if word == "-" {
                text.push_str("  *");
            } else if length + word.len() < LINE {
                text.push(' ');
                text.push_str(word);
            } else {
                text.push_str("\n    ");
                text.push_str(word);
            }
        }
    }
    let date = release.date("+%a, %d %b %Y %H:%M:%S +0000")?;
    Ok(format!("{text}\n\n -- {maintainer}  {date}\n"))
}

/// What dpkg is told: `DEBIAN/`.
fn control(tree: &Tree, release: &Release, architecture: &str) -> Result<()> {
    let source = paths::dist_source().join("debian");
    let size = run::output(Command::new("du").args(["--apparent-size", "--summarize", "-k"]).arg(tree.root()))?;
    let size = size.split_whitespace().next().unwrap_or_default().to_owned();
    let mut text = read(&source.join("control"))?;
    for (name, value) in [
        ("VERSION", release.version),
        ("ARCHITECTURE", architecture),
        ("MAINTAINER", &maintainer()?),
        ("SIZE", &size),
        ("DEPENDS", &depends(&tree.root().join(PROGRAM))?),
    ] {
        text = text.replace(&format!("@{name}@"), value);
    }
    let sums = sums(tree.root())?;
    tree.file("DEBIAN/control", text)?;
    tree.file("DEBIAN/md5sums", sums)?;
    tree.file("DEBIAN/conffiles", SETTINGS.map(|(place, _)| format!("/{place}\n")).concat())?;
    for script in SCRIPTS {
        tree.script(&format!("DEBIAN/{script}"), read(&source.join(script))?)?;
    }
    Ok(())
}

/// The packages whose libraries the program asks for, in the versions that it needs.
fn depends(program: &Path) -> Result<String> {
    if !run::quietly(Command::new("dpkg-shlibdeps").arg("--version")) && packages::can_install() {
        packages::install(&[TOOLS], "making a Debian package", &[])?;
    }
    // It looks for a source package in the folder that it runs in.
    let folder = paths::staged().join("source");
    fs::create_dir_all(folder.join("debian"))
        .and_then(|()| {
            fs::write(folder.join("debian/control"), "Source: leaktrace\n\nPackage: leaktrace\nArchitecture: any\n")
        })
        .with_context(|| format!("cannot write {}", paths::short(&folder)))?;
    let said = run::output(Command::new("dpkg-shlibdeps").arg("-O").arg(program).current_dir(&folder))?;
    let depends = said.strip_prefix("shlibs:Depends=").context("dpkg-shlibdeps names no dependencies")?;
    Ok(depends.to_owned())
}

/// A sum of each file that is no setting, by which `dpkg --verify` tells that it was changed.
fn sums(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    let mut folders = vec![root.join("usr")];
    while let Some(folder) = folders.pop() {
        for path in sorted(&folder)? {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(run::output(Command::new("md5sum").args(files).current_dir(root))? + "\n")
}

/// A text in a field of a control file.
fn indented(text: &str) -> String {
    let line = |line: &str| if line.trim().is_empty() { " .".to_owned() } else { format!(" {line}") };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_in_a_field_is_a_dot() {
        assert_eq!(indented("one\n\ntwo"), " one\n .\n two");
    }

    #[test]
    fn what_changed_is_said_as_debian_says_it() {
        let text = changelog(&Release { version: "1.2.3", epoch: 0 }, "A <a@b>").unwrap();
        assert!(text.starts_with("leaktrace (1.2.3) unstable; urgency=medium\n\n  * "), "{text}");
        assert!(text.lines().all(|line| line.len() <= LINE + 2), "{text}");
        assert!(text.ends_with(" -- A <a@b>  Thu, 01 Jan 1970 00:00:00 +0000\n"), "{text}");
    }
}
