//! heaptrack, injected into a running process by gdb.

use std::{fs, process::Command};

use anyhow::Result;

use super::Peer;
use crate::{contender::Site, scratch::Scratch, tools::Tool};

const HEAPTRACK: Tool = Tool { program: "heaptrack", package: "heaptrack" };
const GDB: Tool = Tool { program: "gdb", package: "gdb" };

/// Injects it into a process, and waits until it traces.
pub fn heaptrack(site: &Site<'_>) -> Result<Peer> {
    let heaptrack = HEAPTRACK.find()?;
    GDB.find()?;
    let scratch = Scratch::make()?;
    let mut command = Command::new(heaptrack);
    command.arg("-o").arg(scratch.path().join("heaptrack")).args(["-p", &site.pid.to_string()]);
    // Until gdb has let go, the process is stopped.
    let is_injected = || {
        let maps = fs::read_to_string(format!("/proc/{}/maps", site.pid)).unwrap_or_default();
        let status = fs::read_to_string(format!("/proc/{}/status", site.pid)).unwrap_or_default();
        maps.contains("libheaptrack") && status.lines().any(|line| line == "TracerPid:\t0")
    };
    Peer::start(&mut command, scratch)?.ending_with_target().wait_until(|_| is_injected())
}
