//! The command line: options, their units and their help.

use std::{error::Error, ffi::OsString, fmt, io::IsTerminal, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand,
    error::{ContextKind, ErrorKind},
};

use leak_ebpf::{MAX_PERIOD, Walk};
use wildmatch::WildMatch;

use super::{
    doctor::Doctor, history::History, offline::Offline, push::PushArgs, python_types::PythonTypes,
    sample::Sample as SampleArgs, watch::Watch,
};
use crate::{
    ledger::Sizes,
    metrics::{Address, Server, TraceBoard},
    notice::Notices,
    probe::load::LinkKind,
    report::{By, Condition, Format, Renderer, Style},
    text::printable,
    trace::{Group, Keep, Lookup, Plan, Sample, Selection, SortBy, Variable, Wanted, label},
    units::{parse_duration, parse_older, parse_size},
};

const EXAMPLES: &str = "\
Examples:
  sudo leaktrace -p 1234                  a report every 5 seconds, a last one at Ctrl-C
  sudo leaktrace -p 1234 10 6             every 10 seconds, 6 reports
  sudo leaktrace -p 1234 -o 30s           only what has been held for 30 seconds
  sudo leaktrace -p 1234 -d 60 --format json > report.json
  sudo leaktrace -p 1234 -s 512K          sample, a block every 512 KiB on average
  sudo leaktrace -p 1234 -s exact         every allocation, whatever it costs
  sudo leaktrace -p 1234 -w server.leak   also keep a session; `leaktrace html server.leak > page.html` shows it
  sudo leaktrace --comm 'nginx*'          all processes of that name, and those to come
  sudo leaktrace -p 1234 --metrics 9911   also figures for Prometheus, at http://127.0.0.1:9911/metrics
  sudo leaktrace run -- ./server --port 8080
  sudo leaktrace run --fail-on leak -- ./test-suite
  sudo leaktrace doctor

Exit codes: 0 done; 1 a --fail-on condition holds; 2 a usage error, or nothing could be traced.";

/// Finds memory leaks in programs that are already running.
///
/// Attaches to a process without stopping it, follows its allocations, and reports the call stacks that hold the
/// most memory that was not given back.
#[derive(Debug, Parser)]
#[command(
    name = "leaktrace",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_precedence_over_arg = true,
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub attach: Attach,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Launch a program and trace it from its first allocation
    #[command(after_help = "Example:\n  sudo leaktrace run 10 -- ./server --port 8080")]
    Run(Box<Run>),
    #[command(flatten)]
    Offline(Offline),
    /// Make a labelled snapshot in a trace that is running
    #[command(after_help = "Example:\n  sudo leaktrace mark 'after the deploy' -p 1234")]
    Mark(Mark),
    /// Watch all processes for almost nothing, and look closer at those that grow
    #[command(after_help = "Example:\n  sudo leaktrace watch --deny 'postgres*'")]
    Watch(Box<Watch>),
    /// Send sessions to Pyroscope or Parca as profiles; what cannot be sent waits, and goes first the next time
    #[command(after_help = "\
Examples:
  leaktrace push --to http://pyroscope:4040 --label env=prod server.leak
  leaktrace push --to https://parca.example --kind parca --token-file /etc/leaktrace/token server.leak
  leaktrace push --to http://pyroscope:4040       only what waits in the spool")]
    Push(Box<PushArgs>),
    /// Look once at a systemd unit or a program, and keep the session: for a timer
    #[command(
        after_help = "Examples:\n  sudo leaktrace sample nginx.service\n  sudo leaktrace sample --for 5m --fail-on leak redis-server"
    )]
    Sample(SampleArgs),
    /// Say what is new, got worse or was fixed over the days, by the sessions that are kept
    #[command(after_help = "Examples:\n  sudo leaktrace history\n  sudo leaktrace history --since 7d nginx.service")]
    History(History),
    /// Count the objects of a running Python by their types, without stopping it
    #[command(
        after_help = "Examples:\n  sudo leaktrace python-types 1234\n  sudo leaktrace python-types 1234 --interval 30s"
    )]
    PythonTypes(PythonTypes),
    /// Say what this kernel, this user and this place can do, and what to change
    #[command(after_help = "Examples:\n  sudo leaktrace doctor\n  sudo leaktrace doctor -p 1234")]
    Doctor(Doctor),
}

