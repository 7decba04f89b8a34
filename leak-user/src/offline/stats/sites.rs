//! The functions that lead in something: bytes, blocks, or what comes and goes.

use std::collections::HashMap;

use super::{
    super::{Key, Rows, figures::share, site, sums::Sums},
    label, section,
};
use crate::{
    report::page::Page,
    session::View,
    symbolize::Frame,
    text::{columns, shorten_middle},
    units::{bytes, count},
};

/// Functions of each list.
const LEADERS: usize = 5;

type Site<'view> = (Option<&'view Frame>, Sums);

/// Writes a list for each.
pub fn sites(page: &mut Page, view: &View) {
    let mut sites: Vec<Site<'_>> = Vec::new();
    let mut known = HashMap::new();
    for stack in &view.stacks {
        let frame = site(&stack.frames).map(|at| &stack.frames[at]);
        let place = *known.entry(frame.map(Key::of)).or_insert_with(|| {
            sites.push((frame, Sums::default()));
            sites.len() - 1
        });
        sites[place].1.add(Sums::of(stack));
    }
    leaders(page, "Most bytes held", &mut sites, |sums| (sums.held_bytes, sums.held_count));
    leaders(page, "Most blocks held", &mut sites, |sums| (sums.held_count, sums.held_bytes));
    leaders(page, "Most bytes allocated", &mut sites, |sums| (sums.allocated_bytes, sums.allocated_count));
    leaders(page, "Most blocks allocated", &mut sites, |sums| (sums.allocated_count, sums.allocated_bytes));
}

fn leaders(page: &mut Page, title: &str, sites: &mut [Site<'_>], by: fn(&Sums) -> (u64, u64)) {
    section(page, title);
    sites.sort_by_key(|(_, sums)| std::cmp::Reverse(by(sums)));
    let leading: Vec<_> = sites.iter().take_while(|(_, sums)| by(sums).0 > 0).take(LEADERS).collect();
    if leading.is_empty() {
        page.line("none");
        return;
    }
    let mut rows = Rows::open(&["HELD", "BLOCKS", "ALLOCATED", "BLOCKS", "FREED", "FUNCTION"], &[3, 4]);
    for (_, sums) in &leading {
        rows.add([
            bytes(sums.held_bytes),
            count(sums.held_count),
            bytes(sums.allocated_bytes),
            count(sums.allocated_count),
            share(sums.freed_bytes, sums.allocated_bytes),
        ]);
    }
    for (row, (frame, _)) in rows.begin(page).iter().zip(leading) {
        let name = frame.map_or("(no frames were recorded)".into(), label);
        page.line(&format!("{row}{}", shorten_middle(&name, page.width.saturating_sub(columns(row)))));
    }
}
