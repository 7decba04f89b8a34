//! bpftrace with the script that one would write to find a leak: bytes held, by stack.

use std::process::Command;

use anyhow::Result;

use super::Peer;
use crate::{contender::Site, scratch::Scratch, tools::Tool};

const BPFTRACE: Tool = Tool { program: "bpftrace", package: "bpftrace" };

/// Starts it on a process, and waits until it traces.
pub fn bpftrace(site: &Site<'_>) -> Result<Peer> {
    let library = site.file.display();
    let script = format!(
        "uprobe:{library}:malloc {{ @asked[tid] = arg0; }} \
         uretprobe:{library}:malloc /@asked[tid]/ {{ \
           @bytes[retval] = @asked[tid]; @by[retval] = ustack; @held[ustack] += @asked[tid]; delete(@asked[tid]); }} \
         uprobe:{library}:free /@bytes[arg0]/ {{ \
           @held[@by[arg0]] -= @bytes[arg0]; delete(@bytes[arg0]); delete(@by[arg0]); }}"
    );
    let mut command = Command::new(BPFTRACE.find()?);
    command.args(["-p", &site.pid.to_string(), "-e", &script]);
    Peer::start(&mut command, Scratch::make()?)?.wait_for_probes()
}
