//! What the kernel has, whoever asks.

use std::{fs, path::Path};

use aya::{maps::MapType, sys::is_map_supported, util::KernelVersion};

use super::Check;
use crate::{
    probe::load::{LinkKind, has_loops},
    text::printable,
};

/// How old it is.
pub fn version() -> Check {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let found = format!("Linux {}", printable(release.trim()));
    match KernelVersion::current() {
        Ok(version) if version < KernelVersion::new(5, 15, 0) => {
            Check::bad("kernel", found, "leaktrace needs Linux 5.15; 6.13 and later trace cheapest")
        }
        Ok(_) => Check::good("kernel", found),
        Err(error) => Check::poor("kernel", format!("{found}, {error}"), "its version cannot be told"),
    }
}

/// Whether it tells of its own types, by which programs are fitted to it.
pub fn types() -> Check {
    const BTF: &str = "/sys/kernel/btf/vmlinux";
    if Path::new(BTF).exists() {
        Check::good("BTF", format!("{BTF} is there"))
    } else if !Path::new("/sys/kernel").exists() {
        Check::bad("BTF", "/sys is not mounted, so that the kernel's types are not known", "mount sysfs at /sys")
    } else {
        Check::bad("BTF", format!("{BTF} is not there"), "use a kernel with CONFIG_DEBUG_INFO_BTF=y")
    }
}

/// Whether it is locked.
pub fn lockdown() -> Check {
    locked(&fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default())
}

fn locked(text: &str) -> Check {
    if text.contains("[confidentiality]") {
        return Check::bad(
            "lockdown",
            "confidentiality: BPF programs may not read the memory of processes",
            "boot with lockdown=integrity or without Secure Boot's lockdown",
        );
    }
    Check::good("lockdown", if text.contains("[integrity]") { "integrity, which allows tracing" } else { "none" })
}

/// The kinds of maps that not every kernel was built with.
pub fn maps() -> Vec<Check> {
    let kinds = [
        ("ring buffer", MapType::RingBuf, "what wakes leaktrace when there is something to read", "5.8"),
        ("task storage", MapType::TaskStorage, "what a thread is allocating, from entry to return", "5.11"),
    ];
    let check = |(what, kind, holds, since)| match is_map_supported(kind) {
        Ok(true) => Check::good(what, format!("there is one: {holds}")),
        Ok(false) => Check::bad(
            what,
            format!("the kernel has none, which is to hold {holds}"),
            format!("Linux {since} and later have it, unless built without CONFIG_BPF_LSM or CONFIG_BPF_SYSCALL"),
        ),
        // What cannot be found out like this is found out by loading the programs.
        Err(error) => Check::good(what, format!("not asked for: {error}")),
    };
    kinds.map(check).into()
}

/// By what probes are placed.
pub fn links(kind: LinkKind) -> Check {
    match kind {
        LinkKind::Session => {
            Check::good("probes", "uprobe session links: an allocation that is not sampled pays for no return probe")
        }
        LinkKind::Multi => Check::poor(
            "probes",
            "uprobe multi links: every allocation pays for a return probe, sampled or not",
            "Linux 6.13 and later have session links",
        ),
        LinkKind::Perf => Check::poor(
            "probes",
            "perf events: every allocation pays for a return probe, and taking probes out takes seconds",
            "Linux 6.10 and later have multi links, 6.13 session links",
        ),
    }
}

/// How stacks are walked.
pub fn walks() -> Check {
    if has_loops() {
        Check::good("stacks", "walked by unwind information, in the kernel: it runs loops for programs")
    } else {
        Check::poor(
            "stacks",
            "walked by frame pointers alone: the kernel runs no loops for programs",
            "Linux 5.17 and later walk by unwind information; or compile with -fno-omit-frame-pointer",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn only_the_strictest_lockdown_keeps_from_tracing() {
        assert_eq!(locked("none integrity [confidentiality]\n").state, State::Bad);
        assert!(locked("none [integrity] confidentiality\n").found.starts_with("integrity"));
        assert_eq!(locked("").found, "none");
    }
}
