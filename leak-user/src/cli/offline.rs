//! The commands on sessions: which part of which file, what of it, in which form, and to where.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use super::{
    Outcome,
    args::{style, top},
};
use crate::{
    diff::{self, Change, StackDiff},
    export, flame, offline, page, plot,
    progress::Progress,
    report::{Condition, Format, Renderer, Verdict},
    session::{Filter, Pattern, Session, View, Weight},
    text::printable,
    units::plural,
};

#[derive(Debug, Subcommand)]
pub enum Offline {
    /// What a session's functions hold
    #[command(after_help = "Example:\n  leaktrace summary server.leak --exclude 'libc*'")]
    Summary(Part),
    /// The stacks of a session, as a trace prints them
    #[command(after_help = "Example:\n  leaktrace table server.leak --from warm -T 5")]
    Table(Part),
    /// What is held, as a tree of calls
    #[command(after_help = "Example:\n  leaktrace tree server.leak --threshold 5")]
    Tree(Tree),
    /// Sizes, ages and lifetimes, and who allocates
    #[command(after_help = "Example:\n  leaktrace stats server.leak")]
    Stats(Part),
    /// A flame graph, as SVG
    #[command(after_help = "Example:\n  leaktrace flamegraph server.leak --weight growth -o growth.svg")]
    Flamegraph(Flamegraph),
    /// One page for a browser with all of it, to look at or to send
    #[command(after_help = "Example:\n  leaktrace html server.leak -o page.html")]
    Html(ToFile),
    /// A plot of each stack, PNG and SVG, and a report, in a folder
    #[command(after_help = "Example:\n  leaktrace plot server.leak -o plots")]
    Plot(Plot),
    /// The form of another tool
    #[command(after_help = "Example:\n  leaktrace export server.leak --format pprof -o server.pb.gz")]
    Export(Export),
    /// The events of a session that was kept with --events
    #[command(after_help = "Example:\n  leaktrace parse server.leak")]
    Parse(Parse),
    /// What got worse, what is new and what was fixed between two sessions, or two snapshots of one
    #[command(
        after_help = "Examples:\n  leaktrace diff monday.leak friday.leak     builds may differ\n  leaktrace diff server.leak:warm server.leak    two snapshots of one session"
    )]
    Diff(Diff),
}

#[derive(Args, Debug)]
pub struct Part {
    /// A session, as -w writes it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Look at what came after this snapshot: its label or its number
    #[arg(long, value_name = "SNAPSHOT")]
    from: Option<String>,
    /// Look at it as it was at this snapshot
    #[arg(long, value_name = "SNAPSHOT")]
    to: Option<String>,
    #[command(flatten)]
    choice: Choice,
    /// Show at most this many
    #[arg(short = 'T', long, value_name = "N", default_value = "20", value_parser = top, allow_negative_numbers = true)]
    top: usize,
    /// End with 1 if this holds: leak, growth=RATE (such as 1M/min) or bytes=SIZE; several with commas
    #[arg(long, value_name = "CONDITION", value_delimiter = ',')]
    fail_on: Vec<Condition>,
}

#[derive(Args, Debug)]
struct Choice {
    /// Only stacks with a function of this module: a part of its name, or a pattern with *; several with commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only_module: Vec<String>,
    /// Only stacks with a function of this source file
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    only_path: Vec<String>,
    /// No stacks with this function, module or source file
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    exclude: Vec<String>,
    /// Only stacks of which nothing was ever given back
    #[arg(long)]
    strict: bool,
}

#[derive(Args, Debug)]
pub struct Tree {
    #[command(flatten)]
    part: Part,
    /// Sum up branches below this share of all, in per cent
    #[arg(long, value_name = "PCT", default_value = "1")]
    threshold: f64,
}

#[derive(Args, Debug)]
pub struct ToFile {
    #[command(flatten)]
    part: Part,
    /// Write it here instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub struct Flamegraph {
    #[command(flatten)]
    to: ToFile,
    /// What makes a function wide: outstanding, growth or allocated bytes
    #[arg(long, value_name = "BYTES", default_value = "outstanding")]
    weight: Weight,
}

