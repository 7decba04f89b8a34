//! The types of a process's objects for people: a line of figures each.

use std::io::{self, Write};

use super::type_report::{Told, TypeReport};
use crate::{
    offline::Rows,
    report::{
        Style,
        page::{Ink, Page},
    },
    text::{columns, printable, shorten_middle},
    units::{bytes, count, plural, rate, seconds},
};

/// Columns that a narrow page has no room for.
const SPARE: [usize; 2] = [4, 0];

impl TypeReport {
    /// Writes it.
    pub fn write(&self, style: Style, out: &mut dyn Write) -> io::Result<()> {
        let mut page = Page::new(style);
        let title = format!(
            "Python {} in {} (pid {}): {} in {}, scanned in {:.2} s; stopped: never",
            self.version,
            printable(&self.comm),
            self.pid,
            bytes(self.live_bytes),
            plural(self.live_blocks, "live block"),
            self.scan_s
        );
        page.paragraph("", &title, Ink::Bold);
        for caveat in self.caveats() {
            page.paragraph("", &caveat, Ink::Yellow);
        }
        let order = match self.interval_s {
            Some(interval) => format!("by growth in {}", seconds(interval)),
            None => "by bytes".to_owned(),
        };
        let shown = self.types.len() as u64;
        page.paragraph("", &format!("{} of {}, {order}:", count(shown), plural(self.types_found, "type")), Ink::Plain);
        page.line("");
        let mut rows = if self.interval_s.is_some() {
            Rows::open(&["#", "BYTES", "COUNT", "GROWS", "COUNT/S", "TYPE"], &SPARE)
        } else {
            Rows::open(&["#", "BYTES", "COUNT", "TYPE"], &SPARE[1..])
        };
        for (nth, told) in self.types.iter().enumerate() {
            let figures = [(nth + 1).to_string(), bytes(told.bytes), count(told.count)];
            let growth = told.bytes_per_s.zip(told.count_per_s);
            rows.add(
                figures.into_iter().chain(growth.into_iter().flat_map(|(bytes, count)| [rate(bytes), more(count)])),
            );
        }
        for (row, told) in rows.begin(&mut page).into_iter().zip(&self.types) {
            let room = page.width.saturating_sub(columns(&row));
            let name = page.painted(ink(told), &shorten_middle(&printable(&told.name), room));
            page.line(&format!("{row}{name}"));
        }
        out.write_all(page.text.as_bytes())
    }

    /// What makes the figures less than sure.
    fn caveats(&self) -> Vec<String> {
        let mut caveats = Vec::new();
        if self.swapped_bytes > 0 {
            let swapped = bytes(self.swapped_bytes);
            caveats.push(format!("{swapped} of it are swapped out, where objects are not counted"));
        }
        if self.doubtful_pools > 0 {
            let pools = plural(self.doubtful_pools, "pool");
            caveats.push(format!(
                "{pools} of blocks changed while they were read, so some of their objects are not told right"
            ));
        }
        caveats
    }
}

fn ink(told: &Told) -> Ink {
    if told.bytes_per_s.is_some_and(|growth| growth >= 1.0) { Ink::Yellow } else { Ink::Plain }
}

/// A trend in things a second, with its sign.
fn more(per_s: f64) -> String {
    let sign = if per_s < 0.0 { '-' } else { '+' };
    match per_s.abs() {
        whole @ 10.0.. => format!("{sign}{}", count(whole.round() as u64)),
        few if few >= 0.05 => format!("{sign}{few:.1}"),
        _ => "0".to_owned(),
    }
}
