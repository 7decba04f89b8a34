//! Calls of cargo that do not inherit the calling cargo's choices.
//!
//! `cargo xtask` is itself run by a cargo, whose compiler, flags and targets must not reach the kernel programs or
//! the linker. The host's own build keeps the person's flags and toolchain, and loses only what moves its output.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use crate::paths;

/// The cargo that runs us.
pub fn program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The rustc of that cargo.
pub fn rustc() -> OsString {
    let beside = Path::new(&program()).with_file_name("rustc");
    if beside.is_file() { beside.into() } else { "rustc".into() }
}

/// A cargo for the host: the person's own toolchain and flags, our own target directory.
pub fn host() -> Command {
    let mut command = Command::new(program());
    command.current_dir(paths::root()).env("CARGO_TARGET_DIR", paths::target());
    command.env_remove("CARGO_BUILD_TARGET").env_remove("CARGO_BUILD_TARGET_DIR");
    command
}

/// `program` (a cargo, or one of its companions) with no choice of the calling cargo's or the person's left.
pub fn isolated(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(paths::root());
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_choice) {
            command.env_remove(name);
        }
    }
    // Empty means none, even where a configuration file names one.
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    command
}

/// An isolated cargo that compiles with `rustc`, which may call itself a nightly or not.
pub fn with_rustc(program: impl AsRef<OsStr>, rustc: &Path) -> Command {
    let mut command = isolated(program);
    command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
    command
}

/// Whether an environment variable of this name changes what a cargo or rustc does.
///
/// `RUSTUP_TOOLCHAIN` stays. What must have another compiler is given its path, so that rustup has no say; for the
/// rest it keeps rustup from heeding the `rust-toolchain.toml` in the source of some dependency, and thereby from
/// updating the person's toolchain.
fn is_choice(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "RUSTC",
        "RUSTC_BOOTSTRAP",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        // `cargo run` puts its toolchain's libraries here; another toolchain must not find them.
        "LD_LIBRARY_PATH",
        "CLIPPY_ARGS",
        "SYSROOT",
    ];
    const PREFIXES: [&str; 6] =
        ["RUSTC_", "CARGO_BUILD_", "CARGO_TARGET_", "CARGO_PROFILE_", "CARGO_UNSTABLE_", "CARGO_PKG_"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_known_by_name() {
        for name in
            ["RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "CARGO_PROFILE_RELEASE_LTO"]
        {
            assert!(is_choice(name), "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_TERM_COLOR",
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
            "CARGO",
        ] {
            assert!(!is_choice(name), "{name}");
        }
    }
}
