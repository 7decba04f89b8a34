//! Flame graphs: where memory was asked for, each function as wide as its bytes.
//!
//! Promises one SVG that needs nothing else, with zoom and search where its viewer runs scripts, the outermost function
//! at the bottom, a colour a module, and a picture that says so where there is nothing to draw. Names are those of
//! folded stacks, so what the target chose is inert. Leaves out what is too narrow to be seen, and what has shrunk: a
//! width cannot be below zero, so that is only said.

mod colours;

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use inferno::flamegraph::{self, Options};

use crate::{
    report::{Format, Renderer, Report, Stack},
    session::{StackView, View, Weight},
    text::{printable, shorten_middle},
    units::{bytes, plural, seconds},
};

/// Narrowest function that is drawn, per cent of the width.
const NARROWEST: f64 = 0.05;

// Columns that fit the picture, of its title and of the line below it.
const TITLE_COLUMNS: usize = 100;
const LINE_COLUMNS: usize = 150;

/// Draws the stacks of a view. The title may hold anything.
pub fn svg(view: &View, weight: Weight, title: &str, out: &mut dyn Write) -> io::Result<()> {
    let title = shorten_middle(&printable(title), TITLE_COLUMNS).into_owned();
    let subtitle = shorten_middle(&subtitle(view, weight), LINE_COLUMNS).into_owned();
    let drawn = Drawn::of(view, weight)?;
    if drawn.lines.is_empty() {
        return nothing(&title, &subtitle, out);
    }
    let mut options = Options::default();
    let mut colours = colours::by_module(&drawn.modules);
    options.palette_map = Some(&mut colours);
    options.bgcolors = Some(colours::BACKGROUND);
    "sans-serif".clone_into(&mut options.font_type);
    options.title = title;
    options.subtitle = Some(subtitle);
    options.min_width = NARROWEST;
    (options.count_name, options.factor) = unit(drawn.total);
    flamegraph::from_lines(&mut options, drawn.lines.iter().map(String::as_str), out)
}

/// Lines for the drawing, and the modules of the names in them.
struct Drawn {
    lines: Vec<String>,
    /// A name, its module, and the bytes that it has in some stack.
    modules: Vec<(String, Option<String>, u64)>,
    total: u64,
}

impl Drawn {
    fn of(view: &View, weight: Weight) -> io::Result<Self> {
        let stacks: Vec<&StackView> = view.stacks.iter().filter(|stack| weight.of(stack) > 0).collect();
        let folded = folded(&view.last().report, &stacks, weight)?;
        // With one process its name says nothing that the title could not.
        let several = view.last().report.processes.len() > 1;
        let mut drawn = Self { lines: Vec::new(), modules: Vec::new(), total: 0 };
        for (line, stack) in folded.lines().zip(stacks) {
            let (process, rest) = line.split_once(';').unwrap_or(("", line));
            let (names, _) = rest.rsplit_once(' ').unwrap_or((rest, ""));
            let bytes = weight.of(stack);
            for (name, frame) in names.split(';').zip(stack.frames.iter().rev()) {
                drawn.modules.push((name.to_owned(), frame.module.as_deref().map(str::to_owned), bytes));
            }
            if several {
                drawn.modules.push((process.to_owned(), None, bytes));
            }
            drawn.lines.push(if several { line } else { rest }.to_owned());
            drawn.total = drawn.total.saturating_add(bytes);
        }
        Ok(drawn)
    }
}

/// The stacks as folded lines, one each.
fn folded(report: &Report, stacks: &[&StackView], weight: Weight) -> io::Result<String> {
    let mut report = report.clone();
    // Drawing adds them up, and does not look out for sums that are too great.
    let most = u64::MAX / stacks.len().max(1) as u64;
    report.stacks = stacks.iter().map(|stack| weighed(stack, weight.of(stack).min(most))).collect();
    let mut lines = Vec::new();
    Renderer { format: Format::Folded, ..Renderer::default() }.write(&report, &mut lines)?;
    String::from_utf8(lines).map_err(io::Error::other)
}

/// A stack whose only figure is this.
fn weighed(stack: &StackView, bytes: u64) -> Stack {
    Stack {
        id: stack.id.clone(),
        pid: stack.pid,
        outstanding_bytes: bytes,
        outstanding_count: 0,
        unknown_bytes: 0,
        unknown_count: 0,
        allocated_bytes: 0,
        allocated_count: 0,
        errors: None,
        bytes_per_s: 0.0,
        oldest_s: 0.0,
        verdict: stack.judgement.verdict,
        confidence: stack.judgement.confidence,
        why: String::new(),
        complete: stack.complete,
        frames: stack.frames.clone(),
        allocations: Vec::new(),
    }
}

fn subtitle(view: &View, weight: Weight) -> String {
    let of = view.stacks.iter().map(|stack| weight.of(stack)).filter(|bytes| *bytes > 0);
    let (stacks, sum) = of.fold((0, 0_u64), |(stacks, sum), bytes| (stacks + 1, sum.saturating_add(bytes)));
    let what = format!("{} in {}", bytes(sum), plural(stacks, "stack"));
    let last = seconds(view.last().report.elapsed_s);
    let span = format!("from {} to {last} after attach", seconds(view.first().report.elapsed_s));
    let mut text = match weight {
        Weight::Outstanding => format!("{what}, held {last} after attach"),
        Weight::Growth => format!("{what}, held more than at first, {span}"),
        Weight::Allocated => format!("{what}, allocated {span}"),
    };
    if weight == Weight::Growth {
        let shrunk = view.stacks.iter().map(StackView::growth_bytes).filter(|bytes| *bytes < 0);
        let (stacks, sum) = shrunk.fold((0, 0_u64), |(n, sum), less| (n + 1, sum.saturating_add(less.unsigned_abs())));
        if stacks > 0 {
            let _ = write!(text, "; left out: {} that shrank by {}", plural(stacks, "stack"), bytes(sum));
        }
    }
    text
}

/// The unit that shows a total in four digits or more, and a byte in it.
fn unit(total: u64) -> (String, f64) {
    let (unit, shift) = match total {
        0..0x10_0000 => ("bytes", 0),
        0x10_0000..0x4000_0000 => ("KiB", 10),
        _ => ("MiB", 20),
    };
    (unit.to_owned(), 1.0 / f64::from(1 << shift))
}

/// A picture of two lines of text.
fn nothing(title: &str, subtitle: &str, out: &mut dyn Write) -> io::Result<()> {
    let picture = format!(
        concat!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="96" viewBox="0 0 1200 96" "#,
            r#"font-family="sans-serif" text-anchor="middle"><rect width="100%" height="100%" fill="whitesmoke"/>"#,
            r#"<text x="600" y="36" font-size="17">{}</text>"#,
            r#"<text x="600" y="66" font-size="12">Nothing to draw: {}</text></svg>"#
        ),
        escaped(title),
        escaped(subtitle)
    );
    out.write_all(picture.as_bytes())
}

/// Text that is no markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
