//! Which form a report takes, and the one place that knows them all.
//!
//! Promises that a caller can hold a [`Renderer`] and need not know what it was asked for. Leaves out where the text
//! goes, and whether that is a terminal: who opens the output knows its width and whether it shows colour.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

pub use super::table::Style;
use super::{Report, folded, json, table};
use crate::text::printable;

/// The forms a report can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: a header and a table.
    #[default]
    Table,
    /// For programs: one document a line.
    Json,
    /// For flame graphs: one stack a line.
    Folded,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Table, Self::Json, Self::Folded];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Folded => "folded",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let format = Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(text));
        format.ok_or_else(|| format!("\"{}\" is not a format: type table, json or folded", printable(text)))
    }
}

/// Writes reports in one form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Renderer {
    /// The form.
    pub format: Format,
    /// How a table looks; the other forms have no style.
    pub style: Style,
}

impl Renderer {
    /// Writes the report, whole and with a newline at its end, in a single `write_all`. It does not flush.
    pub fn write(&self, report: &Report, out: &mut dyn Write) -> io::Result<()> {
        match self.format {
            Format::Table => table::write(report, self.style, out),
            Format::Json => json::write(report, out),
            Format::Folded => folded::write(report, out),
        }
    }
}

/// Made-up reports that the tests of every form share.
#[cfg(test)]
pub(crate) mod sample {
    use super::super::*;
    use crate::{process::memory_use::Memory, symbolize::FrameKind};

    /// A function of a module with a source line.
    pub fn frame(function: &str, file: &str, line: u32) -> Frame {
        Frame {
            function: Some(function.into()),
            module: Some("redis-server".into()),
            build_id: Some("3b1f".into()),
            offset: 0x1f2c,
            file: (!file.is_empty()).then(|| format!("/build/redis-7.2/{file}")),
            line: (line > 0).then_some(line),
            inlined: false,
            kind: FrameKind::Native,
        }
    }

    /// A stack of the first process.
    pub fn stack(bytes: u64, blocks: u64, rate: f64, verdict: Verdict, frames: Vec<Frame>) -> Stack {
        Stack {
            id: "9f3c2a0011aa22bb".into(),
            pid: 4242,
            outstanding_bytes: bytes,
            outstanding_count: blocks,
            unknown_bytes: 0,
            unknown_count: 0,
            allocated_bytes: bytes * 3,
            allocated_count: blocks * 3,
            errors: None,
            bytes_per_s: rate,
            oldest_s: 7798.2,
            verdict,
            complete: true,
            confidence: 0.97,
            why: why(verdict).into(),
            frames,
            allocations: Vec::new(),
        }
    }

