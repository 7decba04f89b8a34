//! What the page's script is given: one JSON document in the page.
//!
//! Promises JSON without a character that could end the element it stands in, figures that are always numbers, names
//! that are safe to show, and a size that is bounded. To be small it keeps a name and a frame once, and of a series the
//! differences, most of which are 0.

use std::{
    collections::HashMap,
    io::{self, Write},
};

use serde::Serialize;

use super::{
    facts::facts,
    interpreters::{OfPython, interpreters},
    names::{self, Names},
    verdict::{self, headline},
};
use crate::{
    growth::Severity,
    growth::Verdict,
    ledger::{AGE_PARTS, Ages},
    report::Frame,
    session::{Point, SizeClass, Snapshot, StackView, View},
    text::printable,
};

/// Most stacks on a page: those that hold or have grown by the most.
pub const MOST_STACKS: usize = 5000;

/// Writes the document.
pub fn write(view: &View, out: &mut dyn Write) -> io::Result<()> {
    let document = serde_json::to_string(&Document::of(view))?;
    // These stand in strings alone, where a reader takes the escape for the character.
    let mut rest = document.as_str();
    while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        let (before, from) = rest.split_at(at);
        let mut after = from.chars();
        write!(out, "{before}\\u{:04x}", after.next().map_or(0, u32::from))?;
        rest = after.as_str();
    }
    out.write_all(rest.as_bytes())
}

#[derive(Serialize)]
struct Document {
    severity: Severity,
    judged: bool,
    headline: String,
    next: Vec<String>,
    facts: Vec<(&'static str, String)>,
    processes: Vec<String>,
    snapshots: Vec<Moment>,
    memory: Series,
    python: Vec<OfPython>,
    /// Bytes that the only control group may use.
    limit: Option<u64>,
    /// Whether figures are estimates.
    estimates: bool,
    names: Vec<String>,
    /// Function, file, line, module, whether it was inlined; by numbers of names.
    frames: Vec<(usize, usize, u32, usize, u8)>,
    stacks: Vec<Stack>,
    /// How many stacks are not here, and bytes that they hold.
    left_out: (usize, u64),
    ages: Vec<String>,
    /// From bytes, allocated blocks, allocated bytes, held blocks, held bytes.
    sizes: Vec<(u64, u64, u64, u64, u64)>,
}

/// A snapshot.
#[derive(Serialize)]
struct Moment {
    number: u32,
    elapsed: f64,
    time: String,
    label: Option<String>,
}

/// Bytes at each snapshot, summed over the processes; null where the system does not say.
#[derive(Serialize)]
struct Series {
    held: Vec<u64>,
    rss: Vec<Option<u64>>,
    pss: Vec<Option<u64>>,
    swap: Vec<Option<u64>>,
    cgroup: Vec<Option<u64>>,
}

/// A stack; one letter a member, for there may be thousands.
#[derive(Serialize)]
struct Stack {
    id: String,
    /// Its process.
    p: usize,
    /// Its frames.
    f: Vec<usize>,
    verdict: Verdict,
    /// How sure that is.
    sure: f64,
    /// Bytes a second.
    rate: f64,
    why: usize,
    /// Seconds since its oldest held block was allocated.
    oldest: f64,
    /// Bytes allocated between the first snapshot and the last.
    allocated: u64,
    /// Standard error of the bytes held at the end.
    error: u64,
    /// Bytes held at the first snapshot, then the difference at each.
    b: Vec<i64>,
    /// Blocks, likewise.
    n: Vec<i64>,
    /// Bytes held by age, up to the last part that has any.
    ages: Vec<u64>,
    /// Freed blocks by lifetime, likewise.
    lives: Vec<u64>,
    whole: bool,
}

impl Document {
    fn of(view: &View) -> Self {
        let said = headline(view);
        let pids = view.last().report.processes.iter().map(|process| process.pid).collect();
        let mut tables = Tables { names: Names::new(), frames: Vec::new(), numbers: HashMap::new(), pids };
        let chosen = chosen(&view.stacks);
        let stacks = chosen.iter().map(|stack| tables.stack(stack)).collect();
        let all = |stacks: &mut dyn Iterator<Item = &StackView>| {
            stacks.map(|stack| stack.last().held_bytes()).fold(0, u64::saturating_add)
        };
        let left = all(&mut view.stacks.iter()).saturating_sub(all(&mut chosen.iter().copied()));
        Self {
            severity: said.severity,
            judged: said.judged,
            headline: said.sentence,
            next: said.next,
            facts: facts(view),
            processes: tables.pids.iter().map(|pid| process(view, *pid)).collect(),
            snapshots: view.snapshots.iter().map(moment).collect(),
            memory: memory(view),
            python: interpreters(view.last().report.python.as_ref()),
            limit: only_cgroup(view.last()).and_then(|group| group.limit_bytes),
            estimates: view.last().report.totals.errors.is_some(),
            left_out: (view.stacks.len() - chosen.len(), left),
            names: tables.names.into_list(),
            frames: tables.frames,
            stacks,
            ages: (0..AGE_PARTS).map(Ages::name).collect(),
            sizes: view.sizes.iter().map(size).collect(),
        }
    }
}

/// The stacks that are shown, in their order.
fn chosen(stacks: &[StackView]) -> Vec<&StackView> {
    let mut weights: Vec<(u64, usize)> = stacks
        .iter()
        .map(|stack| stack.last().held_bytes().max(stack.growth_bytes().unsigned_abs()))
        .zip(0..)
        .collect();
    weights.sort_unstable_by_key(|(weight, place)| (std::cmp::Reverse(*weight), *place));
    weights.truncate(MOST_STACKS);
    weights.sort_unstable_by_key(|(_, place)| *place);
    weights.into_iter().map(|(_, place)| &stacks[place]).collect()
}

/// What stacks refer to by number.
struct Tables {
    names: Names,
    frames: Vec<(usize, usize, u32, usize, u8)>,
    numbers: HashMap<(usize, usize, u32, usize, u8), usize>,
    pids: Vec<u32>,
}

impl Tables {
    fn stack(&mut self, stack: &StackView) -> Stack {
        let judgement = &stack.judgement;
        Stack {
            id: stack.id.clone(),
            p: self.process(stack.pid),
            f: stack.frames.iter().map(|frame| self.frame(frame)).collect(),
            verdict: judgement.verdict,
            sure: finite(judgement.confidence),
            rate: finite(judgement.bytes_per_s),
            why: self.names.number(&judgement.why),
            oldest: finite(stack.oldest_s),
            allocated: stack.allocated_bytes(),
            error: stack.last().bytes_stderr,
            b: differences(&stack.points, Point::held_bytes),
            n: differences(&stack.points, Point::held_count),
            ages: trimmed(&stack.ages),
            lives: trimmed(&stack.lifetimes),
            whole: stack.complete,
        }
    }