#[derive(Args, Debug)]
pub struct Mark {
    /// What it is to be called
    #[arg(value_name = "LABEL", value_parser = label)]
    pub label: String,
    /// In the trace of this process
    #[arg(short, long, value_name = "PID", value_parser = pid, allow_negative_numbers = true)]
    pub pid: Option<u32>,
}

#[derive(Args, Debug)]
pub struct Attach {
    /// Trace this process; may be given several times
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',', value_parser = pid, allow_negative_numbers = true)]
    pub pids: Vec<u32>,
    /// Launch this command line and trace it from its first allocation
    #[arg(short, long = "command", value_name = "COMMAND", conflicts_with = "pids")]
    pub command_line: Option<String>,
    #[command(flatten)]
    pub wanted: WantedArgs,
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// Which processes to trace without naming each.
#[derive(Args, Debug)]
#[group(multiple = true, conflicts_with_all = ["pids", "command_line"])]
pub struct WantedArgs {
    /// Trace all processes, and those to come
    #[arg(long, conflicts_with_all = ["cgroup", "comm", "env"])]
    all: bool,
    /// Trace the processes of a control group (its path) or of a container or pod (the beginning of its id)
    #[arg(long, value_name = "PATH", value_parser = |text: &str| Group::parse(text).map_err(|error| error.to_string()))]
    cgroup: Option<Group>,
    /// Trace the processes of this name (* and ? stand for any letters)
    #[arg(long, value_name = "NAME")]
    comm: Option<String>,
    /// Trace the processes that have this variable in their environment
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = |text: &str| Variable::parse(text).map_err(|error| error.to_string()))]
    env: Option<Variable>,
}

impl WantedArgs {
    /// What is asked for, if anything is.
    pub fn wanted(&self) -> Option<Wanted> {
        let wanted = Wanted {
            comm: self.comm.as_deref().map(WildMatch::new),
            cgroup: self.cgroup.clone(),
            env: self.env.clone(),
        };
        (self.all || !wanted.is_all()).then_some(wanted)
    }
}

#[derive(Args, Debug)]
pub struct Run {
    #[command(flatten)]
    pub trace: TraceArgs,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch that a person types")]
pub struct TraceArgs {
    /// Time between reports: seconds, or with a unit (500ms, 30s, 5m)
    #[arg(value_name = "INTERVAL", default_value = "5", value_parser = interval, allow_negative_numbers = true)]
    interval: Duration,
    /// Stop after this many reports
    #[arg(value_name = "COUNT", value_parser = count, allow_negative_numbers = true)]
    count: Option<u64>,
    /// Stop after this long
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    duration: Option<Duration>,
    /// Report only blocks at least this old; a bare number is milliseconds
    #[arg(short, long, value_name = "AGE", default_value = "0", hide_default_value = true, value_parser = parse_older, allow_negative_numbers = true)]
    older: Duration,
    /// Report at most this many stacks
    #[arg(short = 'T', long, value_name = "N", default_value = "10", value_parser = top, allow_negative_numbers = true)]
    top: usize,
    /// Trace only allocations of at least this many bytes (K, M, G are 1024-based)
    #[arg(short = 'z', long, value_name = "SIZE", value_parser = parse_size, allow_negative_numbers = true)]
    min_size: Option<u64>,
    /// Trace only allocations of at most this many bytes
    #[arg(short = 'Z', long, value_name = "SIZE", value_parser = parse_size, allow_negative_numbers = true)]
    max_size: Option<u64>,
    /// Order of the stacks [default: size, or growth where the budget left gaps]
    #[arg(long, value_enum, value_name = "KEY")]
    sort: Option<SortBy>,
    /// Sum up the processes by what they have in common
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<By>,
    /// List the largest outstanding blocks of each stack
    #[arg(short = 'a', long)]
    show_allocs: bool,
    /// Look for the allocator in this object only
    #[arg(short = 'O', long = "obj", value_name = "PATH")]
    object: Option<PathBuf>,
    /// Prefix of the allocator's functions, as in `je_malloc`
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    symbols_prefix: String,
    /// Report only stacks of which nothing was ever given back
    #[arg(long)]
    strict: bool,
    /// End with 1 if this holds at the end: leak, growth=RATE (such as 1M/min) or bytes=SIZE; several with commas
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    fail_on: Vec<Condition>,
    /// Keep a session in this file: snapshots, to be looked at and compared later
    #[arg(short, long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Replace the session's file if it is there
    #[arg(long, requires = "write")]
    force: bool,
    /// Time between snapshots of the session [default: 30s, and less in the first minutes]
    #[arg(long, value_name = "TIME", value_parser = snapshot_interval, allow_negative_numbers = true)]
    snapshot_interval: Option<Duration>,
    /// Keep every allocation and free in the session, too
    #[arg(long, requires = "write")]
    events: bool,
    /// Serve figures for Prometheus over HTTP, at /metrics of this port of the loopback address, or of HOST:PORT
    #[arg(long, value_name = "ADDR")]
    metrics: Option<Address>,
    /// Trace processes that the traced ones make, too, from shortly after they are made
    #[arg(long)]
    follow_fork: bool,
    /// Mean bytes between samples, or exact for every allocation [default: every allocation as long as the budget allows,
    /// for a launched program to its end]
    #[arg(short, long, value_name = "BYTES", value_parser = sample, allow_negative_numbers = true)]
    sample: Option<Sample>,
    /// Share of the target's CPU time that tracing may take, in per cent, or off [default: 5, for a launched program off]
    #[arg(long, value_name = "PCT", value_parser = budget, allow_negative_numbers = true)]
    budget: Option<Budget>,
    /// By what probes are placed: session, multi or perf; the best that the kernel has if left out
    #[arg(long, value_name = "KIND", value_parser = links, hide = true)]
    links: Option<LinkKind>,
    /// How stacks are walked: dwarf by unwind information, fp by frame pointers, auto by either as there is
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    unwind: Unwind,
    /// What is printed: table, json (one document a line) or folded (for flame graphs)
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Size of the buffer between kernel and leaktrace; a larger one bears longer bursts
    #[arg(long, value_name = "SIZE", default_value = "8M", value_parser = ring_size, allow_negative_numbers = true)]
    ring_size: u32,
    /// Say nothing beside the reports but errors
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Say what was found and done
    #[arg(short, long)]
    verbose: bool,
}

/// How stacks are walked, as a person says it.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Unwind {
    #[default]
    Auto,
    Dwarf,
    Fp,
}

