//! What the system says of a process's memory: its own figures, its control group's, and what is left for all.

use std::fs;

use procfs::{Current, Meminfo, process::Process};
use serde::{Deserialize, Serialize};

use super::cgroup::{self, Cgroup};

/// What the system says of a process's memory. None where it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The process.
    pub pid: u32,
    /// Resident bytes.
    pub rss_bytes: u64,
    /// Resident bytes, of shared ones its share.
    pub pss_bytes: Option<u64>,
    /// Bytes that are swapped out.
    pub swap_bytes: Option<u64>,
    /// The control group that limits it.
    pub cgroup: Option<Cgroup>,
    /// Bytes that the system can still give out.
    pub system_available_bytes: Option<u64>,
}

impl Memory {
    /// Whether the process is in this control group.
    pub fn is_in(&self, group: &Cgroup) -> bool {
        self.cgroup.as_ref().is_some_and(|own| own.path == group.path)
    }

    /// The control group, if it tells something of the process: it has a limit, or is the process's for a good part.
    pub fn telling_cgroup(&self) -> Option<&Cgroup> {
        let resident = self.rss_bytes.saturating_mul(4);
        self.cgroup.as_ref().filter(|group| group.limit_bytes.is_some() || group.bytes <= resident)
    }
}

/// What is known of a process now; of one that is gone, only its pid.
pub fn memory_of(pid: u32) -> Memory {
    Memory { pss_bytes: pss(pid), ..limits_of(pid) }
}

/// The same but for what is shared: to ask for that takes the longer the more memory the process has.
pub fn limits_of(pid: u32) -> Memory {
    let mut memory = Memory { pid, system_available_bytes: available(), ..Memory::default() };
    let Ok(process) = Process::new(pid.cast_signed()) else { return memory };
    if let Ok(status) = process.status() {
        memory.rss_bytes = status.vmrss.unwrap_or(0) * 1024;
        memory.swap_bytes = status.vmswap.map(|kib| kib * 1024);
    }
    memory.cgroup = cgroup::of(pid).and_then(|group| group.limited());
    memory
}

fn available() -> Option<u64> {
    Meminfo::current().ok()?.mem_available
}

/// The share of resident bytes that are the process's own.
fn pss(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().strip_suffix(" kB")?;
    Some(kib.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_resident_bytes_and_a_gone_one_has_none() {
        let own = memory_of(std::process::id());
        assert!(own.rss_bytes > 1 << 20, "{own:?}");
        assert!(own.pss_bytes.is_some_and(|pss| pss > 0 && pss <= own.rss_bytes * 2), "{own:?}");
        assert!(own.system_available_bytes.is_some_and(|bytes| bytes > 1 << 20));
        let gone = memory_of(u32::MAX >> 1);
        assert_eq!((gone.rss_bytes, gone.pss_bytes), (0, None));
    }
}
