//! Whose call it is that hit a probe which is in every process.
//!
//! A probe in many processes one by one is as many probes to the kernel, which asks each at every hit. One for all is asked
//! once, but cannot tell whom it was put there for.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::map, maps::HashMap};
use leak_ebpf::{ANY_PROCESS, Cookie, MAX_PROCESSES, STRANGERS_SLOT};

/// The slot of each process that is traced by probes for all, by its id in the initial PID namespace.
#[map]
static SHARERS: HashMap<u32, u16> = HashMap::with_max_entries(MAX_PROCESSES, 0);

/// The cookie as of a probe in the running process alone: its own slot, or that of strangers.
#[inline(always)]
pub fn resolve(cookie: Cookie) -> Cookie {
    if cookie.process != ANY_PROCESS {
        return cookie;
    }
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the value is copied out at once.
    let process = unsafe { SHARERS.get(pid) }.copied().unwrap_or(STRANGERS_SLOT);
    Cookie { process, ..cookie }
}
