//! What the running kernel and this user can do for a trace, found out by trying.
//!
//! Each check says what was found and, where that is less than the best, what to change. It leaves out the
//! target: whether that can be traced is said when it is attached to.

use std::{fs, path::Path, time::Instant};

use aya::util::KernelVersion;
use leak_ebpf::Walk;

use crate::{
    notice::Notices,
    probe::{
        calibrate::{self, HitCost},
        load::{Kernel, LinkKind, LoadSettings},
        privilege,
    },
};

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As good as can be.
    Good,
    /// Tracing works, with a drawback.
    Poor,
    /// Nothing can be traced.
    Bad,
}

/// What was found about one thing.
#[derive(Clone, Debug)]
pub struct Check {
    /// The thing, in a word or two.
    pub what: &'static str,
    /// How good it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Check {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Good, found: found.into(), advice: None }
    }

    fn other(what: &'static str, state: State, found: impl Into<String>, advice: &str) -> Self {
        Self { what, state, found: found.into(), advice: Some(advice.to_owned()) }
    }
}

/// Makes all checks.
pub fn examine() -> Vec<Check> {
    let mut checks = vec![kernel(), types(), rights(), lockdown(), memory_maps()];
    // Who may not load programs cannot find out what kinds there are.
    if checks.iter().all(|check| check.state != State::Bad) {
        let kind = LinkKind::detect();
        checks.extend([links(kind), walks()]);
        checks.extend(programs(kind));
    }
    checks
}

fn kernel() -> Check {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let found = format!("Linux {}", crate::text::printable(release.trim()));
    match KernelVersion::current() {
        Ok(version) if version < KernelVersion::new(5, 15, 0) => {
            Check::other("kernel", State::Bad, found, "leaktrace needs Linux 5.15; 6.13 and later trace cheapest")
        }
        Ok(_) => Check::good("kernel", found),
        Err(error) => Check::other("kernel", State::Poor, format!("{found}, {error}"), "its version cannot be told"),
    }
}

fn types() -> Check {
    const BTF: &str = "/sys/kernel/btf/vmlinux";
    if Path::new(BTF).exists() {
        Check::good("BTF", format!("{BTF} is there"))
    } else {
        Check::other("BTF", State::Bad, format!("{BTF} is not there"), "use a kernel with CONFIG_DEBUG_INFO_BTF=y")
    }
}

fn rights() -> Check {
    match privilege::check() {
        Ok(()) => Check::good("rights", "this user may load BPF programs and place probes"),
        Err(error) => Check::other(
            "rights",
            State::Bad,
            format!("{error:#}"),
            "run it as root, or grant CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE",
        ),
    }
}

fn lockdown() -> Check {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    if text.contains("[confidentiality]") {
        return Check::other(
            "lockdown",
            State::Bad,
            "confidentiality: BPF programs may not read the memory of processes",
            "boot with lockdown=integrity or without Secure Boot's lockdown",
        );
    }
    Check::good("lockdown", if text.contains("[integrity]") { "integrity, which allows tracing" } else { "none" })
}

fn memory_maps() -> Check {
    match fs::read_dir("/proc/self/map_files").map(|mut files| files.next().map(|file| fs::File::open(file?.path()))) {
        Ok(Some(Ok(_))) => Check::good("mapped files", "the files that processes map can be read"),
        _ => Check::other(
            "mapped files",
            State::Poor,
            "/proc/PID/map_files cannot be read",
            "grant CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN; else files that were replaced on disk stay untraced",
        ),
    }
}

fn links(kind: LinkKind) -> Check {
    match kind {
        LinkKind::Session => {
            Check::good("probes", "uprobe session links: an allocation that is not sampled pays for no return probe")
        }
        LinkKind::Multi => Check::other(
            "probes",
            State::Poor,
            "uprobe multi links: every allocation pays for a return probe, sampled or not",
            "Linux 6.13 and later have session links",
        ),
        LinkKind::Perf => Check::other(
            "probes",
            State::Poor,
            "perf events: every allocation pays for a return probe, and taking probes out takes seconds",
            "Linux 6.10 and later have multi links, 6.13 session links",
        ),
    }
}

fn walks() -> Check {
    if crate::probe::load::has_loops() {
        Check::good("stacks", "walked by unwind information, in the kernel")
    } else {
        Check::other(
            "stacks",
            State::Poor,
            "walked by frame pointers alone",
            "Linux 5.17 and later walk by unwind information; or compile with -fno-omit-frame-pointer",
        )
    }
}

/// Loads the programs and measures what a hit costs: what works here works in a trace.
fn programs(links: LinkKind) -> Vec<Check> {
    let began = Instant::now();
    let settings = LoadSettings { ring_bytes: 1 << 20, links, walk: Walk::Auto, may_sample: true, newcomers: false };
    let (mut kernel, mut upward, _tables) = match Kernel::load(settings, Notices::Quiet) {
        Ok(loaded) => loaded,
        Err(error) => {
            let advice = "report it, with the kernel's version and configuration";
            return vec![Check::other("programs", State::Bad, format!("{error:#}"), advice)];
        }
    };
    let loaded = Check::good("programs", format!("loaded in {} ms", began.elapsed().as_millis()));
    let cost = match calibrate::measure(&mut kernel, &mut upward) {
        Ok(HitCost { call, skipped_call, free, skipped_free, stepped_extra }) => Check::good(
            "cost",
            format!(
                "an allocation and its free {:.1} us when traced, {:.1} us when not sampled; {:.1} us more at an \
                 instruction that the kernel single-steps",
                (call + free) / 1000.0,
                (skipped_call + skipped_free) / 1000.0,
                stepped_extra / 1000.0
            ),
        ),
        Err(error) => Check::other(
            "cost",
            State::Poor,
            format!("not known: {error:#}"),
            "without it no budget can be kept; report it",
        ),
    };
    vec![loaded, cost]
}