#[derive(Args, Debug)]
pub struct Plot {
    #[command(flatten)]
    part: Part,
    /// The folder, made if need be
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Replace the plots that are in it
    #[arg(long)]
    force: bool,
}

#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    to: ToFile,
    /// json, folded, pprof, speedscope, csv or parquet
    #[arg(long, value_name = "FORMAT")]
    format: export::Format,
    /// For folded: outstanding, growth or allocated bytes
    #[arg(long, value_name = "BYTES", default_value = "outstanding")]
    weight: Weight,
}

#[derive(Args, Debug)]
pub struct Parse {
    /// A session that was kept with --events
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args, Debug)]
pub struct Diff {
    /// A session, or a snapshot of it (<FILE:SNAPSHOT>); with one file only, its first and last snapshots are compared
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// The one to compare it with
    #[arg(value_name = "AFTER")]
    after: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    /// Show at most this many
    #[arg(short = 'T', long, value_name = "N", default_value = "20", value_parser = top, allow_negative_numbers = true)]
    top: usize,
    /// table or json
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// End with 1 if something got worse, or is new and grows
    #[arg(long)]
    fail_on_worse: bool,
}

/// Does it.
pub fn run(command: &Offline) -> Outcome {
    match command {
        Offline::Summary(part) => show(part, |view, out| Ok(offline::summary(view, style(), part.top, out)?)),
        Offline::Table(part) => show(part, |view, out| {
            Ok(Renderer { format: Format::Table, style: style() }.write(&view.report(part.top), out)?)
        }),
        Offline::Tree(tree) => {
            let least = tree.threshold;
            ensure!((0.0..=100.0).contains(&least), "--threshold {least} is no share; give per cent, from 0 to 100");
            show(&tree.part, |view, out| Ok(offline::tree(view, style(), tree.part.top, least, out)?))
        }
        Offline::Stats(part) => show(part, |view, out| Ok(offline::stats(view, style(), out)?)),
        Offline::Flamegraph(graph) => write(&graph.to, false, |view, out| {
            let title = format!("{} bytes by stack", graph.weight);
            Ok(flame::svg(view, graph.weight, &title, out)?)
        }),
        Offline::Html(to) => write(to, false, |view, out| Ok(page::html(view, out)?)),
        Offline::Plot(plot) => {
            let view = plot.part.view()?;
            let progress = Progress::begin("drawing", &plot.output);
            let written = plot::write_all(&view, &plot.output, plot.part.top, plot.force)?;
            drop(progress);
            let name = plot.output.to_string_lossy();
            println!("{} in {}", plural(written.len() as u64, "file"), printable(&name));
            Ok(plot.part.condition(&view))
        }
        Offline::Export(export) => {
            let format = match export.format {
                export::Format::Folded(_) => export::Format::Folded(export.weight),
                format => format,
            };
            write(&export.to, format.is_binary(), |view, out| export::write(format, view, out))
        }
        Offline::Parse(parse) => parse_events(&parse.file).map(|()| None),
        Offline::Diff(diff) => compare(diff),
    }
}

impl Part {
    fn view(&self) -> Result<View> {
        let _progress = Progress::begin("reading", &self.file);
        Session::open(&self.file)?.view(self.from.as_deref(), self.to.as_deref(), &self.choice.filter())
    }

    fn condition(&self, view: &View) -> Option<String> {
        let report = view.report(usize::MAX);
        Condition::first_of(&self.fail_on, &report.processes, &report.stacks.iter())
    }
}

impl Choice {
    fn filter(&self) -> Filter {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::from(text.as_str())).collect();
        Filter {
            modules: patterns(&self.only_module),
            paths: patterns(&self.only_path),
            exclude: patterns(&self.exclude),
            strict: self.strict,
        }
    }
}

/// Writes to standard output.
fn show(part: &Part, write: impl FnOnce(&View, &mut dyn Write) -> Result<()>) -> Outcome {
    let view = part.view()?;
    finish(BufWriter::new(io::stdout().lock()), |out| write(&view, out))?;
    Ok(part.condition(&view))
}

