//! `cargo xtask test`: every test of the workspace, the ones that load BPF programs included.
//!
//! BPF needs root: everything is compiled as the person, and where that is not root, each test program is run
//! through sudo. What `cargo test` prints last stays the last to be seen, save one line when it failed.

use std::env;
use std::ffi::OsString;
use std::num::NonZero;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{build, cargo, clean_debian, dist, exports, paths, python, run, targets, tools};

/// How many tests of one program run at a time.
const THREADS: &str = "RUST_TEST_THREADS";

/// The options of `cargo xtask test`.
#[derive(Args)]
pub struct Options {
    /// Also the long and the exhaustive tests
    #[arg(long)]
    full: bool,
    /// Only tests whose name contains one of these
    filter: Vec<String>,
}

/// Builds and tests.
pub fn run(options: &Options) -> Result<()> {
    tools::ensure()?;
    python::ensure()?;
    build::run()?;
    targets::compile_all()?;
    exports::write()?;
    if options.full {
        dist::make()?;
        clean_debian::ensure()?;
    }
    let environment = environment(options)?;
    let mut command = cargo::host();
    command.args(["test", "--workspace", "--release", "--no-fail-fast"]);
    if !run::is_root() {
        command.arg("--config").arg(runner(&environment)?);
    }
    command.envs(environment).arg("--").args(&options.filter);
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("some tests failed; cargo's lines above name them");
    }
    Ok(())
}

/// What the tests find in their environment.
fn environment(options: &Options) -> Result<Vec<(String, OsString)>> {
    let mut variables: Vec<(String, OsString)> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with("LEAKTRACE_") || name == "RUST_BACKTRACE" || name == THREADS)
        .collect();
    variables.push(("LEAKTRACE_BIN".into(), paths::leaktrace().into()));
    variables.push(("LEAKTRACE_TARGETS".into(), paths::targets().into()));
    variables.push(("LEAKTRACE_PYTHON".into(), python::program().into()));
    variables.extend(exports::folders().map(|(name, folder)| (name.into(), folder.into())));
    variables.push(("PATH".into(), tools::search_path()?));
    if env::var_os(THREADS).is_none() {
        // Most of them wait, for what programs do as time goes by; those that measure see to it that they are alone.
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        variables.push((THREADS.into(), (2 * processors).to_string().into()));
    }
    if options.full {
        variables.push(("LEAKTRACE_FULL".into(), "1".into()));
    }
    Ok(variables)
}

/// Cargo's setting that runs test programs through sudo, with our environment, which sudo would not pass on.
fn runner(environment: &[(String, OsString)]) -> Result<String> {
    let mut words: Vec<String> = vec![];
    let sudo = run::as_root("env");
    for word in std::iter::once(sudo.get_program()).chain(sudo.get_args()) {
        words.push(word.to_string_lossy().into_owned());
    }
    for (name, value) in environment {
        let Some(value) = value.to_str() else {
            bail!("{name} is not UTF-8, and cannot be handed to the tests through sudo: unset it, or run as root");
        };
        words.push(format!("{name}={value}"));
    }
    let words: Vec<String> = words.iter().map(|word| toml_string(word)).collect();
    Ok(format!("target.{}-unknown-linux-gnu.runner=[{}]", env::consts::ARCH, words.join(",")))
}

/// The text as a TOML string.
fn toml_string(text: &str) -> String {
    let mut string = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => string.extend(['\\', character]),
            control if control.is_control() => {
                string.extend(format!("\\u{:04X}", u32::from(control)).chars());
            }
            plain => string.push(plain),
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_survive_toml() {
        assert_eq!(toml_string(r#"a "b" \c"#), r#""a \"b\" \\c""#);
        assert_eq!(toml_string("a\nb"), "\"a\\u000Ab\"");
    }
}
