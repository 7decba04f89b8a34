//! Processes that run a new program, of which user space has not said yet whether it is to be traced.
//!
//! Such a newcomer waits in its dynamic loader, before code of its own has allocated anything, until that is said; and then, if
//! it is, until it has its probes. It is not stopped, which its parent would see, but kept busy, and never for long: a
//! reader that has no time delays it by no more than [`UNDECIDED`] and [`WANTED`].

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_ns},
    macros::{map, uprobe},
    maps::HashMap,
    programs::ProbeContext,
};

use leak_ebpf::NEWCOMER_WANTED;

use crate::repeat::{GO_ON, STOP, repeat};

/// So many can wait at a time; more are not held.
const MOST: u32 = 1 << 10;

/// No newcomer waits for longer to be decided on, in nanoseconds.
const UNDECIDED: u64 = 5_000_000;

/// Nor for its probes: the first of a file has the kernel wait for a grace period.
const WANTED: u64 = 50_000_000;

/// More looks than there are in that time.
const MOST_LOOKS: u32 = 1 << 22;

/// Newcomers, by id in the initial PID namespace, until user space takes them out; with [`NEWCOMER_WANTED`], or another number
/// as long as that is not decided.
#[map]
static NEWCOMERS: HashMap<u32, u32> = HashMap::with_max_entries(MOST, 0);

/// This process is one.
#[inline(always)]
pub fn announce(pid: u32) {
    // When there are too many it goes on at once.
    let _ = NEWCOMERS.insert(pid, 0, 0);
}

/// A newcomer that waits.
#[repr(C)]
struct Waiting {
    pid: u32,
    since: u64,
}

/// On the dynamic loader's word to debuggers that it has mapped the libraries.
#[uprobe]
pub fn wait(_ctx: ProbeContext) -> u32 {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let mut waiting = Waiting { pid, since: now() };
    if !waiting.is_patient() {
        return 0;
    }
    repeat(MOST_LOOKS, look, &mut waiting);
    // Once is enough.
    let _ = NEWCOMERS.remove(pid);
    0
}

#[inline(never)]
extern "C" fn look(_time: u64, waiting: *mut Waiting) -> i64 {
    // SAFETY: `repeat` hands over a reference that nobody else uses meanwhile.
    let waiting = unsafe { &*waiting };
    if waiting.is_patient() { GO_ON } else { STOP }
}

impl Waiting {
    /// Whether it goes on waiting.
    #[inline(always)]
    fn is_patient(&self) -> bool {
        // SAFETY: the value is copied out at once.
        let patience = match unsafe { NEWCOMERS.get(self.pid) }.copied() {
            None => return false,
            Some(NEWCOMER_WANTED) => WANTED,
            Some(_) => UNDECIDED,
        };
        now() - self.since < patience
    }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper takes nothing and cannot fail.
    unsafe { bpf_ktime_get_ns() }
}
