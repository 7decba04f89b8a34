//! A [`Diff`] for people: what changed in a sentence, then a line of figures for each stack that did.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use super::{Change, Diff, HeldDiff, HeldFigures, Shorter, Side, StackDiff};
use crate::{
    offline::{Direction, Rows, chain, names, signed},
    report::{
        Style, header,
        page::{Ink, Page},
    },
    text::printable,
    units::{bytes, count, plural, rate, seconds},
};

const MARGIN: &str = "    ";

/// Columns that a narrow page has no room for: the rate before.
const SPARE: [usize; 1] = [4];

impl Change {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gone => "gone",
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Same => "same",
        }
    }

    const fn ink(self) -> Ink {
        match self {
            Self::Worse | Self::New => Ink::Red,
            Self::Better | Self::Gone | Self::Same => Ink::Plain,
        }
    }
}

impl Diff {
    /// Writes what changed, at most `top` stacks. Those that are the same are summed up.
    pub fn write(&self, style: Style, top: usize, out: &mut dyn Write) -> io::Result<()> {
        let mut page = Page::new(style);
        let what = if self.one_trace { "two moments of one trace" } else { "two traces" };
        page.paragraph("", &format!("leaktrace diff of {what}"), Ink::Bold);
        side(&mut page, "before:", &self.before);
        side(&mut page, "after:", &self.after);
        self.lengths(&mut page);
        page.line("");
        page.paragraph("", &self.summary, Ink::Bold);
        if !self.python.is_empty() && top > 0 {
            page.line("");
            held(&mut page, &self.python[..self.python.len().min(top)]);
        }
        let (same, changed): (Vec<_>, Vec<_>) = self.stacks.iter().partition(|stack| stack.change == Change::Same);
        if !changed.is_empty() && top > 0 {
            page.line("");
            table(&mut page, &changed[..changed.len().min(top)]);
        }
        page.line("");
        rest(&mut page, "that changed less", changed.get(top..).unwrap_or_default());
        rest(&mut page, "that are the same", &same);
        out.write_all(page.text.trim_end().as_bytes())?;
        out.write_all(b"\n")
    }

    /// How sessions of different lengths are compared.
    fn lengths(&self, page: &mut Page) {
        let (shorter, longer) = match self.carried_on {
            Some(Shorter::Before) => ((&self.before, "before"), (&self.after, "after")),
            Some(Shorter::After) => ((&self.after, "after"), (&self.before, "before")),
            None => return,
        };
        let text = format!(
            "{} was traced for {}, {} for {}: what grows {} is carried on at its rate to {}, {} in all",
            shorter.1,
            seconds(shorter.0.elapsed_s),
            longer.1,
            seconds(longer.0.elapsed_s),
            shorter.1,
            seconds(longer.0.elapsed_s),
            bytes(shorter.0.compared_bytes)
        );
        page.paragraph("length:", &text, Ink::Yellow);
    }
}

fn side(page: &mut Page, key: &str, side: &Side) {
    let mut text = format!("{} (pid {}), {}", printable(&side.program), side.pid, side.time);
    if let Some(label) = &side.label {
        let _ = write!(text, ", \"{}\"", printable(label));
    }
    let _ = write!(
        text,
        ", {} after attach: {} in {}",
        seconds(side.elapsed_s),
        bytes(side.held_bytes),
        plural(side.held_count, "block")
    );
    page.paragraph(key, &text, Ink::Plain);
    if !side.loss.complete {
        let (lost, ink) = header::losses(&side.loss);
        page.paragraph("lost:", &lost, ink);
    }
}

/// What Python code holds, a line each.
fn held(page: &mut Page, held: &[HeldDiff]) {
    page.paragraph("", "Python containers that grow:", Ink::Bold);
    for held in held {
        let side = |figures: Option<HeldFigures>| {
            figures.map_or_else(|| "did not grow".to_owned(), |figures| rate(figures.bytes_per_s))
        };
        let now = held.after.map_or_else(String::new, |figures| format!(", {} entries", count(figures.entries)));
        let text = format!(
            "{}  {}: before {}, after {}{now}",
            held.change.name(),
            printable(&held.path),
            side(held.before),
            side(held.after)
        );
        page.paragraph("", &text, held.change.ink());
    }
}

fn table(page: &mut Page, stacks: &[&StackDiff]) {
    let mut rows = Rows::new(&["#", "BEFORE", "AFTER", "DIFFERENCE", "RATE BEFORE", "RATE AFTER", "CHANGE"], &SPARE);
    for (n, stack) in stacks.iter().enumerate() {
        let figures = |figures: &Option<super::Figures>| match figures {
            Some(figures) => (bytes(figures.compared_bytes), rate(figures.bytes_per_s)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        let ((was, rate_before), (is, rate_after)) = (figures(&stack.before), figures(&stack.after));
        let difference = signed(stack.difference_bytes);
        rows.add([(n + 1).to_string(), was, is, difference, rate_before, rate_after, stack.change.name().to_owned()]);
    }
    for (row, stack) in rows.begin(page).into_iter().zip(stacks) {
        // The change stands last, so colour around it shifts nothing.
        let change = stack.change.name();
        let figures = row.strip_suffix(change).unwrap_or(&row);
        page.line(&format!("{figures}{}", page.painted(stack.change.ink(), change)));
        let calls = chain(&names(&stack.frames), Direction::Outwards, page.width - MARGIN.len());
        let calls = if calls.is_empty() { "(no frames were recorded)" } else { &calls };
        page.line(&format!("{MARGIN}{calls}"));
    }
}

/// What stacks have together that are not shown one by one.
fn rest(page: &mut Page, what: &str, stacks: &[&StackDiff]) {
    if stacks.is_empty() {
        return;
    }
    let difference = stacks.iter().fold(0_i64, |sum, stack| sum.saturating_add(stack.difference_bytes));
    let held = |figures: &super::Figures| figures.compared_bytes;
    let now = stacks.iter().filter_map(|stack| stack.after.as_ref()).map(held).fold(0, u64::saturating_add);
    let text =
        format!("and {} {what}, now {} ({})", plural(stacks.len() as u64, "stack"), bytes(now), signed(difference));
    page.paragraph("", &text, Ink::Dim);
}