impl From<Unwind> for Walk {
    fn from(unwind: Unwind) -> Self {
        match unwind {
            Unwind::Auto => Self::Auto,
            Unwind::Dwarf => Self::Rules,
            Unwind::Fp => Self::Pointers,
        }
    }
}

/// Where a traced program comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was running.
    Running,
    /// leaktrace launched it.
    Launched,
}

/// The share of the target's CPU time that tracing may take, if there is a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget(Option<f64>);

impl Budget {
    const DEFAULT: Self = Self(Some(0.05));
}

/// As it is typed.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(share) => write!(f, "{}", share * 100.0),
            None => write!(f, "off"),
        }
    }
}

/// Blocks that `-a` lists of each stack.
const LISTED_ALLOCATIONS: usize = 10;

impl TraceArgs {
    /// What to trace and what to show.
    pub fn plan(&self, origin: Origin) -> anyhow::Result<Plan> {
        let sizes = Sizes { min: self.min_size.unwrap_or(0), max: self.max_size.unwrap_or(u64::MAX) };
        anyhow::ensure!(
            sizes.min <= sizes.max,
            "-z is larger than -Z, so that no allocation fits; give -z less than -Z"
        );
        // Nobody waits for a program that was launched to be traced, and it is to be traced whole.
        let (sample, budget) = match origin {
            Origin::Running => (Sample::Auto, Budget::DEFAULT),
            Origin::Launched => (Sample::Exact, Budget(None)),
        };
        Ok(Plan {
            interval: self.interval,
            count: self.count,
            duration: self.duration,
            ring_bytes: self.ring_size,
            walk: self.unwind.into(),
            sample: self.sample.unwrap_or(sample),
            budget: self.budget.unwrap_or(budget).0,
            links: self.links,
            sizes,
            lookup: Lookup { object: self.object.clone(), prefix: self.symbols_prefix.clone() },
            wanted: None,
            follow_fork: self.follow_fork,
            // Of a program that is launched, and of those to come, it is not known yet.
            python: true,
            selection: Selection {
                top: self.top,
                sort: self.sort,
                older: self.older,
                allocations: if self.show_allocs { LISTED_ALLOCATIONS } else { 0 },
                strict: self.strict,
                by: self.by,
            },
            keep: self.write.clone().map(|path| Keep {
                path,
                force: self.force,
                interval: self.snapshot_interval,
                events: self.events,
            }),
            fail_on: self.fail_on.clone(),
        })
    }

