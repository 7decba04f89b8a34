//! bcc's memleak, as it is called in Debian.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use super::Peer;
use crate::{contender::Site, scratch::Scratch, tools::Tool, workloads::LIBC};

const MEMLEAK: Tool = Tool { program: "memleak-bpfcc", package: "bpfcc-tools" };

/// What makes up for a fault of bcc's.
const STARTER: &str = include_str!("memleak.py");

/// Starts it on a process, and waits until it traces.
pub fn memleak(site: &Site<'_>) -> Result<Peer> {
    let memleak = MEMLEAK.find()?;
    ensure!(
        finds_kernel_headers(),
        "bcc compiles with kernel headers and finds none: install those of this kernel (`linux-headers-{}`), or name a \
         tree of another's with BCC_KERNEL_SOURCE",
        release()
    );
    let mut command = Command::new(interpreter(&memleak));
    command.args(["-c", STARTER]).arg(memleak).args(["-p", &site.pid.to_string()]);
    if site.allocator != LIBC {
        command.arg("-O").arg(site.file);
    }
    Peer::start(command.arg("3600"), Scratch::make()?)?.wait_for_probes()
}

/// The Python that has bcc's library: that of the tool's first line.
fn interpreter(tool: &Path) -> PathBuf {
    let text = fs::read_to_string(tool).unwrap_or_default();
    let first = text.lines().next().and_then(|line| line.strip_prefix("#!"));
    first
        .map(str::trim)
        .filter(|line| line.starts_with('/') && !line.contains(' '))
        .unwrap_or("/usr/bin/python3")
        .into()
}

/// Whether they are where bcc looks.
fn finds_kernel_headers() -> bool {
    let usual = [format!("/lib/modules/{}/build", release()), "/sys/kernel/kheaders.tar.xz".to_owned()];
    env::var_os("BCC_KERNEL_SOURCE").is_some() || usual.iter().any(|place| Path::new(place).exists())
}

fn release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}
