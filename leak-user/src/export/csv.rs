//! The table as CSV (RFC 4180), for spreadsheets.
//!
//! Promises quoting that every reader undoes, and that no name is a formula: to text that a spreadsheet would take for
//! one an apostrophe is put in front, also behind a `;`, for that is what separates cells in half of the world. Names are
//! written as for a terminal, where such files are looked at too. A figure that is no number is an empty cell.

use std::{
    fmt::{self, Write as _},
    io::Write,
};

use ::csv::{ByteRecord, ErrorKind, Terminator, WriterBuilder};
use anyhow::{Error, Result};

use super::names;
use super::rows::{COLUMNS, Cell, Row, Table};
use crate::{session::View, text::printable};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 16;

/// With these a spreadsheet lets a formula begin; the last four are the wide forms that some read as the others.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Writes a line of names and a line a row.
pub fn write(view: &View, out: &mut dyn Write) -> Result<()> {
    let mut lines = WriterBuilder::new().terminator(Terminator::CRLF).buffer_capacity(BUFFER).from_writer(out);
    lines.write_record(COLUMNS.map(|column| column.name)).map_err(error)?;
    let table = Table::of(view, inert);
    let (mut line, mut figure) = (ByteRecord::new(), String::new());
    for row in table.rows() {
        line.clear();
        for column in &COLUMNS {
            figure.clear();
            line.push_field(text(column.cell, &row, &mut figure)?.as_bytes());
        }
        lines.write_byte_record(&line).map_err(error)?;
    }
    Ok(lines.flush()?)
}

/// What stands in a cell; figures are spelled in `figure`.
fn text<'r>(cell: Cell, row: &Row<'r>, figure: &'r mut String) -> Result<&'r str, fmt::Error> {
    match cell {
        Cell::Text(of) => return Ok(of(row).unwrap_or_default()),
        Cell::Time => return Ok(&row.moment.time),
        Cell::Integer(of) => {
            if let Some(number) = of(row) {
                write!(figure, "{number}")?;
            }
        }
        Cell::Real(of) => {
            let number = of(row);
            if number.is_finite() {
                write!(figure, "{number}")?;
            }
        }
        Cell::Flag(of) => write!(figure, "{}", of(row))?,
    }
    Ok(figure)
}

/// A name that nothing acts on, not even where its `;` separate cells.
fn inert(name: &str) -> String {
    let name = names::cut(name);
    let parts = name.split(';').map(|part| {
        let guard = if part.trim_start().starts_with(FORMULA) { "'" } else { "" };
        format!("{guard}{}", printable(part))
    });
    parts.collect::<Vec<_>>().join(";")
}

/// What went wrong: mostly it is the output's own error, which callers look at.
fn error(error: ::csv::Error) -> Error {
    match error.into_kind() {
        ErrorKind::Io(error) => error.into(),
        other => Error::msg(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use ::csv::{ReaderBuilder, StringRecord};

    use super::*;
    use crate::{session::sample, text::is_hostile};

    fn written(view: &View) -> String {
        let mut out = Vec::new();
        write(view, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn read(text: &str) -> Vec<StringRecord> {
        ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes()).records().map(Result::unwrap).collect()
    }

    fn place(name: &str) -> usize {
        COLUMNS.iter().position(|column| column.name == name).unwrap()
    }

    #[test]
    fn a_line_names_the_columns_and_each_row_has_all_of_them() {
        let view = sample::redis();
        let lines = read(&written(&view));
        assert_eq!(lines.len(), 1 + view.stacks.len() * view.snapshots.len());
        assert!(lines[0].iter().eq(COLUMNS.iter().map(|column| column.name)));
        let row = &lines[view.snapshots.len()];
        assert_eq!(&row[place("stack")], view.stacks[0].id);
        assert_eq!(row[place("outstanding_bytes")], view.stacks[0].last().outstanding_bytes.to_string());
        assert_eq!((&row[place("verdict")], &row[place("confidence")]), ("leak", "0.97"));
        assert_eq!((&row[place("label")], &row[place("complete")]), ("", "true"));
        assert!(row[place("frames")].starts_with("_start;") && row[place("frames")].ends_with(";je_malloc"));
    }

    #[test]
    fn lines_end_and_quotes_are_doubled_as_the_standard_says() {
        let mut view = sample::redis();
        view.stacks[0].frames[0].function = Some("f(\"a\", b)".to_owned());
        let text = written(&view);
        assert!(text.split_inclusive('\n').all(|line| line.ends_with("\r\n")));
        assert!(text.contains(",\"f(\"\"a\"\", b)\","));
    }

    #[test]
    fn no_cell_of_a_hostile_view_is_a_formula_or_reaches_the_terminal_raw() {
        let mut view = sample::hostile();
        let formulas = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "＝1", "a;=1", "\u{200b}=1"];
        for (frame, formula) in view.stacks[0].frames.iter_mut().zip(formulas) {
            frame.function = Some(formula.to_owned());
        }
        let mut snapshots = view.snapshots.iter_mut();
        for (formula, snapshot) in formulas.iter().zip(&mut snapshots) {
            snapshot.report.label = Some((*formula).to_owned());
        }
        let text = written(&view);
        assert!(!text.contains(|c: char| is_hostile(c) && c != '\r' && c != '\n'));
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
        let signed = place("bytes_per_s");
        for row in read(&text) {
            for (_, cell) in row.iter().enumerate().filter(|(place, _)| *place != signed) {
                assert!(cell.split(';').all(|part| !part.trim_start().starts_with(FORMULA)), "{cell}");
                assert!(cell.len() < 100_000);
            }
        }
        assert_eq!(inert("=1;+2;x"), "'=1;'+2;x");
    }

    #[test]
    fn a_figure_that_is_no_number_is_an_empty_cell() {
        let mut view = sample::redis();
        view.stacks[0].judgement.bytes_per_s = f64::NAN;
        view.stacks[0].oldest_s = f64::INFINITY;
        let row = &read(&written(&view))[1];
        assert_eq!((&row[place("bytes_per_s")], &row[place("oldest_s")]), ("", ""));
    }
}
