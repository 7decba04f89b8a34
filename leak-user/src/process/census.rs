//! Which programs run, and how much memory each has for itself: `/proc` at one moment.
//!
//! Made to cost little: two small files of each process, read into the same buffer every time. What is counted is memory of
//! no file, resident or swapped out: what a leak makes grow, and a file that is read does not. To ask for proportional shares
//! would have the kernel walk each process's memory. A process that goes while it is looked at is left out.

use std::{
    fs::{self, File},
    io::{self, Read as _},
};

use super::who::Who;

/// `PF_KTHREAD` of `/proc/PID/stat`'s flags.
const PF_KTHREAD: u64 = 0x0020_0000;

/// Neither file is ever longer, but for a name that somebody made up.
const LONGEST: usize = 16 << 10;

/// Looks at all processes.
#[derive(Debug, Default)]
pub struct Census {
    buffer: Vec<u8>,
}

impl Census {
    /// Tells of each process but the kernel's own and this one: who it is, and the bytes that it has for itself.
    pub fn take(&mut self, mut tell: impl FnMut(Who, u64)) -> io::Result<()> {
        let own = std::process::id();
        for entry in fs::read_dir("/proc")? {
            let Ok(entry) = entry else { continue };
            let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let Some(pid) = pid.filter(|pid| *pid != own) else { continue };
            let Some(who) = self.read(pid, "stat").and_then(|stat| identify(pid, stat)) else { continue };
            if let Some(bytes) = self.read(pid, "status").and_then(own_bytes) {
                tell(who, bytes);
            }
        }
        Ok(())
    }

    fn read(&mut self, pid: u32, file: &str) -> Option<&[u8]> {
        self.buffer.clear();
        let file = File::open(format!("/proc/{pid}/{file}")).ok()?;
        file.take(LONGEST as u64).read_to_end(&mut self.buffer).ok()?;
        Some(&self.buffer)
    }
}

/// Who it is, from `/proc/PID/stat`. None of one of the kernel's threads.
fn identify(pid: u32, stat: &[u8]) -> Option<Who> {
    // Before it is the name, in brackets, which may hold brackets.
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    // Fields 3 (state), 9 (flags) and 22 (start) of proc(5).
    let mut fields = rest.split_ascii_whitespace();
    let flags: u64 = fields.nth(6)?.parse().ok()?;
    let start_ticks = fields.nth(12)?.parse().ok()?;
    (flags & PF_KTHREAD == 0).then_some(Who { pid, start_ticks })
}

/// Bytes of memory of no file, from `/proc/PID/status`. None of one that has no memory any more.
fn own_bytes(status: &[u8]) -> Option<u64> {
    let kib = |field: &[u8]| {
        let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(field))?;
        std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kib(b"RssAnon:")? + kib(b"VmSwap:").unwrap_or(0)) << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_hides_no_field() {
        let stat = b"42 (a) S 1 (b) R 1 42 42 0 -1 4194304 88 0 0 0 1 2 0 0 20 0 1 0 777 4096 12\n";
        assert_eq!(identify(42, stat), Some(Who { pid: 42, start_ticks: 777 }));
    }

    #[test]
    fn the_kernels_threads_are_no_processes() {
        let stat = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n";
        assert_eq!(identify(2, stat), None);
        assert_eq!(own_bytes(b"Name:\tkthreadd\nVmSwap:\t1 kB\n"), None);
    }

    #[test]
    fn what_is_swapped_out_counts_too() {
        assert_eq!(
            own_bytes(b"Name:\tx\nRssAnon:\t     100 kB\nRssFile:\t 900 kB\nVmSwap:\t      28 kB\n"),
            Some(128 << 10)
        );
    }

    #[test]
    fn whatever_is_in_the_files_does_no_harm() {
        for text in [
            &b""[..],
            b")(",
            b"1 (",
            b"1 (x) S",
            b"1 (x) S a b c d e f g",
            b"RssAnon:",
            b"RssAnon: -1 kB",
            b"\xff(\xfe)\xfd",
        ] {
            assert_eq!(identify(1, text), None);
            assert_eq!(own_bytes(text), None);
        }
    }

    #[test]
    fn a_process_that_is_there_is_seen_and_this_one_is_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut seen = Vec::new();
        Census::default().take(|who, bytes| seen.push((who.pid, bytes))).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen.iter().any(|(pid, bytes)| *pid == child.id() && *bytes > 0));
        assert!(seen.iter().all(|(pid, ..)| *pid != std::process::id()));
    }
}
