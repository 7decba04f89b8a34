//! Whether this process may trace at all, said before the kernel says it less clearly.

use anyhow::{Result, bail};
use rustix::thread::{CapabilitySet, capabilities};

/// Fails, naming what is missing, unless leaktrace may load BPF programs and open probes.
pub fn check() -> Result<()> {
    let effective = capabilities(None)?.effective;
    if effective.contains(CapabilitySet::SYS_ADMIN) {
        return Ok(());
    }
    let missing: Vec<&str> = [(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter_map(|(capability, name)| (!effective.contains(capability)).then_some(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "tracing needs CAP_BPF and CAP_PERFMON, and this user lacks {}; run leaktrace with sudo",
        missing.join(" and ")
    )
}

/// Why a probe that is a perf event was refused, in words that follow others; empty where nothing tells.
///
/// Links of probes, which newer kernels have, take no more than [`check`] asks for.
pub fn restriction() -> &'static str {
    if capabilities(None).is_ok_and(|held| !held.effective.contains(CapabilitySet::SYS_ADMIN)) {
        " (before Linux 6.6 that takes CAP_SYS_ADMIN; run leaktrace with sudo, or give its service that capability)"
    } else {
        ""
    }
}