    /// How much is said beside the reports.
    pub fn notices(&self) -> Notices {
        match (self.quiet, self.verbose) {
            (true, _) => Notices::Quiet,
            (false, true) => Notices::Verbose,
            (false, false) => Notices::Normal,
        }
    }

    /// The page of figures, if there is to be one, with the board that it shows.
    pub fn metrics(&self) -> anyhow::Result<Option<(Server, TraceBoard)>> {
        let Some(address) = self.metrics else { return Ok(None) };
        let board = TraceBoard::new();
        Ok(Some((Server::start(address, board.source(), self.notices())?, board)))
    }

    /// How reports are written to standard output.
    pub fn renderer(&self) -> Renderer {
        Renderer { format: self.format, style: style() }
    }
}

/// How wide a table on standard output may be, and whether it has colours.
pub fn style() -> Style {
    let out = std::io::stdout();
    let terminal = out.is_terminal();
    let width = if terminal { rustix::termios::tcgetwinsize(&out).map_or(0, |size| size.ws_col) } else { 0 };
    // A pipe has no width: lines are then as long as names need, within reason.
    let width = if width == 0 { PIPE_WIDTH } else { width };
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Style { width, colour }
}

/// Columns of a table that goes to no terminal.
const PIPE_WIDTH: u16 = 160;

/// clap's message as one line: what is wrong and what to type.
pub fn one_sentence(error: &clap::Error) -> String {
    let argument = error.get(ContextKind::InvalidArg);
    if let (ErrorKind::ValueValidation, Some(inner), Some(argument)) = (error.kind(), error.source(), argument) {
        return format!("{}: {inner}", argument.to_string().trim_matches(['[', ']']));
    }
    let text = error.to_string();
    let what = text.strip_prefix("error: ").unwrap_or(&text);
    let what: Vec<&str> = what.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    format!("{}; `leaktrace --help` lists the options", what.join(" ").trim_end_matches('.'))
}

fn interval(text: &str) -> Result<Duration, String> {
    if text == "run" {
        return Err("`run` comes before its options: leaktrace run OPTIONS -- CMD".to_owned());
    }
    parse_duration(text)
}

fn snapshot_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < Duration::from_millis(100) {
        return Err(format!("\"{}\" is too short a time between snapshots; give 100ms or more", printable(text)));
    }
    Ok(interval)
}

pub fn pid(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err(format!("\"{}\" is not a process id; `pgrep -a NAME` lists the PIDs of a program", printable(text))),
    }
}

fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("\"{}\" is not a number of reports; give 1 or more", printable(text))),
    }
}

pub fn top(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("\"{}\" is not a number of stacks; give 1 or more", printable(text))),
    }
}

fn sample(text: &str) -> Result<Sample, String> {
    if text == "exact" {
        return Ok(Sample::Exact);
    }
    match parse_size(text) {
        Ok(1) => Ok(Sample::Exact),
        Ok(period @ 2..=MAX_PERIOD) => Ok(Sample::Every(period)),
        _ => Err(format!(
            "\"{}\" is not a number of bytes between samples; give exact, or a size such as 512K",
            printable(text)
        )),
    }
}

pub fn budget(text: &str) -> Result<Budget, String> {
    if text == "off" {
        return Ok(Budget(None));
    }
    match text.trim_end_matches('%').parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Budget(Some(percent / 100.0))),
        _ => Err(format!(
            "\"{}\" is not a share of CPU time; give per cent, such as 5, or off for no limit",
            printable(text)
        )),
    }
}

fn links(text: &str) -> Result<LinkKind, String> {
    let kind = LinkKind::ALL.into_iter().find(|kind| kind.id() == text);
    kind.ok_or_else(|| format!("\"{}\" is no kind of link; give session, multi or perf", printable(text)))
}

fn ring_size(text: &str) -> Result<u32, String> {
    let size = parse_size(text)?;
    match u32::try_from(size) {
        Ok(size) if size.is_power_of_two() && (1 << 12..=1 << 30).contains(&size) => Ok(size),
        _ => Err(format!("\"{}\" is not a power of two from 4K to 1G; give one, such as 8M", printable(text))),
    }
}
