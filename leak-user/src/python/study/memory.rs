//! How much memory a reading may take for a moment: it holds a copy of what the interpreter has.

use crate::process::memory_use::limits_of;

/// Never more than this.
const MOST: u64 = 4 << 30;

/// And one part in so many of what the system, or leaktrace's own control group, has to spare.
const PART: u64 = 3;

/// The largest heap that is copied, in bytes.
pub fn most_bytes() -> u64 {
    let own = limits_of(std::process::id());
    let group = own.cgroup.and_then(|group| Some(group.limit_bytes?.saturating_sub(group.bytes)));
    let spare = own.system_available_bytes.into_iter().chain(group).min();
    spare.map_or(MOST, |spare| (spare / PART).min(MOST))
}
