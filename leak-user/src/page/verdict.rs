//! What a view amounts to, in one plain sentence, and what to do next.
//!
//! Promises a sentence for every view, also an empty one, in which names are safe to show.

use std::fmt::Write as _;

use super::names;
use crate::{
    growth::{MIN_MOMENTS, SHORTEST_LEAK_S, Severity, Verdict},
    report::{
        Outlook,
        python::{Holder, words},
    },
    session::{StackView, View},
    text::{printable, shorten_middle},
    units::{bytes, percent, plural, rate, seconds},
};

/// Functions of a stack that the sentence names, and columns of each.
const NAMED: usize = 3;
const COLUMNS: usize = 60;

/// Bytes of RSS that may grow beside what is held before it is worth a word.
const UNEXPLAINED: u64 = 16 << 20;

/// What stands above all else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// How bad it is.
    pub severity: Severity,
    /// Whether any stack is old enough for that to be known.
    pub judged: bool,
    /// What was found, in one sentence without its full stop.
    pub sentence: String,
    /// What to do next, a sentence each, the most urgent first.
    pub next: Vec<String>,
}

/// What to say of a view.
pub fn headline(view: &View) -> Headline {
    let worst = worst(view);
    let judged = worst_held(view).is_some() || view.stacks.iter().any(|stack| stack.judgement.verdict != Verdict::New);
    let outlook = view.outlook();
    Headline {
        severity: outlook.severity,
        judged,
        sentence: sentence(view, &worst, &outlook),
        next: next(view, &worst),
    }
}

/// The stacks that leak, or if none does those that grow: the fastest first.
fn worst(view: &View) -> Vec<&StackView> {
    let of = |verdict| view.stacks.iter().filter(move |stack| stack.judgement.verdict == verdict);
    let mut worst: Vec<&StackView> = of(Verdict::Leak).collect();
    if worst.is_empty() {
        worst = of(Verdict::Growing).collect();
    }
    worst.sort_by(|a, b| b.judgement.bytes_per_s.total_cmp(&a.judgement.bytes_per_s));
    worst
}

fn sentence(view: &View, worst: &[&StackView], outlook: &Outlook) -> String {
    if let Some(holder) = worst_held(view) {
        return held(view, holder, outlook);
    }
    let Some(first) = worst.first() else {
        return calm(view);
    };
    let verb = match (first.judgement.verdict, worst.len()) {
        (Verdict::Leak, 1) => "leaks",
        (Verdict::Leak, _) => "leak",
        (_, 1) => "grows by",
        _ => "grow by",
    };
    let fast = |bytes_per_s: f64| rate(bytes_per_s).trim_start_matches('+').to_owned();
    let all: f64 = worst.iter().map(|stack| stack.judgement.bytes_per_s).sum();
    let mut text = format!("{} {verb} {} in {}", plural(worst.len() as u64, "stack"), fast(all), whose(view, worst));
    if worst.len() > 1 {
        let _ = write!(text, ", the fastest by {}", fast(first.judgement.bytes_per_s));
    }
    let sure = percent(first.judgement.confidence * 100.0);
    let _ = write!(text, ": {}; {sure} sure", chain(first));
    if let Some(end) = outlook.end() {
        let _ = write!(text, "; {end}");
    }
    text
}

/// The container that leaks or, where no stack does, that grows the most.
fn worst_held(view: &View) -> Option<&Holder> {
    let python = view.last().report.python.as_ref()?;
    let of = |verdict| python.holders.iter().find(|holder| holder.verdict == verdict);
    let no_stack_leaks = view.stacks.iter().all(|stack| stack.judgement.verdict != Verdict::Leak);
    of(Verdict::Leak).or_else(|| of(Verdict::Growing).filter(|_| no_stack_leaks))
}

fn held(view: &View, holder: &Holder, outlook: &Outlook) -> String {
    let verb = if holder.verdict == Verdict::Leak { "Leak" } else { "Growth" };
    let sure = percent(holder.confidence * 100.0);
    let mut text = format!("{verb} in {}: {}; {sure} sure", process(view, holder.pid), words::holder(holder));
    match outlook.python_leaking + outlook.python_growing {
        0 | 1 => {}
        more => {
            let _ = write!(text, "; {} in all grow", plural(more, "Python container"));
        }
    }
    text
}

/// What to say where nothing leaks or grows.
fn calm(view: &View) -> String {
    let of = plural(view.stacks.len() as u64, "stack");
    let span = seconds(view.seconds());
    if view.stacks.is_empty() {
        return format!("No stacks to judge: in {span} nothing was held that the filters leave");
    }
    if view.stacks.iter().all(|stack| stack.judgement.verdict == Verdict::New) {
        return format!("Too early to say: in {span} of {of} none is old enough to be judged");
    }
    format!("Nothing leaks: in {span} of {of} none kept growing")
}

