//! What stands below a row of the table: why the verdict, the frames of its stack, and its blocks if they were asked for.
//!
//! Promises a line for each, none wider than the page. Leaves out the row; tested with the table as a whole.

use std::borrow::Cow;

use super::super::{Frame, Stack, Verdict};
use super::page::{Ink, Page};
use crate::text::{columns, printable, shorten_middle};
use crate::units::{bytes, seconds};

/// Before what stands below a row.
pub const MARGIN: &str = "    ";

/// Writes why a stack that grows is said to, in one line; of the others the verdict says enough. Where there is no room for
/// all of it, its last clause: the rate is in the row.
pub fn why(page: &mut Page, stack: &Stack) {
    if !matches!(stack.verdict, Verdict::Leak | Verdict::Growing) || stack.why.is_empty() {
        return;
    }
    let (all, room) = (printable(&stack.why), page.width - MARGIN.len());
    let clause = all.rsplit("; ").next().unwrap_or(&all);
    let text = shorten_middle(if columns(&all) <= room { &all } else { clause }, room);
    page.line(&format!("{MARGIN}{}", page.painted(Ink::Dim, &text)));
}

/// Writes the frames of a stack, one a line, innermost first.
pub fn frames(page: &mut Page, stack: &Stack) {
    if stack.frames.is_empty() {
        page.line(&format!("{MARGIN}(no frames were recorded)"));
    }
    frame_lines(page, &stack.frames);
}

/// Writes frames, one a line.
pub fn frame_lines(page: &mut Page, frames: &[Frame]) {
    let room = page.width - MARGIN.len();
    let lines: Vec<_> = frames.iter().map(|frame| (name(frame), location(frame, room / 2))).collect();
    // Locations stand below each other, but for the few whose function is very long.
    let names = lines.iter().map(|(name, _)| columns(name));
    let aligned = names.filter(|name| *name <= room / 2).max().unwrap_or(0);
    for (name, location) in lines {
        if location.is_empty() {
            page.line(&format!("{MARGIN}{}", shorten_middle(&name, room)));
            continue;
        }
        let name = shorten_middle(&name, room - columns(&location) - 2);
        let gap =
            " ".repeat(aligned.saturating_sub(columns(&name)).min(room - columns(&location) - columns(&name) - 2) + 2);
        page.line(&format!("{MARGIN}{name}{gap}{}", page.painted(Ink::Dim, &location)));
    }
}

fn name(frame: &Frame) -> Cow<'_, str> {
    match frame.function.as_deref() {
        Some(function) if !function.is_empty() => printable(function),
        _ => frame.place().into(),
    }
}

/// Where the function is, in at most `width` columns; nothing if its name says that already.
fn location(frame: &Frame, width: usize) -> String {
    let file = frame.file.as_deref().and_then(|path| path.rsplit('/').find(|part| !part.is_empty()));
    let known = frame.function.as_ref().is_some_and(|function| !function.is_empty());
    let inlined = if frame.inlined { " (inlined)" } else { "" };
    let at = match (file, frame.line) {
        (Some(file), Some(line)) => format!("{}:{line}", printable(file)),
        (Some(file), None) => printable(file).into_owned(),
        (None, _) if known => frame.place(),
        (None, _) => String::new(),
    };
    format!("{}{inlined}", shorten_middle(&at, width - inlined.len())).trim_start().to_owned()
}

/// Writes the outstanding blocks of a stack, if they were asked for.
pub fn allocations(page: &mut Page, stack: &Stack) {
    if stack.allocations.is_empty() {
        return;
    }
    page.line(&format!("{MARGIN}{}", page.painted(Ink::Dim, "outstanding blocks, largest first:")));
    for block in &stack.allocations {
        let (size, age) = (bytes(block.bytes), seconds(block.age_s));
        page.line(&format!("{MARGIN}{:#014x}  {size:>10}  {age:>9}", block.address));
    }
}
