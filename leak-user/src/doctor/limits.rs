//! What leaktrace itself may use: the memory of its own control group.

use super::Check;
use crate::{
    process::cgroup::{self, Cgroup},
    units::bytes,
};

/// What a trace of a large program takes, with its tables in the kernel, which count as well.
const ENOUGH: u64 = 128 << 20;

/// The checks of limits.
pub fn examine() -> Vec<Check> {
    let group = cgroup::of(std::process::id()).and_then(|place| place.limited());
    vec![memory(group.as_ref()), locked_memory()]
}

fn memory(group: Option<&Cgroup>) -> Check {
    const WHAT: &str = "own memory";
    let Some(Cgroup { bytes: used, limit_bytes: Some(limit), .. }) = group else {
        return Check::good(WHAT, "leaktrace's control group sets no limit");
    };
    let found = format!("leaktrace's control group may use {}, and {} is in use", bytes(*limit), bytes(*used));
    if limit.saturating_sub(*used) >= ENOUGH {
        return Check::good(WHAT, found);
    }
    Check::poor(
        WHAT,
        format!("{found}: a trace of a large program may be killed"),
        format!("leave it {} more: MemoryMax= in its unit, docker run --memory", bytes(ENOUGH)),
    )
}

/// Older kernels count BPF memory there; leaktrace runs on none of them, so a person need not raise it.
fn locked_memory() -> Check {
    Check::good("RLIMIT_MEMLOCK", "no matter: since Linux 5.11 what programs take is counted in the control group")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    #[test]
    fn a_limit_that_leaves_little_room_is_said() {
        let group = |used, limit_bytes| Cgroup { path: "/x".to_owned(), bytes: used, limit_bytes };
        assert_eq!(memory(None).state, State::Good);
        assert_eq!(memory(Some(&group(5 << 30, None))).state, State::Good);
        assert_eq!(memory(Some(&group(1 << 20, Some(512 << 20)))).state, State::Good);
        let tight = memory(Some(&group(60 << 20, Some(64 << 20))));
        assert!(tight.state == State::Poor && tight.found.contains("64.0 MiB"), "{}", tight.found);
    }
}
