//! Compiles the kernel programs to `target/bpf/leaktrace.bpf.o`, those that watch writes and the benchmark's empty ones
//! beside them.
//!
//! A file changes only when its content does, so that a fresh one does not make the host's build stale.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::toolchain::{TARGET, Toolchain};
use crate::{cargo, paths, run};

/// Compiles the programs; `before_output` is called before cargo's output is passed on.
pub fn compile(toolchain: &Toolchain, linker: &Path, before_output: impl FnMut()) -> Result<()> {
    let mut command = cargo::with_rustc(&toolchain.cargo, &toolchain.rustc);
    command.arg("build");
    arguments(&mut command, toolchain);
    command.arg("--target-dir").arg(paths::bpf()).env("CARGO_ENCODED_RUSTFLAGS", flags(linker, &[]));
    run::stream(&mut command, before_output).context("the kernel programs do not compile")?;
    let compiled = paths::bpf().join(TARGET).join("release");
    copy_if_changed(&compiled.join("leak-ebpf"), &paths::object())?;
    copy_if_changed(&compiled.join("writes"), &paths::writes_object())?;
    copy_if_changed(&compiled.join("floor"), &paths::floor_object())
}

/// What to compile, and for what: the arguments that `build`, `check` and `clippy` share.
pub fn arguments(command: &mut Command, toolchain: &Toolchain) {
    command.args(["--release", "--package", "leak-ebpf", "--bins", "--features", "programs"]);
    command.args(["--target", TARGET]);
    if toolchain.builds_core {
        command.args(["-Z", "build-std=core"]);
    }
}

/// The compiler's flags as `CARGO_ENCODED_RUSTFLAGS` takes them.
pub fn flags(linker: &Path, more: &[&str]) -> OsString {
    let mut linker_flag = OsString::from("-Clinker=");
    linker_flag.push(linker);
    let mut flags: Vec<&OsStr> =
        ["--cfg=bpf_target_arch=\"x86_64\"", "-Cdebuginfo=2", "-Clink-arg=--btf"].map(OsStr::new).to_vec();
    flags.push(&linker_flag);
    flags.extend(more.iter().map(OsStr::new));
    flags.join(OsStr::new("\x1f"))
}

/// Copies the file, in one step, unless the copy is the same already.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", paths::short(from)))?;
    if fs::read(to).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let new = to.with_extension("new");
    fs::write(&new, content).with_context(|| format!("cannot write {}", paths::short(&new)))?;
    fs::rename(&new, to).with_context(|| format!("cannot write {}", paths::short(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_copy_is_left_alone() {
        let directory = std::env::temp_dir().join(format!("xtask-copy-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (from, to) = (directory.join("a"), directory.join("b.o"));
        fs::write(&from, "1").unwrap();
        copy_if_changed(&from, &to).unwrap();
        let first = fs::metadata(&to).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        copy_if_changed(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), first);
        fs::write(&from, "2").unwrap();
        copy_if_changed(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"2");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn flags_are_separated_as_cargo_wants_them() {
        let flags = flags(Path::new("/a b/linker"), &["-Dwarnings"]);
        let flags = flags.to_str().unwrap();
        assert!(flags.ends_with("\x1f-Clinker=/a b/linker\x1f-Dwarnings"), "{flags}");
    }
}
