//! Figures in columns, as the live table has them: titles, a rule, and rows of which none is ever wrapped.

use comfy_table::{CellAlignment, Table, presets};

use crate::{
    report::page::{Ink, Page},
    text::columns,
};

/// Columns that are kept for what the caller puts behind the figures.
const LEAST_OPEN: usize = 20;

/// Stands where the caller puts what is last.
const OPEN: &str = "·";

/// Rows that are being put together.
pub struct Rows {
    titles: Vec<&'static str>,
    cells: Vec<Vec<String>>,
    /// Columns that may go where there is no room, the first of them first.
    spare: &'static [usize],
    open: bool,
}

impl Rows {
    /// Rows of figures; what stands last is to the left, all others to the right.
    pub fn new(titles: &[&'static str], spare: &'static [usize]) -> Self {
        Self { titles: titles.to_vec(), cells: Vec::new(), spare, open: false }
    }

    /// The same, but for the last column: it is the caller's to fill, once its room is known.
    pub fn open(titles: &[&'static str], spare: &'static [usize]) -> Self {
        Self { open: true, ..Self::new(titles, spare) }
    }

    /// Adds a row; without the last column if that is open.
    pub fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        self.cells.push(cells.into_iter().chain(self.open.then(|| OPEN.to_owned())).collect());
    }

    /// Writes the titles and a rule below them, and gives back the other lines as far as they are known.
    pub fn begin(self, page: &mut Page) -> Vec<String> {
        let width = if self.open { page.width.saturating_sub(LEAST_OPEN) } else { page.width };
        let mut lines = self.table(0);
        for spared in 1..=self.spare.len() {
            let widest = lines[1..].iter().chain((!self.open).then_some(&lines[0])).map(|line| columns(line)).max();
            if widest.unwrap_or(0) <= width {
                break;
            }
            lines = self.table(spared);
        }
        let mut rows = lines.split_off(1);
        page.line(&page.painted(Ink::Bold, &lines[0]));
        let widest = lines.iter().chain(&rows).map(|line| columns(line)).max().unwrap_or(0);
        let widest = if self.open { widest + LEAST_OPEN } else { widest };
        page.line(&page.painted(Ink::Dim, &"─".repeat(widest.min(page.width))));
        if self.open {
            for row in &mut rows {
                row.truncate(row.len() - OPEN.len());
            }
        }
        rows
    }

    /// The aligned lines, titles first, without so many of the spare columns.
    fn table(&self, spared: usize) -> Vec<String> {
        let kept = |column: &usize| !self.spare[..spared].contains(column);
        let last = self.titles.len() - 1;
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header((0..=last).filter(kept).map(|column| self.titles[column]));
        for row in &self.cells {
            table.add_row((0..=last).filter(kept).map(|column| row[column].as_str()));
        }
        let last = table.column_count() - 1;
        for (n, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, if n == last { 0 } else { 2 }));
            column.set_cell_alignment(if n == last { CellAlignment::Left } else { CellAlignment::Right });
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}
