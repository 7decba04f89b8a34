//! The tools that tests drive: compilers, a debugger, allocators, Redis, `protoc` and a browser.
//!
//! Missing ones are named before anything is compiled, and installed under the same rule as the BPF toolchain.
//!
//! Prometheus is unpacked rather than installed, see there. Redis comes without its package `redis-server`, which would start a service on this machine, now and at every
//! boot (`RUNLEVEL=1`, the usual remedy, does not stop systemd). Debian's server is one program with
//! `redis-check-rdb` of `redis-tools`, and acts by the name it is called by; a link with the right name is enough.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::packages::{self, Family};
use crate::{paths, prometheus, run};

/// The tools, each with the Debian packages that have it. Libraries are told by their names' beginning.
const TOOLS: [(&str, &[&str]); 16] = [
    ("cc", &["gcc", "libc6-dev"]),
    ("c++", &["g++"]),
    ("objcopy", &["binutils"]),
    ("musl-gcc", &["musl-tools"]),
    ("libjemalloc.so", &["libjemalloc-dev"]),
    ("libjemalloc.a", &["libjemalloc-dev"]),
    ("libtcmalloc.so", &["libgoogle-perftools-dev"]),
    ("libtcmalloc_minimal.so", &["libgoogle-perftools-dev"]),
    ("libmimalloc.so", &["libmimalloc-dev"]),
    ("gdb", &["gdb"]),
    ("systemd-analyze", &["systemd"]),
    ("redis-server", &["redis-tools"]),
    ("redis-benchmark", &["redis-tools"]),
    ("protoc", &["protobuf-compiler"]),
    ("chromium", &["chromium"]),
    ("chromedriver", &["chromium-driver"]),
];

/// The program that is Debian's Redis server too.
const REDIS_IN_DISGUISE: &str = "redis-check-rdb";

/// Makes sure that the tools are there, installing what can be.
pub fn ensure() -> Result<()> {
    prometheus::ensure()?;
    link_redis()?;
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|(tool, _)| *tool).collect::<Vec<_>>().join(", ");
    let mut packages: Vec<&str> = missing.iter().flat_map(|(_, packages)| packages.iter().copied()).collect();
    packages.dedup();
    if packages::can_install() {
        packages::install(&packages, &format!("the tests, which lack {names}"), &[])?;
        return link_redis();
    }
    if Family::here() == Family::Debian {
        bail!("the tests need {names}: run `{}`", packages::command(&packages));
    }
    bail!("the tests need {names}: install the packages of your distribution that have them");
}

/// The search path for tests: the person's own, and then the link to Redis.
pub fn search_path() -> Result<OsString> {
    let own = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&own).chain([paths::targets()]);
    env::join_paths(directories).context("the repository's path has a colon in it, which PATH cannot hold")
}

/// The tools that are nowhere to be found.
fn missing() -> Vec<(&'static str, &'static [&'static str])> {
    TOOLS.into_iter().filter(|(tool, _)| find(tool).is_none()).collect()
}

/// Where the C compiler finds a library.
pub fn library(name: &str) -> Option<PathBuf> {
    // It answers with the bare name where it finds none.
    let path = run::output(Command::new("cc").arg(format!("-print-file-name={name}"))).ok()?;
    path.contains('/').then(|| path.into())
}

/// Where a tool lies: on the person's search path, among our targets, or where libraries are.
pub fn find(tool: &str) -> Option<PathBuf> {
    if tool.starts_with("lib") {
        return library(tool);
    }
    let path = search_path().ok()?;
    env::split_paths(&path).map(|directory| directory.join(tool)).find(|path| path.is_file())
}

/// Links the Redis server to its name, where it is there only under the other one.
fn link_redis() -> Result<()> {
    if find("redis-server").is_some() {
        return Ok(());
    }
    let Some(program) = find(REDIS_IN_DISGUISE) else {
        return Ok(());
    };
    let link = paths::targets().join("redis-server");
    fs::create_dir_all(paths::targets()).with_context(|| format!("cannot make {}", paths::short(&paths::targets())))?;
    // A link that leads nowhere any more; `find` has seen to the others.
    let _ = fs::remove_file(&link);
    symlink(program, &link).with_context(|| format!("cannot make the link {}", paths::short(&link)))
}
