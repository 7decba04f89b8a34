//! Hardware watchpoints on one word, in every thread of a process.
//!
//! A processor has registers for four. The kernel sets them when a thread runs, and gives a thread's watchpoints to
//! those that it makes; not to processes that it makes, nor to a program that takes its place.

use std::{
    collections::BTreeSet,
    fs, io, mem,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use aya_obj::generated::{
    HW_BREAKPOINT_W, PERF_EVENT_IOC_DISABLE, PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_SET_BPF, PERF_FLAG_FD_CLOEXEC,
    perf_event_attr, perf_type_id::PERF_TYPE_BREAKPOINT,
};

/// Bytes of a word.
const WORD: u64 = 8;

/// How often a process's threads are listed, at most, until there are no new ones.
const LISTINGS: usize = 32;

/// Watchpoints on a word: off until they are enabled, taken out when this is dropped.
pub struct Breakpoints {
    events: Vec<OwnedFd>,
}

impl Breakpoints {
    /// In all threads of a process, each running the program.
    pub fn in_process(pid: u32, address: u64, program: BorrowedFd<'_>) -> io::Result<Self> {
        let mut opened = Self { events: Vec::new() };
        let mut known = BTreeSet::new();
        for _ in 0..LISTINGS {
            let new: Vec<u32> = threads(pid)?.into_iter().filter(|tid| known.insert(*tid)).collect();
            if new.is_empty() {
                break;
            }
            for tid in new {
                match open(tid as i32, address, program) {
                    Ok(event) => opened.events.push(event),
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    // It came while the others were opened, and has theirs already.
                    Err(error) if is_full(&error) && !opened.events.is_empty() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        if opened.events.is_empty() { Err(io::Error::from_raw_os_error(libc::ESRCH)) } else { Ok(opened) }
    }

    /// In the calling thread.
    pub fn in_this_thread(address: u64, program: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { events: vec![open(0, address, program)?] })
    }

    /// Has writes trap.
    pub fn enable(&self) {
        self.tell(PERF_EVENT_IOC_ENABLE);
    }

    /// Has them trap no more.
    pub fn disable(&self) {
        self.tell(PERF_EVENT_IOC_DISABLE);
    }

    fn tell(&self, request: u32) {
        for event in &self.events {
            // It fails only for a thread that is gone.
            // SAFETY: these requests take no argument.
            unsafe { libc::ioctl(event.as_raw_fd(), request.into(), 0) };
        }
    }
}

/// Whether this says that all registers are taken.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EBUSY))
}

fn threads(pid: u32) -> io::Result<Vec<u32>> {
    let listed = fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// A watchpoint in the thread with this id and those that it makes; 0 is the calling one.
fn open(tid: i32, address: u64, program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: all of its fields are numbers, for which 0 is good.
    let mut attr: perf_event_attr = unsafe { mem::zeroed() };
    attr.type_ = PERF_TYPE_BREAKPOINT as u32;
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.bp_type = HW_BREAKPOINT_W;
    attr.__bindgen_anon_1.sample_period = 1;
    attr.__bindgen_anon_3.bp_addr = address;
    attr.__bindgen_anon_4.bp_len = WORD;
    attr.set_disabled(1);
    attr.set_exclude_kernel(1);
    attr.set_exclude_hv(1);
    attr.set_inherit(1);
    attr.set_inherit_thread(1);
    attr.set_remove_on_exec(1);
    let (cpu, group, flags): (i32, i32, libc::c_ulong) = (-1, -1, PERF_FLAG_FD_CLOEXEC.into());
    // SAFETY: the kernel reads `size` bytes of the attribute, which outlives the call.
    let event = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, tid, cpu, group, flags) };
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it, for nobody else.
    let event = unsafe { OwnedFd::from_raw_fd(event as i32) };
    // SAFETY: the request takes a descriptor.
    if unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_BPF.into(), program.as_raw_fd()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(event)
}
