//! Compiles the programs that leaktrace is tried on: each C or C++ file in `tests/targets` to a program of its name
//! in `target/targets`.
//!
//! A file may name its own compiler flags on a line that starts `// flags:`, instead of [`FLAGS`]. A program is
//! compiled again when its source, a header beside it or its command is newer. Other languages are not compiled here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::{paths, run};

/// Flags of a file that names none.
const FLAGS: &str = "-O2 -g -fno-omit-frame-pointer -pthread";

/// How many lines of a file are searched for its flags.
const HEAD: usize = 20;

/// Compiles all of them; gives how many were out of date.
pub fn compile_all() -> Result<usize> {
    let mut compiled = 0;
    for source in sources("")? {
        compiled += usize::from(compile_file(&source)?);
    }
    Ok(compiled)
}

/// Compiles the one of that name; gives the program's path.
pub fn compile(name: &str) -> Result<PathBuf> {
    let source = sources("")?.into_iter().find(|source| source.file_stem() == Some(name.as_ref()));
    let Some(source) = source else {
        bail!("there is no {name}.c or {name}.cpp in {}", paths::short(&paths::target_sources()));
    };
    compile_file(&source)?;
    Ok(program(&source))
}

/// The sources, or where `extension` is not empty, the files that have it; sorted.
fn sources(extension: &str) -> Result<Vec<PathBuf>> {
    let directory = paths::target_sources();
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot list {}", paths::short(&directory)))?;
    let wanted = |path: &PathBuf| {
        let own = path.extension().and_then(|own| own.to_str()).unwrap_or_default();
        if extension.is_empty() { compiler(own).is_some() } else { own == extension }
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(wanted).collect();
    files.sort();
    Ok(files)
}

/// The compiler for files with that extension.
fn compiler(extension: &str) -> Option<&'static str> {
    match extension {
        "c" => Some("cc"),
        "cc" | "cpp" => Some("c++"),
        _ => None,
    }
}

/// Where the program of a source goes.
fn program(source: &Path) -> PathBuf {
    paths::targets().join(source.file_stem().unwrap_or_default())
}

/// Compiles one file unless that is done already; says whether it did.
fn compile_file(source: &Path) -> Result<bool> {
    let text = fs::read_to_string(source).with_context(|| format!("cannot read {}", paths::short(source)))?;
    let extension = source.extension().and_then(|own| own.to_str()).unwrap_or_default();
    let program = program(source);
    let mut command = Command::new(compiler(extension).unwrap_or("cc"));
    command.args(flags(&text).split_whitespace()).arg("-o").arg(&program).arg(source).current_dir(paths::root());
    let record = program.with_extension("command");
    let words = run::words(&command);
    if fs::read_to_string(&record).is_ok_and(|old| old == words) && is_fresh(&program, source)? {
        return Ok(false);
    }
    fs::create_dir_all(paths::targets()).with_context(|| format!("cannot make {}", paths::short(&paths::targets())))?;
    run::run(&mut command).with_context(|| format!("{} does not compile", paths::short(source)))?;
    fs::write(&record, words).with_context(|| format!("cannot write {}", paths::short(&record)))?;
    Ok(true)
}

/// The flags that a source asks for.
fn flags(text: &str) -> &str {
    let own = text.lines().take(HEAD).find_map(|line| line.strip_prefix("// flags:"));
    own.unwrap_or(FLAGS)
}

/// Whether the program is newer than its source and every header beside it.
fn is_fresh(program: &Path, source: &Path) -> Result<bool> {
    let Some(compiled) = modified(program) else {
        return Ok(false);
    };
    let headers = sources("h")?;
    Ok(headers
        .iter()
        .map(PathBuf::as_path)
        .chain([source])
        .all(|input| modified(input).is_some_and(|time| time < compiled)))
}

/// When the file last changed.
fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_name_its_flags() {
        assert_eq!(flags("int main(void) {}\n"), FLAGS);
        assert_eq!(flags("// A program.\n// flags: -O0 -lm\n").trim(), "-O0 -lm");
        assert_eq!(flags(&format!("{}// flags: -O0\n", "\n".repeat(HEAD))), FLAGS);
    }
}