    fn why(verdict: Verdict) -> &'static str {
        match verdict {
            Verdict::Leak => "grew in 20 of 20 intervals, +5.8 MiB/min; nothing older than 30 s was ever freed",
            Verdict::Growing => "grew in 12 of 20 intervals, +108.0 KiB/min; 40 % of its blocks were freed",
            Verdict::Plateau => "has not grown for 25 m 00 s",
            Verdict::Churn => "comes and goes: 99.9 % of its blocks were freed, most at ages under 1 s",
            Verdict::New => "too young to say",
        }
    }

    fn deep() -> Vec<Frame> {
        let mut frames = vec![
            frame("je_malloc", "", 0),
            frame("zmalloc_usable", "src/zmalloc.c", 134),
            frame("_sdsnewlen", "src/sds.c", 111),
        ];
        frames[0].module = Some("libjemalloc.so.2".into());
        frames[1].inlined = true;
        let class = concat!(
            "std::__1::__function::__func<folly::detail::function::FunctionTraits<void (",
            "std::shared_ptr<rocksdb::ColumnFamilyData> const&, rocksdb::ReadOptions)>::Fun, ",
            "std::allocator<char>, void ()>"
        );
        frames.push(frame(
            &format!("{class}::operator()(rocksdb::ReadOptions const&)"),
            "deps/rocks/include/functional.h",
            1774,
        ));
        frames.extend((0..15).map(|n| frame(&format!("luaV_execute_level_{n}"), "deps/lua/src/lvm.c", 380 + n)));
        frames.push(Frame { module: Some("libluajit-5.1.so.2.1.0".into()), offset: 0x1_8f3a, ..Frame::default() });
        frames.push(Frame { offset: 0x7f3a_91c0_2210, ..Frame::default() });
        for (name, line) in [("call", 3519), ("processCommand", 4151), ("main", 7325)] {
            frames.push(frame(name, "src/server.c", line));
        }
        frames.push(frame("__libc_start_main", "", 0));
        frames.push(frame("_start", "", 0));
        frames
    }

    /// A redis server over jemalloc that leaks.
    pub fn redis() -> Report {
        let mut leak = stack(789_682_176, 1_234_567, 101_376.0, Verdict::Leak, deep());
        leak.allocations = vec![
            Allocation { address: 0x7f3a_91c0_2210, bytes: 1 << 20, age_s: 7798.2 },
            Allocation { address: 0x55d0_0120, bytes: 640, age_s: 12.0 },
        ];
        let growing = stack(12_897_485, 402, 1843.0, Verdict::Growing, deep().split_off(22));
        let mut fresh = stack(96, 1, 0.0, Verdict::New, Vec::new());
        fresh.oldest_s = 0.4;
        let stacks = vec![leak, growing, fresh];
        let left = Memory { pid: 4242, system_available_bytes: Some(1 << 30), ..Memory::default() };
        Report {
            schema: SCHEMA.into(),
            time: "2025-11-21T03:12:44Z".into(),
            elapsed_s: 7805.0,
            last: false,
            label: None,
            processes: vec![Process {
                pid: 4242,
                start_time: "2025-11-20T22:00:01Z".into(),
                comm: "redis-server".into(),
                exe: "/usr/local/bin/redis-server".into(),
                cgroup: None,
                rss_bytes: 851_443_712,
                rss_at_attach_bytes: 47_395_635,
                alive: true,
                sample_bytes: 1,
                watched_s: 7805.0,
                watching: Watching::All,
                totals: Totals::default(),
                bytes_per_s: Some(101_376.0),
            }],
            mode: Mode {
                sample_bytes: 1,
                unwind: "dwarf".into(),
                links: "session".into(),
                budget_pct: Some(5.0),
                changes: Vec::new(),
                sorted_by: "size".into(),
            },
            totals: Totals {
                outstanding_bytes: 802_579_757,
                outstanding_count: 1_234_970,
                allocated_bytes: 5_368_709_120,
                allocated_count: 9_876_543,
                freed_bytes: 4_566_129_363,
                freed_count: 8_641_573,
                ..Totals::default()
            },
            loss: Loss { complete: true, ..Loss::default() },
            cost: Cost {
                events_per_s: 12_345.4,
                target_slowdown_pct: Some(8.2),
                target_core_pct: Some(4.1),
                tracer_cpu_pct: 0.42,
                tracer_rss_bytes: 22_331_392,
            },
            walks: Walks { whole: 9_866_667, no_rule: 9_876, ..Walks::default() },
            outlook: Outlook::of(stacks.iter().map(Stack::told), || vec![left]),
            groups: None,
            python: None,
            stacks,
        }
    }

    /// The same server, which the budget allowed to be watched in bursts only.
    pub fn bursts() -> Report {
        let mut report = redis();
        report.mode.sample_bytes = 16 << 10;
        report.mode.changes = vec![Change {
            at_s: 0.31,
            pid: 4242,
            what:
                "every allocation costs 61 % of its CPU time, the probes alone too much: bursts with one sample every \
                   16 KiB"
                    .to_owned(),
        }];
        report.mode.sorted_by = "growth".into();
        report.processes[0].sample_bytes = 16 << 10;
        report.processes[0].watched_s = 512.0;
        report.processes[0].watching = Watching::Nothing;
        report.totals.unknown_bytes = 700_000_000;
        report.totals.unknown_count = 1_100_000;
        report.totals.errors = Some(TotalErrors {
            sums: SumErrors { outstanding_bytes_stderr: 3e6, ..SumErrors::default() },
            ..TotalErrors::default()
        });
        report.stacks[0].unknown_bytes = 690_000_000;
        report.stacks[0].unknown_count = 1_000_000;
        report.stacks[0].errors =
            Some(SumErrors { outstanding_bytes_stderr: 2.5e6, unknown_bytes_stderr: 8e6, ..SumErrors::default() });
        report
    }

    /// A target that chose every name it could to take over a terminal.
    pub fn hostile() -> Report {
        let evil = "\x1b]0;x\x07\r\n\u{9b}2J\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}";
        let mut report = redis();
        report.processes[0].comm = evil.into();
        report.processes[0].exe = evil.repeat(1000);
        report.label = Some(evil.into());
        let mut named = frame(evil, evil, 1);
        named.module = Some(evil.into());
        let unnamed = Frame { function: None, ..named.clone() };
        let unlined = Frame { file: None, line: None, ..named.clone() };
        report.stacks = vec![stack(4096, 1, 0.0, Verdict::Churn, vec![named, unnamed, unlined])];
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut out = Vec::new();
        let renderer = Renderer { format, ..Renderer::default() };
        renderer.write(&sample::redis(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_is_written_by_its_own_renderer() {
        assert!(written(Format::Table).contains("OUTSTANDING"));
        assert!(written(Format::Json).starts_with("{\"schema\""));
        assert!(written(Format::Folded).starts_with("redis-server;"));
    }

    #[test]
    fn a_format_is_known_by_its_name() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("JSON".parse(), Ok(Format::Json));
        assert_eq!("x\x1b".parse::<Format>(), Err("\"x\\x1b\" is not a format: type table, json or folded".to_owned()));
    }
}
