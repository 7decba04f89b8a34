//! Who holds the memory, by function.
//!
//! Promises a line of figures for each function that allocates for itself (see `site`) with where it is below, those that
//! hold most first. `HELD` is what was allocated there; `TOTAL` is that of all stacks that the function is anywhere on, so
//! a function that only calls others has a total and no row: `tree` shows it. Below, what Python code holds.

use std::{
    collections::{HashMap, HashSet},
    io::{self, Write},
};

use super::{
    Key, Rows,
    figures::{share, signed},
    head::head,
    label, site,
    sums::Sums,
};
use crate::{
    growth::Verdict,
    report::{
        Style, interpreters,
        page::{Ink, Page},
    },
    session::{StackView, View},
    symbolize::Frame,
    text::{columns, printable, shorten_middle},
    units::{bytes, count, plural},
};

/// From the worst to what cannot be said yet.
const WORST_FIRST: [Verdict; 5] = [Verdict::Leak, Verdict::Growing, Verdict::Plateau, Verdict::Churn, Verdict::New];

/// Columns that a narrow page has no room for: allocated, total, blocks.
const SPARE: [usize; 3] = [6, 3, 4];

/// A function that allocates.
struct Function<'view> {
    /// Where it allocates most; none of stacks without frames.
    frame: Option<&'view Frame>,
    /// Whether all its stacks allocate at one line.
    one_line: bool,
    own: Sums,
    /// Bytes held by all stacks that it is on.
    total_bytes: u64,
    /// Stacks of each verdict, worst first.
    verdicts: [u64; WORST_FIRST.len()],
}

/// Writes the functions that hold most, at most `top`.
pub fn summary(view: &View, style: Style, top: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(style);
    head(&mut page, "summary", view);
    let functions = functions(&view.stacks);
    let all: Sums = view.stacks.iter().collect();
    page.paragraph("", &title(view, &functions, &all), Ink::Plain);
    if !functions.is_empty() {
        page.line("");
        table(&mut page, &functions[..functions.len().min(top)], all.held_bytes);
        rest(&mut page, functions.get(top..).unwrap_or_default());
    }
    if let Some(python) = &view.last().report.python {
        interpreters::python(&mut page, python);
    }
    out.write_all(page.text.as_bytes())
}

fn title(view: &View, functions: &[Function<'_>], all: &Sums) -> String {
    if functions.is_empty() {
        return "No stacks: nothing was allocated, or the filters keep all of it out.".to_owned();
    }
    format!(
        "{} in {} ({}), from {} in {}:",
        bytes(all.held_bytes),
        plural(all.held_count, "block"),
        signed(all.growth_bytes),
        plural(view.stacks.len() as u64, "stack"),
        plural(functions.len() as u64, "function")
    )
}

/// The functions that allocate, those that hold most first.
fn functions(stacks: &[StackView]) -> Vec<Function<'_>> {
    let mut functions: Vec<Function<'_>> = Vec::new();
    let mut known: HashMap<Option<Key<'_>>, usize> = HashMap::new();
    for stack in stacks {
        let frame = site(&stack.frames).map(|at| &stack.frames[at]);
        let place = *known.entry(frame.map(Key::of)).or_insert_with(|| {
            functions.push(Function {
                frame,
                one_line: true,
                own: Sums::default(),
                total_bytes: 0,
                verdicts: Default::default(),
            });
            functions.len() - 1
        });
        let function = &mut functions[place];
        function.own.add(Sums::of(stack));
        function.one_line &= function.frame.map(|frame| frame.line) == frame.map(|frame| frame.line);
        let verdict = WORST_FIRST.iter().position(|verdict| *verdict == stack.judgement.verdict);
        function.verdicts[verdict.unwrap_or_default()] += 1;
    }
    for stack in stacks {
        let mut on_it: HashSet<usize> =
            stack.frames.iter().filter_map(|frame| known.get(&Some(Key::of(frame))).copied()).collect();
        on_it.extend(stack.frames.is_empty().then(|| known.get(&None).copied()).flatten());
        for place in on_it {
            let total = &mut functions[place].total_bytes;
            *total = total.saturating_add(stack.last().held_bytes());
        }
    }
    functions.sort_by_key(|function| {
        let own = &function.own;
        std::cmp::Reverse((own.held_bytes, own.growth_bytes, own.allocated_bytes))
    });
    functions
}

