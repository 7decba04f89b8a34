//! The children of a process, as `/proc` tells them.

use procfs::process::Process;

/// Pids of a process's children that still run, in the order in which they were made (pids rise).
pub fn of(pid: u32) -> Vec<u32> {
    let tasks = Process::new(pid as i32).and_then(|process| process.tasks());
    let mut children: Vec<u32> =
        tasks.into_iter().flatten().flatten().filter_map(|task| task.children().ok()).flatten().collect();
    children.sort_unstable();
    children
}

/// Whether two processes use the very same memory, as a vfork child does until it execs.
pub fn share_memory(one: u32, other: u32) -> bool {
    /// `KCMP_VM` of `kcmp(2)`.
    const KCMP_VM: libc::c_int = 1;
    // SAFETY: the call takes numbers only and changes nothing.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_VM, 0, 0) == 0 }
}
