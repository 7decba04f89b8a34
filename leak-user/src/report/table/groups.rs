//! The groups of processes as lines of figures, between the header and the stacks.

use comfy_table::{CellAlignment, Table, presets};

use super::{
    super::{Group, Groups},
    page::{Ink, Page},
};
use crate::{
    text::{columns, printable, shorten_middle},
    units::{bytes, count, rate},
};

/// Groups that are shown; of more it gives the number.
const SHOWN: usize = 20;

/// A name is shown with so many columns at least.
const SHORTEST_NAME: usize = 12;

/// Writes the groups.
pub fn groups(page: &mut Page, groups: &Groups) {
    page.line("");
    let rows = rows(groups, page.width);
    for (n, row) in rows.iter().enumerate() {
        let line = if n == 0 { page.painted(Ink::Bold, row) } else { row.clone() };
        page.line(&line);
    }
    if let Some(more @ 1..) = groups.groups.len().checked_sub(SHOWN) {
        page.line(&format!("and {} more", count(more as u64)));
    }
}

fn rows(groups: &Groups, width: usize) -> Vec<String> {
    let shown = &groups.groups[..groups.groups.len().min(SHOWN)];
    let widest = shown.iter().map(|group| columns(&name(group))).max().unwrap_or(0);
    let mut room = widest.max(SHORTEST_NAME);
    loop {
        let rows = table(groups.by.name(), shown, room);
        let over = rows.iter().map(|row| columns(row)).max().unwrap_or(0).saturating_sub(width);
        if over == 0 || room == SHORTEST_NAME {
            return rows;
        }
        room = room.saturating_sub(over).max(SHORTEST_NAME);
    }
}

fn table(by: &str, groups: &[Group], room: usize) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let titles = ["PROCS", "RSS", "OUTSTANDING", "BLOCKS", "GROWS", "LEAKS"].map(str::to_owned);
    table.set_header([by.to_uppercase()].into_iter().chain(titles));
    for group in groups {
        let stacks = match (group.leaking, group.growing) {
            (0, 0) => "-".to_owned(),
            (leaking, 0) => count(leaking),
            (leaking, growing) => format!("{}+{}", count(leaking), count(growing)),
        };
        let grows = if group.bytes_per_s > 0.0 { rate(group.bytes_per_s) } else { "-".to_owned() };
        table.add_row([
            shorten_middle(&name(group), room).into_owned(),
            count(group.processes),
            bytes(group.rss_bytes),
            bytes(group.held_bytes()),
            count(group.held_count()),
            grows,
            stacks,
        ]);
    }
    for (n, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_cell_alignment(if n == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn name(group: &Group) -> String {
    if group.name.is_empty() { "(not known)".to_owned() } else { printable(&group.name).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            super::{By, sample},
            Style,
        },
        *,
    };
    use crate::text::is_hostile;

    fn written(width: u16, many: usize) -> String {
        let report = sample::redis();
        let mut processes = vec![report.processes[0].clone(); many];
        for (pid, process) in (4242..).zip(&mut processes) {
            process.pid = pid;
            process.comm = format!("worker-{pid}-\u{1b}[2J-of-a-very-long-name-that-nobody-can-read-at-night");
        }
        let told = Groups::of(By::Comm, &processes, report.stacks.iter(), |process| process.comm.clone());
        let mut page = Page::new(Style { width, colour: false });
        groups(&mut page, &told);
        page.text
    }

    #[test]
    fn every_line_fits_and_no_name_does_harm() {
        for width in 80..=200 {
            for line in written(width, 3).lines() {
                assert!(columns(line) <= width.into() && !line.contains(is_hostile), "{width}: {line}");
            }
        }
    }

    #[test]
    fn of_many_it_says_how_many_more_there_are() {
        let text = written(160, 50);
        assert!(text.ends_with("and 30 more\n"), "{text}");
        assert_eq!(text.lines().count(), 1 + 1 + SHOWN + 1);
    }
}