fn table(page: &mut Page, functions: &[Function<'_>], held_bytes: u64) {
    let mut rows = Rows::new(&["#", "HELD", "SHARE", "TOTAL", "BLOCKS", "GROWTH", "ALLOCATED", "VERDICTS"], &SPARE);
    for (n, function) in functions.iter().enumerate() {
        let own = &function.own;
        rows.add([
            (n + 1).to_string(),
            bytes(own.held_bytes),
            share(own.held_bytes, held_bytes),
            bytes(function.total_bytes),
            count(own.held_count),
            signed(own.growth_bytes),
            bytes(own.allocated_bytes),
            verdicts(function),
        ]);
    }
    for (row, function) in rows.begin(page).into_iter().zip(functions) {
        // The verdicts stand last, so colour around them shifts nothing.
        let verdicts = verdicts(function);
        let worst = WORST_FIRST.iter().zip(function.verdicts).find(|(_, stacks)| *stacks > 0);
        let ink = worst.map_or(Ink::Plain, |(verdict, _)| Ink::of(*verdict));
        let figures = row.strip_suffix(&verdicts).unwrap_or(&row);
        let room = page.width.saturating_sub(columns(figures));
        let verdicts = if room < 8 { String::new() } else { shorten_middle(&verdicts, room).into_owned() };
        page.line(&format!("{figures}{}", page.painted(ink, &verdicts)));
        place(page, function);
    }
}

/// `leak`, or `1 leak, 3 churn` where they differ.
fn verdicts(function: &Function<'_>) -> String {
    let told = WORST_FIRST.iter().zip(function.verdicts).filter(|(_, stacks)| *stacks > 0);
    let mut told: Vec<_> = told.map(|(verdict, stacks)| (verdict.name(), stacks)).collect();
    match told.as_mut_slice() {
        [(name, 1)] => (*name).to_owned(),
        told => told.iter().map(|(name, stacks)| format!("{} {name}", count(*stacks))).collect::<Vec<_>>().join(", "),
    }
}

const MARGIN: &str = "    ";

/// The function's name, and where it is.
fn place(page: &mut Page, function: &Function<'_>) {
    let room = page.width - MARGIN.len();
    let Some(frame) = function.frame else {
        page.line(&format!("{MARGIN}(no frames were recorded)"));
        return;
    };
    let at = shorten_middle(&location(frame, function.one_line), room / 2).into_owned();
    if at.is_empty() {
        page.line(&format!("{MARGIN}{}", shorten_middle(&label(frame), room)));
        return;
    }
    let label = label(frame);
    let name = shorten_middle(&label, room - columns(&at) - 2);
    page.line(&format!("{MARGIN}{name}  {}", page.painted(Ink::Dim, &at)));
}

/// `sds.c:111, redis-server`; nothing that the label says already.
fn location(frame: &Frame, with_line: bool) -> String {
    let file = frame.file.as_deref().and_then(|path| path.rsplit('/').find(|part| !part.is_empty()));
    let file = file.map(|file| match frame.line.filter(|_| with_line) {
        Some(line) => format!("{}:{line}", printable(file)),
        None => printable(file).into_owned(),
    });
    let named = frame.function.as_ref().is_some_and(|function| !function.is_empty());
    let module = frame.module.as_deref().filter(|_| named).map(|module| printable(module).into_owned());
    file.into_iter().chain(module).collect::<Vec<_>>().join(", ")
}

/// What the functions have together that are not shown.
fn rest(page: &mut Page, functions: &[Function<'_>]) {
    if functions.is_empty() {
        return;
    }
    let sums: Sums = functions.iter().map(|function| function.own).sum();
    let more = plural(functions.len() as u64, "more function");
    page.line("");
    let held = format!("{more}: {} in {}", bytes(sums.held_bytes), plural(sums.held_count, "block"));
    page.paragraph("", &format!("{held} ({})", signed(sums.growth_bytes)), Ink::Dim);
}