fn whose(view: &View, stacks: &[&StackView]) -> String {
    let mut pids: Vec<u32> = stacks.iter().map(|stack| stack.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    match pids.as_slice() {
        [pid] => process(view, *pid),
        pids => format!("{} processes", pids.len()),
    }
}

/// A process by its name, or by its pid where that is not known.
pub fn process(view: &View, pid: u32) -> String {
    let process = view.last().report.processes.iter().find(|process| process.pid == pid);
    match process.map(|process| printable(&process.comm)) {
        Some(comm) if !comm.is_empty() => comm.into_owned(),
        _ => format!("pid {pid}"),
    }
}

/// The innermost functions of a stack.
fn chain(stack: &StackView) -> String {
    let named = stack.frames.iter().take(NAMED);
    let mut chain: Vec<String> =
        named.map(|frame| shorten_middle(&names::function(frame), COLUMNS).into_owned()).collect();
    match stack.frames.len() {
        0 => chain.push("a stack without frames".to_owned()),
        1..=NAMED => {}
        _ => chain.push("…".to_owned()),
    }
    chain.join(" ← ")
}

fn next(view: &View, worst: &[&StackView]) -> Vec<String> {
    let report = &view.last().report;
    let mut next = Vec::new();
    next.extend(worst_held(view).and_then(look_at_holder));
    if let Some(stack) = worst.first() {
        next.push(look(stack));
        next.extend(symbols(stack));
    }
    let young = view.stacks.iter().filter(|stack| stack.judgement.verdict == Verdict::New).count();
    let is_short = view.snapshots_recorded < MIN_MOMENTS || view.seconds() < SHORTEST_LEAK_S;
    if is_short || (young > 0 && young == view.stacks.len()) {
        next.push(format!(
            "Trace for longer: a verdict needs {MIN_MOMENTS} snapshots at least, and a leak is not told from what fills up in \
             less than {}.",
            seconds(SHORTEST_LEAK_S)
        ));
    }
    if view.snapshots.len() > 1 && (!worst.is_empty() || unexplained(view).is_some()) {
        let between = match view.snapshots.iter().filter(|snapshot| snapshot.report.label.is_some()).count() {
            0 => "from before and after the work that you suspect",
            _ => "by their labels",
        };
        next.push(format!("Compare two snapshots, {between}, to see what grew in between."));
    }
    next.extend(unexplained(view));
    if !report.loss.complete {
        next.push(
            "Something was lost while tracing: mind what “lost” says below before trusting small figures.".into(),
        );
    }
    if report.totals.errors.is_some() {
        next.push(
            "The figures are estimates from samples, ± a standard error; trace with -s exact where that is too much."
                .into(),
        );
    }
    if view.stacks.is_empty() {
        next.push("Trace while the program does its usual work, or leave out filters.".into());
    }
    if next.is_empty() {
        next.push("Nothing. Keep this page to compare a later one with.".into());
    }
    next
}

/// The line that adds to a container, or makes what it holds.
fn look_at_holder(holder: &Holder) -> Option<String> {
    let short = |text: &str| shorten_middle(&printable(text), COLUMNS).into_owned();
    let frame = holder.lines().first()?.frames.first()?;
    let path = short(holder.path.as_deref().unwrap_or("a container that no name leads to"));
    let does = match holder.removals {
        _ if holder.added.is_empty() => format!("it makes what stays in {path}"),
        0 => format!("it adds to {path}, and nothing was seen to remove from it"),
        _ => format!("it adds to {path}, faster than others remove"),
    };
    Some(format!("Look at {}: {does}.", short(&words::place(frame))))
}

/// The line to look at.
fn look(stack: &StackView) -> String {
    let question = match stack.judgement.verdict {
        Verdict::Leak => "nothing allocated there was given back, so find who should free it",
        _ => "it grows although some is given back, so find what bounds it: a cache, a queue, a pool?",
    };
    let short = |text: &str| shorten_middle(&printable(text), COLUMNS).into_owned();
    let line = stack.frames.iter().find_map(|frame| Some((frame, frame.file.as_deref()?, frame.line?)));
    match (line, stack.frames.first()) {
        (Some((frame, file, line)), _) => {
            format!("Look at {}:{line}, {}: {question}.", short(file), short(&names::function(frame)))
        }
        (None, Some(frame)) => format!("Look at {}: {question}.", short(&names::function(frame))),
        (None, None) => "Its stack has no frames: try the other way of walking stacks (--unwind).".to_owned(),
    }
}

/// What to install where functions have no names.
fn symbols(stack: &StackView) -> Option<String> {
    let frame = stack.frames.iter().find(|frame| frame.function.is_none() && frame.module.is_some())?;
    let module = shorten_middle(&printable(frame.module.as_deref()?), COLUMNS).into_owned();
    Some(format!("Install the debug symbols of {module}: some of its functions have no names here."))
}

/// What to say where the processes grew by much more than they hold.
fn unexplained(view: &View) -> Option<String> {
    let rss = |snapshot: &crate::session::Snapshot| -> u64 {
        snapshot.memory.iter().map(|memory| memory.rss_bytes).fold(0, u64::saturating_add)
    };
    let held = |snapshot: &crate::session::Snapshot| {
        snapshot.report.totals.outstanding_bytes.saturating_add(snapshot.report.totals.unknown_bytes)
    };
    let grew = rss(view.last()).saturating_sub(rss(view.first()));
    let held = held(view.last()).saturating_sub(held(view.first()));
    (grew > held.saturating_mul(2).saturating_add(UNEXPLAINED)).then(|| {
        format!(
            "RSS grew by {} and what is held by {}: look also for fragmentation and for memory that was not asked of the \
             allocator, such as mapped files and thread stacks.",
            bytes(grew),
            bytes(held)
        )
    })
}

#[cfg(test)]
mod tests;