/// Writes to a file, or to standard output, if that can bear it.
fn write(to: &ToFile, is_binary: bool, write: impl FnOnce(&View, &mut dyn Write) -> Result<()>) -> Outcome {
    let view = to.part.view()?;
    if let Some(path) = &to.output {
        let name = printable(&path.to_string_lossy()).into_owned();
        let mut options = OpenOptions::new();
        options.write(true).truncate(to.force).create(to.force).create_new(!to.force);
        let file = match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("{name} is there already; give another name, or --force to replace it")
            }
            file => file.with_context(|| format!("{name} cannot be written; give -o a place that can"))?,
        };
        finish(BufWriter::new(file), |out| write(&view, out))?;
    } else {
        ensure!(
            !is_binary || !io::stdout().is_terminal(),
            "this form is nothing for a terminal; give -o FILE, or redirect the output"
        );
        finish(BufWriter::new(io::stdout().lock()), |out| write(&view, out))?;
    }
    Ok(to.part.condition(&view))
}

/// Writes all of it. A reader that went away (`| head`) is no error.
pub(super) fn finish(mut out: impl Write, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let written = write(&mut out).and_then(|()| Ok(out.flush()?));
    match written {
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(())
        }
        written => written.context("it cannot be written; look whether there is room"),
    }
}

/// An event a line: seconds, process, thread, what, address, bytes, stack; then, once, each stack's calls.
fn parse_events(path: &Path) -> Result<()> {
    let session = Session::open(path)?;
    // Who reads no further has had some.
    let mut has_events = true;
    finish(BufWriter::new(io::stdout().lock()), |out| {
        has_events = offline::events(&session, out)?;
        Ok(())
    })?;
    ensure!(has_events, "{} has no events; record with --events to keep them", session.name());
    Ok(())
}

fn compare(arguments: &Diff) -> Outcome {
    let filter = arguments.choice.filter();
    let (before, after) = if let Some(after) = &arguments.after {
        (one_side(&arguments.before, &filter)?, one_side(after, &filter)?)
    } else {
        let session = Session::open(&arguments.before)?;
        let first = session.marks()[0].number.to_string();
        (session.view(None, Some(&first), &filter)?, session.view(None, None, &filter)?)
    };
    let diff = diff::diff(&before, &after)?;
    finish(BufWriter::new(io::stdout().lock()), |out| {
        match arguments.format {
            Format::Json => {
                serde_json::to_writer(&mut *out, &diff)?;
                writeln!(out)?;
            }
            Format::Table => diff.write(style(), arguments.top, out)?,
            Format::Folded => bail!("a comparison has no folded form; give table or json"),
        }
        Ok(())
    })?;
    let is_worse = |stack: &StackDiff| match stack.change {
        Change::Worse => true,
        Change::New => {
            stack.after.as_ref().is_some_and(|after| matches!(after.verdict, Verdict::Leak | Verdict::Growing))
        }
        _ => false,
    };
    let is_held_worse = |held: &&diff::HeldDiff| {
        let grows = held.after.is_some_and(|after| matches!(after.verdict, Verdict::Leak | Verdict::Growing));
        grows && matches!(held.change, Change::Worse | Change::New)
    };
    if !arguments.fail_on_worse {
        return Ok(None);
    }
    if let Some(held) = diff.python.iter().find(is_held_worse) {
        let what = if held.change == Change::New { "has begun to grow" } else { "grows faster" };
        return Ok(Some(format!("--fail-on-worse: {} {what}", printable(&held.path))));
    }
    let has_worsened = diff.stacks.iter().any(is_worse);
    Ok(has_worsened.then(|| format!("--fail-on-worse: {}", diff.summary.trim_end_matches('.'))))
}

/// A session as it was at its end, or at the snapshot behind a colon.
fn one_side(argument: &Path, filter: &Filter) -> Result<View> {
    let _progress = Progress::begin("reading", argument);
    if argument.exists() {
        return Session::open(argument)?.view(None, None, filter);
    }
    let text = argument.to_string_lossy();
    match text.rsplit_once(':').filter(|(file, _)| Path::new(file).exists()) {
        Some((file, snapshot)) => Session::open(Path::new(file))?.view(None, Some(snapshot), filter),
        None => Session::open(argument)?.view(None, None, filter),
    }
}
