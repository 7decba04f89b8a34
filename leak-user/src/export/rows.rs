//! The view as one table, that CSV and Parquet share: a row a stack and snapshot, stack by stack.
//!
//! Promises that both have the same columns in the same order. What is said of a stack as a whole (verdict, age, names)
//! stands in each of its rows. Leaves out how a cell is written.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    report::{Frame, folded},
    session::{Point, Snapshot, StackView, View},
};

/// A column.
pub struct Column {
    /// Its name: that of the JSON report, where that has the figure.
    pub name: &'static str,
    /// What is in it.
    pub cell: Cell,
}

/// How to get a cell of a row.
#[derive(Clone, Copy)]
pub enum Cell {
    /// A whole number.
    Integer(fn(&Row<'_>) -> Option<u64>),
    /// A number.
    Real(fn(&Row<'_>) -> f64),
    /// Yes or no.
    Flag(fn(&Row<'_>) -> bool),
    /// The snapshot's time.
    Time,
    /// Text, spelled as the table was asked to.
    Text(for<'t> fn(&Row<'t>) -> Option<&'t str>),
}

/// A stack at a snapshot.
#[derive(Clone, Copy)]
pub struct Row<'t> {
    /// The snapshot.
    pub moment: &'t Moment,
    entry: &'t Entry<'t>,
    point: &'t Point,
}

/// A snapshot.
pub struct Moment {
    /// RFC 3339, as the session has it.
    pub time: String,
    /// The same in microseconds since 1970, if it is a time.
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "only Parquet has times of its own"))]
    pub unix_us: Option<i64>,
    number: u32,
    elapsed_s: f64,
    label: Option<String>,
}

/// A stack.
struct Entry<'v> {
    stack: &'v StackView,
    comm: Option<String>,
    function: Option<String>,
    module: Option<String>,
    file: Option<String>,
    frames: String,
}

/// All rows.
pub struct Table<'v> {
    moments: Vec<Moment>,
    entries: Vec<Entry<'v>>,
}

/// The columns. `function`, `module`, `file` and `line` are of the first frame, the allocator's caller; `frames` are
/// all, as a folded stack: outermost first.
pub const COLUMNS: [Column; 27] = [
    column("snapshot", Cell::Integer(|row| Some(row.moment.number.into()))),
    column("time", Cell::Time),
    column("elapsed_s", Cell::Real(|row| row.moment.elapsed_s)),
    column("label", Cell::Text(|row| row.moment.label.as_deref())),
    column("pid", Cell::Integer(|row| Some(row.entry.stack.pid.into()))),
    column("comm", Cell::Text(|row| row.entry.comm.as_deref())),
    column("stack", Cell::Text(|row| Some(&row.entry.stack.id))),
    column("outstanding_bytes", Cell::Integer(|row| Some(row.point.outstanding_bytes))),
    column("outstanding_count", Cell::Integer(|row| Some(row.point.outstanding_count))),
    column("outstanding_bytes_stderr", Cell::Integer(|row| Some(row.point.bytes_stderr))),
    column("unknown_bytes", Cell::Integer(|row| Some(row.point.unknown_bytes))),
    column("unknown_count", Cell::Integer(|row| Some(row.point.unknown_count))),
    column("freed_bytes", Cell::Integer(|row| Some(row.point.freed_bytes))),
    column("freed_count", Cell::Integer(|row| Some(row.point.freed_count))),
    column("allocated_bytes", Cell::Integer(|row| Some(row.point.allocated_bytes()))),
    column("allocated_count", Cell::Integer(|row| Some(row.point.allocated_count()))),
    column("bytes_per_s", Cell::Real(|row| row.entry.stack.judgement.bytes_per_s)),
    column("oldest_s", Cell::Real(|row| row.entry.stack.oldest_s)),
    column("verdict", Cell::Text(|row| Some(row.entry.stack.judgement.verdict.name()))),
    column("confidence", Cell::Real(|row| row.entry.stack.judgement.confidence)),
    column("why", Cell::Text(|row| Some(&row.entry.stack.judgement.why))),
    column("complete", Cell::Flag(|row| row.entry.stack.complete)),
    column("function", Cell::Text(|row| row.entry.function.as_deref())),
    column("module", Cell::Text(|row| row.entry.module.as_deref())),
    column("file", Cell::Text(|row| row.entry.file.as_deref())),
    column("line", Cell::Integer(|row| row.entry.stack.frames.first()?.line.map(u64::from))),
    column("frames", Cell::Text(|row| Some(&row.entry.frames))),
];

const fn column(name: &'static str, cell: Cell) -> Column {
    Column { name, cell }
}

impl<'v> Table<'v> {
    /// The table of a view. `spell` is given every name that the target, or a person, chose.
    pub fn of(view: &'v View, spell: fn(&str) -> String) -> Self {
        Self {
            moments: view.snapshots.iter().map(|snapshot| Moment::of(snapshot, spell)).collect(),
            entries: view.stacks.iter().map(|stack| Entry::of(view, stack, spell)).collect(),
        }
    }

    /// Its rows.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.entries.iter().flat_map(|entry| {
            let moments = self.moments.iter().zip(&entry.stack.points);
            moments.map(move |(moment, point)| Row { moment, entry, point })
        })
    }
}

impl Moment {
    fn of(snapshot: &Snapshot, spell: fn(&str) -> String) -> Self {
        let report = &snapshot.report;
        Self {
            time: report.time.clone(),
            unix_us: unix_us(&report.time),
            number: snapshot.number,
            elapsed_s: report.elapsed_s,
            label: report.label.as_deref().map(spell),
        }
    }
}

impl<'v> Entry<'v> {
    fn of(view: &View, stack: &'v StackView, spell: fn(&str) -> String) -> Self {
        let processes = &view.last().report.processes;
        let comm = processes.iter().find(|process| process.pid == stack.pid).map(|process| spell(&process.comm));
        let first = stack.frames.first();
        let name = |of: fn(&Frame) -> Option<&str>| first.and_then(of).map(spell);
        Self {
            stack,
            comm,
            function: name(|frame| frame.function.as_deref()),
            module: name(|frame| frame.module.as_deref()),
            file: name(|frame| frame.file.as_deref()),
            frames: folded::elements(&stack.frames).iter().map(|name| spell(name)).collect::<Vec<_>>().join(";"),
        }
    }
}

fn unix_us(time: &str) -> Option<i64> {
    let time: SystemTime = humantime::parse_rfc3339(time).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::sample;

    #[test]
    fn every_stack_has_a_row_at_every_snapshot() {
        let view = sample::redis();
        let table = Table::of(&view, str::to_owned);
        assert_eq!(table.rows().count(), view.stacks.len() * view.snapshots.len());
        let last = table.rows().nth(view.snapshots.len() - 1).unwrap();
        assert_eq!(last.point, &view.stacks[0].last());
        assert_eq!((last.moment.number, last.moment.time.as_str()), (61, "2025-11-21T03:42:00Z"));
        assert_eq!(last.moment.unix_us, Some(1_763_696_520_000_000));
    }

    #[test]
    fn no_two_columns_have_one_name() {
        let mut names = COLUMNS.map(|column| column.name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_stack_without_frames_has_no_first_one() {
        let view = sample::redis();
        let table = Table::of(&view, str::to_owned);
        let row = table.rows().last().unwrap();
        assert_eq!((row.entry.function.as_deref(), row.entry.frames.as_str()), (None, "[no frames]"));
    }
}