    fn process(&mut self, pid: u32) -> usize {
        self.pids.iter().position(|known| *known == pid).unwrap_or_else(|| {
            self.pids.push(pid);
            self.pids.len() - 1
        })
    }

    fn frame(&mut self, frame: &Frame) -> usize {
        let frame = (
            self.names.number(&names::function(frame)),
            self.names.number(frame.file.as_deref().unwrap_or_default()),
            frame.line.unwrap_or_default(),
            self.names.number(frame.module.as_deref().unwrap_or_default()),
            u8::from(frame.inlined),
        );
        *self.numbers.entry(frame).or_insert_with(|| {
            self.frames.push(frame);
            self.frames.len() - 1
        })
    }
}

/// A process as the page names it.
fn process(view: &View, pid: u32) -> String {
    match verdict::process(view, pid) {
        nameless if nameless.starts_with("pid ") => nameless,
        name => format!("{name} (pid {pid})"),
    }
}

fn moment(snapshot: &Snapshot) -> Moment {
    let report = &snapshot.report;
    Moment {
        number: snapshot.number,
        elapsed: finite(report.elapsed_s),
        time: report.time.clone(),
        label: report.label.as_ref().map(|label| printable(label).into_owned()),
    }
}

fn memory(view: &View) -> Series {
    let at_each = |of: &dyn Fn(&Snapshot) -> Option<u64>| view.snapshots.iter().map(of).collect::<Vec<_>>();
    let sum = |of: fn(&crate::session::Memory) -> Option<u64>| {
        at_each(&|snapshot| snapshot.memory.iter().filter_map(of).reduce(u64::saturating_add))
    };
    let held = |snapshot: &Snapshot| {
        snapshot.report.totals.outstanding_bytes.saturating_add(snapshot.report.totals.unknown_bytes)
    };
    Series {
        held: view.snapshots.iter().map(held).collect(),
        rss: sum(|memory| Some(memory.rss_bytes)),
        pss: sum(|memory| memory.pss_bytes),
        swap: sum(|memory| memory.swap_bytes),
        cgroup: at_each(&|snapshot| only_cgroup(snapshot).map(|group| group.bytes)),
    }
}

/// The control group of the processes, if it is the same for all: those of different ones may lie in each other.
fn only_cgroup(snapshot: &Snapshot) -> Option<&crate::session::Cgroup> {
    let mut groups = snapshot.memory.iter().filter_map(crate::session::Memory::telling_cgroup);
    let first = groups.next()?;
    groups.all(|group| group.path == first.path).then_some(first)
}

fn size(size: &SizeClass) -> (u64, u64, u64, u64, u64) {
    (size.from_bytes, size.allocated_count, size.allocated_bytes, size.held_count, size.held_bytes)
}

/// The first figure, and then by how much each differs from the one before.
fn differences(points: &[Point], of: fn(&Point) -> u64) -> Vec<i64> {
    let mut before = 0;
    points
        .iter()
        .map(|point| (of(point) as i64).wrapping_sub(std::mem::replace(&mut before, of(point)) as i64))
        .collect()
}

/// The parts up to the last that has anything.
fn trimmed(ages: &Ages) -> Vec<u64> {
    let parts = ages.0.iter().rposition(|part| *part > 0).map_or(0, |last| last + 1);
    ages.0[..parts].to_vec()
}

/// JSON has no other figures.
const fn finite(figure: f64) -> f64 {
    if figure.is_finite() { figure } else { 0.0 }
}

#[cfg(test)]
mod tests;
