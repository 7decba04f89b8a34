//! Whether this process may trace at all, said before the kernel says it less clearly.

use std::fs;

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

/// Why probes that are perf events may be refused all the same, in words that follow others; empty where nothing tells.
pub fn restriction() -> String {
    // Upstream kernels know up to 2; what is above is of distributions, and asks for more than any of leaktrace's rights.
    let level =
        fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok().and_then(|level| level.trim().parse().ok());
    let is_admin = capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::SYS_ADMIN));
    match level {
        Some(level @ 3_i32..) if !is_admin => format!(
            " (kernel.perf_event_paranoid is {level}, which asks for CAP_SYS_ADMIN; set it to 2, or run leaktrace with sudo)"
        ),
        _ => String::new(),
    }
}
