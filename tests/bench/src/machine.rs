//! The date, the machine and what else it was doing in a line: figures without them say nothing.

use std::{fs, process::Command, thread};

/// When and where, such as `2026-11-21, AMD EPYC, 2 cores, virtual machine, Linux 6.18.44, load 0.10`.
pub fn line() -> String {
    let date = Command::new("date").args(["-u", "+%F"]).output().map(|output| output.stdout).unwrap_or_default();
    let date = String::from_utf8_lossy(&date).trim().to_owned();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let value = processors.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
        value.map_or("", |(_, value)| value.trim())
    };
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let is_guest = field("flags").split(' ').any(|flag| flag == "hypervisor");
    let kind = if is_guest { "virtual machine" } else { "no virtual machine" };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!("{date}, {}, {cores} cores, {kind}, Linux {}, load {load}", field("model name"), kernel.trim())
}
