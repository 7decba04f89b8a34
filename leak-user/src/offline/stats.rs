//! The figures of a session: how large, how old, how long-lived, whose code allocates, and how much comes and goes.
//!
//! Promises sections that each fit a screen, bars that are as plain in a pipe as on a terminal, and that a bar is the
//! figure beside it. Leaves out the stacks themselves.

mod sites;

use std::{
    collections::HashMap,
    io::{self, Write},
};

use super::{
    Rows,
    figures::{bar, share},
    head::head,
    label,
    sums::Sums,
};
use crate::{
    ledger::{AGE_PARTS, Ages},
    report::{
        Style,
        page::{Ink, Page},
    },
    session::View,
    symbolize::Frame,
    text::{columns, printable, shorten_middle},
    units::{bytes, count},
};

/// Lines of what has no end, such as modules.
const MOST_LINES: usize = 8;

/// Columns of a bar at most.
const WIDEST_BAR: usize = 40;

/// Writes all sections; those that nothing is known of say so.
pub fn stats(view: &View, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(style);
    head(&mut page, "stats", view);
    churn(&mut page, view);
    sizes(&mut page, view);
    let ages = sum(view.stacks.iter().map(|stack| &stack.ages));
    by_age(&mut page, "Held bytes by age", "AGE", "HELD", &ages, bytes);
    let lifetimes = sum(view.stacks.iter().map(|stack| &stack.lifetimes));
    by_age(&mut page, "Freed blocks by the age they reached", "LIFETIME", "FREED", &lifetimes, count);
    modules(&mut page, view);
    sites::sites(&mut page, view);
    out.write_all(page.text.as_bytes())
}

/// How much of what was allocated has been freed.
fn churn(page: &mut Page, view: &View) {
    let totals = &view.last().report.totals;
    let text = format!(
        "freed {} of the bytes and {} of the blocks allocated since attach",
        share(totals.freed_bytes, totals.allocated_bytes),
        share(totals.freed_count, totals.allocated_count)
    );
    page.paragraph("churn:", &text, Ink::Plain);
}

/// Begins a section.
fn section(page: &mut Page, title: &str) {
    page.line("");
    let title = page.painted(Ink::Bold, title);
    page.line(&title);
    page.line("");
}

fn sizes(page: &mut Page, view: &View) {
    section(page, "Allocations by size");
    let Some(first) = view.sizes.iter().position(|class| class.allocated_count > 0 || class.held_count > 0) else {
        page.line("none were seen");
        return;
    };
    let last = view.sizes.iter().rposition(|class| class.allocated_count > 0 || class.held_count > 0).unwrap_or(first);
    let mut rows = Rows::open(&["FROM", "ALLOCATED", "BYTES", "HELD", "BYTES", ""], &[1]);
    let classes = &view.sizes[first..=last];
    for class in classes {
        rows.add([
            bytes(class.from_bytes),
            count(class.allocated_count),
            bytes(class.allocated_bytes),
            count(class.held_count),
            bytes(class.held_bytes),
        ]);
    }
    barred(page, rows, &classes.iter().map(|class| class.held_bytes).collect::<Vec<_>>());
}

fn sum<'view>(ages: impl Iterator<Item = &'view Ages>) -> Ages {
    ages.fold(Ages::default(), |mut sum, ages| {
        sum.0.iter_mut().zip(ages.0).for_each(|(sum, part)| *sum = sum.saturating_add(part));
        sum
    })
}

fn by_age(page: &mut Page, title: &str, key: &'static str, what: &'static str, ages: &Ages, figure: fn(u64) -> String) {
    section(page, title);
    let all = ages.total();
    let filled = |part: &usize| ages.0[*part] > 0;
    let (Some(first), Some(last)) = ((0..AGE_PARTS).find(filled), (0..AGE_PARTS).rfind(filled)) else {
        page.line("none");
        return;
    };
    let mut rows = Rows::open(&[key, what, "SHARE", ""], &[]);
    for part in first..=last {
        rows.add([Ages::name(part), figure(ages.0[part]), share(ages.0[part], all)]);
    }
    barred(page, rows, &ages.0[first..=last]);
}

/// Writes rows whose last column is a bar of these figures.
fn barred(page: &mut Page, rows: Rows, figures: &[u64]) {
    let most = figures.iter().copied().max().unwrap_or(0);
    for (row, figure) in rows.begin(page).iter().zip(figures) {
        let room = page.width.saturating_sub(columns(row)).min(WIDEST_BAR);
        page.line(format!("{row}{}", bar(*figure, most, room)).trim_end());
    }
}

/// Whose code asks the allocator for memory: the innermost frames, by module.
fn modules(page: &mut Page, view: &View) {
    section(page, "Callers of the allocator, by module");
    let mut modules: Vec<Module<'_>> = Vec::new();
    let mut known = HashMap::new();
    for stack in &view.stacks {
        let frame = stack.frames.first();
        let place = *known.entry(frame.map(|frame| frame.module.as_deref())).or_insert_with(|| {
            modules.push(Module { largest: frame, sums: Sums::default() });
            modules.len() - 1
        });
        // The stacks come with the largest first.
        modules[place].sums.add(Sums::of(stack));
    }
    if modules.is_empty() {
        page.line("none");
        return;
    }
    modules.sort_by_key(|module| std::cmp::Reverse((module.sums.held_bytes, module.sums.allocated_bytes)));
    let all = modules.iter().fold(0_u64, |all, module| all.saturating_add(module.sums.held_bytes));
    let mut told: Vec<_> = modules.iter().map(|module| (module.sums, module.name(), module.function())).collect();
    let rest = told.split_off(told.len().min(MOST_LINES));
    if !rest.is_empty() {
        let sums = rest.iter().map(|(sums, ..)| *sums).sum();
        told.push((sums, format!("{} more", rest.len()), String::new()));
    }
    let mut rows = Rows::open(&["HELD", "SHARE", "BLOCKS", "ALLOCATED", "MODULE"], &[3]);
    for (sums, ..) in &told {
        rows.add([
            bytes(sums.held_bytes),
            share(sums.held_bytes, all),
            count(sums.held_count),
            bytes(sums.allocated_bytes),
        ]);
    }
    for (row, (_, module, function)) in rows.begin(page).iter().zip(&told) {
        let room = page.width.saturating_sub(columns(row));
        let module = shorten_middle(module, room / 2);
        let function = shorten_middle(function, room.saturating_sub(columns(&module) + 2));
        page.line(format!("{row}{module}  {}", page.painted(Ink::Dim, &function)).trim_end());
    }
}

/// A module that calls the allocator.
struct Module<'view> {
    /// Of the stack with most; none of stacks without frames.
    largest: Option<&'view Frame>,
    sums: Sums,
}

impl Module<'_> {
    fn name(&self) -> String {
        match self.largest.map(|frame| frame.module.as_deref()) {
            Some(Some(module)) => printable(module).into_owned(),
            Some(None) => "(in no file)".to_owned(),
            None => "(no frames were recorded)".to_owned(),
        }
    }

    fn function(&self) -> String {
        let named = |frame: &&Frame| frame.function.as_ref().is_some_and(|name| !name.is_empty());
        self.largest.filter(named).map_or_else(String::new, |frame| label(frame).into_owned())
    }
}
