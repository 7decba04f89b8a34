//! The capabilities of this process, one by one: what each is for, and who can give it.

use std::fs;

use procfs::process::Status;
use rustix::thread::CapabilitySet;

use super::{Check, State};

/// A capability that leaktrace uses.
struct Right {
    name: &'static str,
    capability: CapabilitySet,
    /// Others that allow the same.
    instead: &'static [(CapabilitySet, &'static str)],
    /// What it allows.
    allows: &'static str,
    /// What there is without it, and how bad that is.
    without: &'static str,
    state: State,
}

const ADMIN: (CapabilitySet, &str) = (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN");

const RIGHTS: [Right; 4] = [
    Right {
        name: "CAP_BPF",
        capability: CapabilitySet::BPF,
        instead: &[ADMIN],
        allows: "loading BPF programs",
        without: "no program can be loaded, so nothing can be traced",
        state: State::Bad,
    },
    Right {
        name: "CAP_PERFMON",
        capability: CapabilitySet::PERFMON,
        instead: &[ADMIN],
        allows: "placing probes and reading the memory of what hits them",
        without: "no probe can be placed, so nothing can be traced",
        state: State::Bad,
    },
    Right {
        name: "CAP_SYS_PTRACE",
        capability: CapabilitySet::SYS_PTRACE,
        instead: &[],
        allows: "reading what processes of others map",
        without: "only processes of this user can be traced, and none that is not dumpable",
        state: State::Poor,
    },
    Right {
        name: "CAP_DAC_READ_SEARCH",
        capability: CapabilitySet::DAC_READ_SEARCH,
        instead: &[(CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE")],
        allows: "opening the programs and libraries of others",
        without: "programs that this user may not read have no probes and no names",
        state: State::Poor,
    },
];

/// A check for each; `is_first` says whether this is the machine's own user namespace.
pub fn capabilities(status: Option<&Status>, is_first: bool) -> Vec<Check> {
    let Some(status) = status else {
        let advice = "mount proc at /proc";
        return vec![Check::bad("capabilities", "/proc/self/status cannot be read, so they are not known", advice)];
    };
    RIGHTS.iter().map(|right| right.check(status, is_first)).collect()
}

impl Right {
    fn check(&self, status: &Status, is_first: bool) -> Check {
        let held = CapabilitySet::from_bits_retain(status.capeff);
        let instead = self.instead.iter().find(|(capability, _)| held.contains(*capability));
        let found = match (held.contains(self.capability), instead) {
            (true, _) => format!("held: {}", self.allows),
            (false, Some((_, other))) => format!("not held, but {other} is, which covers it: {}", self.allows),
            (false, None) => {
                let found = format!("missing: {}", self.without);
                return Check { what: self.name, state: self.state, found, advice: Some(self.advice(status)) };
            }
        };
        if is_first {
            return Check::good(self.name, found);
        }
        Check {
            what: self.name,
            state: self.state,
            found: format!("held in a user namespace alone, where the kernel does not count it: {}", self.without),
            advice: Some(
                "run leaktrace in the machine's own user namespace: not under `unshare -U`, nor rootless".to_owned(),
            ),
        }
    }

    /// Who can give it.
    fn advice(&self, status: &Status) -> String {
        let Self { name, capability, .. } = self;
        let short = name.trim_start_matches("CAP_");
        let container = format!("docker run --cap-add {short}");
        let unit = format!("AmbientCapabilities={name} in its unit");
        // Only older kernels than leaktrace can use do not tell.
        let bounding = CapabilitySet::from_bits_retain(status.capbnd.unwrap_or(u64::MAX));
        if !bounding.contains(*capability) {
            return format!(
                "it is not in the bounding set, so nobody in here can give it, not even sudo; whoever starts this can: \
                 {container}, or CapabilityBoundingSet={name} and {unit}"
            );
        }
        if status.nonewprivs == Some(1) {
            return format!(
                "no_new_privs is set, so sudo cannot give it; whoever starts this can: {container}, or {unit}"
            );
        }
        format!("run leaktrace with sudo; or {container}; or {unit}")
    }
}

/// Whether the files that processes map can be reached through the kernel rather than by their paths.
pub fn mapped_files() -> Check {
    match fs::read_dir("/proc/self/map_files").map(|mut files| files.next().map(|file| fs::File::open(file?.path()))) {
        Ok(Some(Ok(_))) => Check::good("mapped files", "the files that processes map can be read"),
        _ => Check::poor(
            "mapped files",
            "/proc/PID/map_files cannot be read: files that were replaced on disk stay untraced",
            "grant CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::status_of;

    const ALL: &str = "000001ffffffffff";
    const NONE: &str = "0000000000000000";

    fn states(effective: &str, bounding: &str, is_first: bool) -> Vec<(State, String)> {
        let status = status_of(&[("CapEff", effective), ("CapBnd", bounding), ("NoNewPrivs", "0")]);
        let checks = capabilities(Some(&status), is_first);
        checks.into_iter().map(|check| (check.state, check.advice.unwrap_or_default())).collect()
    }

    #[test]
    fn who_has_all_lacks_nothing() {
        assert!(states(ALL, ALL, true).iter().all(|(state, _)| *state == State::Good));
    }

    #[test]
    fn each_that_is_missing_is_named_with_who_gives_it() {
        let known = [State::Bad, State::Bad, State::Poor, State::Poor];
        let found = states(NONE, ALL, true);
        assert!(found.iter().map(|(state, _)| *state).eq(known));
        assert!(found[0].1.contains("sudo") && found[0].1.contains("--cap-add BPF"), "{}", found[0].1);
        assert!(found[3].1.contains("AmbientCapabilities=CAP_DAC_READ_SEARCH"), "{}", found[3].1);
        // 1 << 39 is CAP_BPF, 1 << 19 CAP_SYS_PTRACE.
        let found = states("0000008000080000", ALL, true);
        let known = [State::Good, State::Bad, State::Good, State::Poor];
        assert!(found.iter().map(|(state, _)| *state).eq(known));
    }

    #[test]
    fn what_the_bounding_set_lacks_sudo_cannot_give() {
        let found = states(NONE, NONE, true);
        assert!(
            found
                .iter()
                .all(|(_, advice)| advice.contains("not even sudo") && advice.contains("CapabilityBoundingSet="))
        );
        let status = status_of(&[("CapEff", NONE), ("CapBnd", ALL), ("NoNewPrivs", "1")]);
        let checks = capabilities(Some(&status), true);
        assert!(checks[0].advice.as_ref().unwrap().starts_with("no_new_privs is set"));
    }

    #[test]
    fn the_administrator_needs_no_other_for_programs_and_probes() {
        // 1 << 21 is CAP_SYS_ADMIN.
        let status = status_of(&[("CapEff", "0000000000200000"), ("CapBnd", ALL)]);
        let checks = capabilities(Some(&status), true);
        let known = [State::Good, State::Good, State::Poor, State::Poor];
        assert!(checks.iter().map(|check| check.state).eq(known));
        assert!(checks[0].found.contains("CAP_SYS_ADMIN"));
    }

    #[test]
    fn what_is_held_in_a_user_namespace_alone_counts_for_nothing() {
        assert!(states(ALL, ALL, false).iter().all(|(state, _)| *state != State::Good));
    }
}
