//! What stands below the stacks of a process that runs Python: who holds what grows and which lines add to it, and the
//! types of its objects.
//!
//! Promises one line for each container that a person can repeat from memory. Leaves out what does not grow, and stacks
//! of additions but for the most frequent.

use comfy_table::{CellAlignment, Table, presets};

use super::{
    super::{
        Verdict,
        python::{Addition, Cycle, Holder, Python, Reading, TypeCount, words},
    },
    below::{MARGIN, frame_lines},
    page::{Ink, Page},
};
use crate::{
    text::{columns, printable, shorten_middle},
    units::{bytes, count, percent, plural, rate},
};

/// Containers and cycles that are shown of each process; of more it gives the number.
const HOLDERS_SHOWN: usize = 8;

/// Types that are shown.
const TYPES_SHOWN: usize = 10;

/// Frames that are shown of the most frequent one.
const FRAMES_SHOWN: usize = 6;

/// Writes what is told of interpreters.
pub fn python(page: &mut Page, python: &Python) {
    for interpreter in &python.interpreters {
        page.line("");
        page.paragraph("", &words::about(interpreter), Ink::Bold);
        let holders: Vec<_> = python.holders.iter().filter(|holder| holder.pid == interpreter.pid).collect();
        let cycles: Vec<_> = python.cycles.iter().filter(|cycle| cycle.pid == interpreter.pid).collect();
        if holders.is_empty() && cycles.is_empty() && interpreter.state == Reading::Read {
            page.paragraph("", words::nothing(interpreter), Ink::Plain);
        }
        for told in holders.iter().take(HOLDERS_SHOWN) {
            page.line("");
            holder(page, told);
        }
        for told in cycles.iter().take(HOLDERS_SHOWN) {
            page.line("");
            cycle(page, told);
        }
        if let Some(more @ 1..) = holders.len().checked_sub(HOLDERS_SHOWN) {
            page.line(&format!("and {} more", plural(more as u64, "container")));
        }
        let types: Vec<_> = python.types.iter().filter(|of| of.pid == interpreter.pid).take(TYPES_SHOWN).collect();
        if !types.is_empty() {
            page.line("");
            for (n, row) in rows(&types, page.width).iter().enumerate() {
                let line = if n == 0 { page.painted(Ink::Bold, row) } else { row.clone() };
                page.line(&line);
            }
        }
    }
}

fn holder(page: &mut Page, holder: &Holder) {
    head(page, holder.verdict, holder.confidence, &words::holder(holder));
    below(page, &words::below_holder(holder));
    stack(page, holder.lines());
}

fn cycle(page: &mut Page, cycle: &Cycle) {
    head(page, cycle.verdict, cycle.confidence, &words::cycle(cycle));
    below(page, &words::below_cycle(cycle));
    stack(page, &cycle.added);
}

fn head(page: &mut Page, verdict: Verdict, confidence: f64, text: &str) {
    let sure = if verdict == Verdict::New { String::new() } else { format!(" {}", percent(confidence * 100.0)) };
    page.paragraph("", &format!("{}{sure}  {text}", verdict.name()), Ink::of(verdict));
}

fn below(page: &mut Page, text: &str) {
    for line in crate::text::fold(text, page.width - MARGIN.len()) {
        let line = page.painted(Ink::Dim, &line);
        page.line(&format!("{MARGIN}{line}"));
    }
}

/// The stack of the most frequent addition.
fn stack(page: &mut Page, added: &[Addition]) {
    if let Some(addition) = added.first() {
        frame_lines(page, &addition.frames[..addition.frames.len().min(FRAMES_SHOWN)]);
    }
}

fn rows(types: &[&TypeCount], width: usize) -> Vec<String> {
    const SHORTEST_NAME: usize = 12;
    let widest = types.iter().map(|of| columns(&printable(&of.name))).max().unwrap_or(0);
    let mut room = widest.max(SHORTEST_NAME);
    loop {
        let rows = table(types, room);
        let over = rows.iter().map(|row| columns(row)).max().unwrap_or(0).saturating_sub(width);
        if over == 0 || room == SHORTEST_NAME {
            return rows;
        }
        room = room.saturating_sub(over).max(SHORTEST_NAME);
    }
}

fn table(types: &[&TypeCount], room: usize) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["TYPE", "OBJECTS", "BYTES", "OBJECTS/S", "RATE"]);
    for of in types {
        table.add_row([
            shorten_middle(&printable(&of.name), room).into_owned(),
            count(of.count),
            bytes(of.bytes),
            words::per_second(of.count_per_s),
            rate(of.bytes_per_s),
        ]);
    }
    for (n, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        column.set_cell_alignment(if n == 0 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::python::{Interpreter, sample},
        super::Style,
        *,
    };
    use crate::text::is_hostile;

    fn written(told: &Python, width: u16) -> String {
        let mut page = Page::new(Style { width, colour: false });
        python(&mut page, told);
        page.text
    }

    #[test]
    fn who_holds_it_and_which_line_adds_is_one_sentence() {
        let text = written(&sample::sessions(), 200);
        for said in [
            "Python 3.11.7 in pid 4242: 209.8 MiB in 3,021,334 blocks; read 9 times, the last in 0.3 s while it ran.",
            "leak 97 %  app.SESSIONS (dict) +1,700 entries/s, +310.0 KiB/s: added at remember (app.py:11), 100 % of additions, \
             0 removals\n",
            "    76,500 entries of app.Session; grew in each of 9 readings over 42 s and never shrank\n",
            "growing 80 %  app.Node that nothing holds, +0.4 objects/s",
            "TYPE         OBJECTS",
        ] {
            assert!(text.contains(said), "{said} is not in {text}");
        }
    }

    #[test]
    fn every_line_fits_and_no_name_does_harm() {
        let mut told = sample::sessions();
        let evil = "\x1b]0;x\x07\u{202e}".repeat(100);
        told.holders[0].path = Some(evil.clone());
        told.holders[0].holds = vec![evil.clone()];
        told.holders[0].why.clone_from(&evil);
        told.cycles[0].fields = vec![evil.clone()];
        told.types[0].name = evil.clone();
        told.interpreters[0].why = Some(evil);
        for width in 60..=200 {
            for line in written(&told, width).lines() {
                assert!(columns(line) <= width.into() && !line.contains(is_hostile), "{width}: {line}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let mut told = Python::default();
        told.interpreters.push(Interpreter {
            state: Reading::Refused,
            version: None,
            why: Some("it runs without a global lock".into()),
            ..sample::sessions().interpreters.remove(0)
        });
        assert_eq!(written(&told, 200), "\nPython in pid 4242 is not read: it runs without a global lock.\n");
        told.interpreters[0].state = Reading::Read;
        assert!(written(&told, 200).contains("Nothing that Python code holds grows steadily."));
    }
}
