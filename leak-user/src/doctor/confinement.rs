//! What else may keep a process from tracing: a filter of system calls, security modules, and settings of the kernel that
//! look as if they did.

use std::fs;

use procfs::process::Status;

use super::Check;
use crate::text::printable;

/// A filter is installed, says `Seccomp` in a process's status.
pub const FILTERED: u32 = 2;

/// All of them; `loaded` says whether programs could be loaded, if that was tried.
pub fn examine(status: Option<&Status>, loaded: Option<bool>) -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    vec![
        seccomp(status.and_then(|status| status.seccomp), loaded),
        modules(read("/sys/kernel/security/lsm").as_deref(), read("/proc/self/attr/current").as_deref()),
        yama(read("/proc/sys/kernel/yama/ptrace_scope").as_deref()),
        perf_events(read("/proc/sys/kernel/perf_event_paranoid").as_deref()),
        unprivileged(read("/proc/sys/kernel/unprivileged_bpf_disabled").as_deref()),
    ]
}

fn seccomp(mode: Option<u32>, loaded: Option<bool>) -> Check {
    const WHAT: &str = "seccomp";
    match (mode, loaded) {
        (None | Some(0), _) => Check::good(WHAT, "no filter of system calls"),
        (_, Some(true)) => {
            Check::good(WHAT, "there is a filter of system calls, which lets bpf and perf_event_open pass")
        }
        _ => Check::poor(
            WHAT,
            "there is a filter of system calls, which may refuse bpf and perf_event_open",
            "docker run --cap-add BPF --cap-add PERFMON has Docker's filter let them pass, or --security-opt \
             seccomp=unconfined; in a unit SystemCallFilter=bpf perf_event_open",
        ),
    }
}

fn modules(names: Option<&str>, context: Option<&str>) -> Check {
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return Check::good("LSM", "which security modules there are is not told here");
    };
    let context =
        context.map(|text| text.trim_end_matches('\0')).filter(|text| !text.is_empty() && *text != "unconfined");
    let found = printable(names).into_owned();
    match context.filter(|_| names.split(',').any(|name| matches!(name, "selinux" | "apparmor"))) {
        Some(context) => Check::good("LSM", format!("{found}; leaktrace runs as {}", printable(context))),
        None => Check::good("LSM", found),
    }
}

fn yama(scope: Option<&str>) -> Check {
    const WHAT: &str = "ptrace_scope";
    match scope {
        None => Check::good(WHAT, "the kernel has none"),
        Some("3") => Check::poor(
            WHAT,
            "3: the memory of no process can be read, so that a stack whose frames are doubtful is checked less well",
            "kernel.yama.ptrace_scope=2 at the next boot; with 3 it cannot be lowered",
        ),
        Some(scope) => {
            let scope = printable(scope);
            Check::good(WHAT, format!("{scope}: no matter with CAP_SYS_PTRACE, and probes are placed without ptrace"))
        }
    }
}

fn perf_events(level: Option<&str>) -> Check {
    let found = match level {
        Some(level) => format!("{}: no matter with CAP_PERFMON", printable(level)),
        None => "the kernel has no such setting".to_owned(),
    };
    Check::good("perf_paranoid", found)
}

fn unprivileged(level: Option<&str>) -> Check {
    let found = match level {
        Some("0") => "allowed: no matter, leaktrace's programs need CAP_BPF in any case".to_owned(),
        Some(level) => format!("forbidden ({}): no matter with CAP_BPF", printable(level)),
        None => "the kernel has no such setting".to_owned(),
    };
    Check::good("BPF for all", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_filter_is_poor_unless_programs_were_loaded() {
        assert_eq!(seccomp(Some(0), None).state, State::Good);
        assert_eq!(seccomp(Some(FILTERED), Some(true)).state, State::Good);
        let shut = seccomp(Some(FILTERED), Some(false));
        assert!(shut.state == State::Poor && shut.advice.unwrap().contains("seccomp=unconfined"));
        assert_eq!(seccomp(Some(FILTERED), None).state, State::Poor);
    }

    #[test]
    fn settings_that_do_not_matter_are_said_not_to() {
        for check in [yama(Some("1")), perf_events(Some("3")), unprivileged(Some("2"))] {
            assert!(check.state == State::Good && check.found.contains("no matter"), "{}", check.found);
        }
        assert_eq!(yama(Some("3")).state, State::Poor);
    }

    #[test]
    fn a_security_context_is_shown_where_a_module_has_one() {
        assert_eq!(modules(Some("capability,yama"), Some("x_t")).found, "capability,yama");
        assert!(modules(Some("lockdown,selinux"), Some("container_t\0")).found.ends_with("runs as container_t"));
        assert_eq!(modules(Some("apparmor"), Some("unconfined")).found, "apparmor");
        assert!(!modules(Some("a\x1b[2J"), None).found.contains('\x1b'));
    }
}
