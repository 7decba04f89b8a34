//! Folded stacks, as `flamegraph.pl` and `inferno-flamegraph` read them: `comm;outermost;…;innermost BYTES`.
//!
//! Promises one line a stack with bytes that were not seen to be given back, and that no name can end a line, add a frame or pass for the
//! figure. Leaves out everything else: no header, no loss, no rates, and not the pid, so that workers of one name fall
//! together in the graph. An estimate has no place for its error here.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::{Frame, Process, Report};
use crate::text::printable;

/// Stands for the frames of a stack that has none.
pub(crate) const NO_FRAMES: &str = "[no frames]";

/// Writes a line for each stack of the report that holds bytes.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let stacks = report.stacks.iter().map(|stack| (stack.pid, stack.frames.as_slice(), stack.held_bytes()));
    write_weighed(&report.processes, stacks, out)
}

/// Writes a line for each of these stacks of a process that has a weight: pid, frames from the allocator's caller
/// outwards, weight.
pub(crate) fn write_weighed<'s>(
    processes: &[Process],
    stacks: impl Iterator<Item = (u32, &'s [Frame], u64)>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut lines = String::new();
    for (pid, frames, weight) in stacks.filter(|(_, _, weight)| *weight > 0) {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{};{} {weight}", root(processes, pid), elements(frames).join(";"));
    }
    out.write_all(lines.as_bytes())
}

/// The frames as a line has them, outermost first; never none. None has a `;` in it.
pub(crate) fn elements(frames: &[Frame]) -> Vec<String> {
    if frames.is_empty() {
        return vec![NO_FRAMES.to_owned()];
    }
    frames.iter().rev().map(name).collect()
}

/// The first element of a line: the process by its name, or by its pid where that is not known.
fn root(processes: &[Process], pid: u32) -> String {
    let process = processes.iter().find(|p| p.pid == pid);
    match process.map(|p| element(&p.comm)) {
        Some(comm) if !comm.is_empty() => comm,
        _ => format!("pid-{pid}"),
    }
}

fn name(frame: &Frame) -> String {
    match frame.function.as_deref().map(element) {
        Some(function) if !function.is_empty() => function,
        _ => element(&frame.place()),
    }
}

/// A name that can only be read as one element of a line.
fn element(name: &str) -> String {
    let name = printable(name).trim_matches(' ').replace(';', ":");
    match name.rsplit_once(' ') {
        // Two numbers at the end of a line are read as the two sides of a differential graph.
        Some((head, number)) if number.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{head}_{number}")
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::render::sample;
    use super::*;

    fn lines(report: &Report) -> Vec<String> {
        let mut out = Vec::new();
        write(report, &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_runs_from_the_process_over_its_outermost_to_its_innermost_function() {
        let lines = lines(&sample::redis());
        assert!(lines[0].starts_with("redis-server;_start;__libc_start_main;main;"));
        assert!(lines[0].ends_with(";zmalloc_usable;je_malloc 789682176"), "{}", lines[0]);
    }

    #[test]
    fn a_stack_with_nothing_outstanding_has_no_line() {
        let mut report = sample::redis();
        let before = lines(&report).len();
        report.stacks[0].outstanding_bytes = 0;
        assert_eq!(lines(&report).len(), before - 1);
        report.stacks.clear();
        assert!(lines(&report).is_empty());
    }

    #[test]
    fn a_frame_without_function_is_named_by_its_place() {
        let mut report = sample::redis();
        report.stacks.truncate(1);
        report.stacks[0].frames = vec![
            Frame { offset: 0x7f12, ..Frame::default() },
            Frame { module: Some("libx.so".into()), offset: 0x1f, ..Frame::default() },
        ];
        assert_eq!(lines(&report), ["redis-server;libx.so+0x1f;0x7f12 789682176"]);
    }

    #[test]
    fn a_stack_without_frames_and_a_process_without_name_still_have_a_line() {
        let mut report = sample::redis();
        report.stacks.truncate(1);
        report.stacks[0].frames.clear();
        report.processes.clear();
        assert_eq!(lines(&report), ["pid-4242;[no frames] 789682176"]);
    }

    #[test]
    fn a_hostile_name_adds_no_line_no_frame_and_no_figure() {
        let mut report = sample::hostile();
        report.stacks.truncate(1);
        let function = |name: &str| Frame { function: Some(name.into()), ..Frame::default() };
        report.stacks[0].frames =
            vec![function("f 12"), function("a;b\nc 1\u{9b}\u{2028}"), function(" "), function("x 1.5 ")];
        report.processes[0].comm = "evil;\r\n".into();
        assert_eq!(lines(&report), ["evil:\\x0d\\x0a;x_1.5;0x0;a:b\\x0ac_1\\x9b\\u{2028};f_12 4096"]);
    }
}
