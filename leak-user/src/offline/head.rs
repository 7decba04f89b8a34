//! What stands above every page of a session.

use std::fmt::Write as _;

use crate::{
    report::{
        header,
        page::{Ink, Page},
    },
    session::View,
    text::printable,
    units::{plural, seconds},
};

/// Writes what page this is, of when, and what holds for all of the trace.
pub fn head(page: &mut Page, what: &str, view: &View) {
    let last = &view.last().report;
    let mut title = format!("leaktrace {what}, {}, {} after attach", last.time, seconds(last.elapsed_s));
    if let Some(label) = &last.label {
        let _ = write!(title, ", \"{}\"", printable(label));
    }
    page.paragraph("", &title, Ink::Bold);
    header::trace(page, last);
    page.paragraph("span:", &span(view), Ink::Plain);
    page.line("");
}

/// From when to when, and what growth is since.
fn span(view: &View) -> String {
    let first = view.first();
    if view.snapshots_recorded < 2 {
        return format!("one snapshot, number {}: no growth is known", first.number);
    }
    let mut text = format!(
        "{} in {}, numbers {} to {}; growth is since the first",
        seconds(view.seconds()),
        plural(view.snapshots_recorded as u64, "snapshot"),
        first.number,
        view.last().number
    );
    if let Some(label) = &first.report.label {
        let _ = write!(text, ", \"{}\"", printable(label));
    }
    let _ = write!(text, ", of {}", first.report.time);
    text
}
