//! What happens to a traced process as a whole. Its exit needs no program: user space holds its pidfd.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid,
    macros::{map, raw_tracepoint},
    maps::HashMap,
    programs::RawTracePointContext,
};
use aya_log_ebpf::info;
use leak_ebpf::{Cookie, Counter, ExecRecord, Kind, MAX_PROCESSES};

use crate::{call::Thread, emit};

/// The process slot of each traced process, by its id in the initial PID namespace.
#[map]
static TRACED: HashMap<u32, u16> = HashMap::with_max_entries(MAX_PROCESSES, 0);

/// A traced process has replaced its program: its memory is gone, and its allocator may be another.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn exec(ctx: RawTracePointContext) -> i32 {
    let pid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the value is copied out at once.
    let process = unsafe { TRACED.get(pid) }.copied();
    let Some(process) = process else { return 0 };
    if let Some(thread) = Thread::current() {
        thread.forget();
    }
    info!(&ctx, "process {} has replaced its program", pid);
    let head = emit::head(Kind::Exec, Cookie { signature: 0, process, stepped: false });
    if emit::exec(ExecRecord { head }).is_none() {
        emit::count(Counter::FreesLost, 1);
    }
    0
}
