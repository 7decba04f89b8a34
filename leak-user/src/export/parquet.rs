//! The table as Parquet, with a proper type for each column; compressed with Snappy, which every reader knows.
//!
//! Promises that names come as data: as the target wrote them, but for `frames`, whose elements are spelled as in a
//! folded stack. Whole numbers are signed 64-bit, for many readers know no others; what is greater stands as the greatest.
//! What a table says twice costs little: a column of names is a dictionary and numbers of runs.

use std::{fmt::Write as _, io::Write, sync::Arc};

use ::parquet::{
    basic::Compression,
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    file::{
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{parser::parse_message_type, types::Type},
};
use anyhow::{Context, Result};

use super::names;
use super::rows::{COLUMNS, Cell, Row, Table};
use crate::session::View;

/// Rows of a group: what is held in memory of one column at a time.
const GROUP: usize = 1 << 17;

/// Bytes of different names in a group up to which they stand in a dictionary.
const DICTIONARY: usize = 16 << 20;

/// Present, for a column in which a cell may be empty.
const PRESENT: i16 = 1;

/// Writes all rows.
pub fn write(view: &View, out: &mut dyn Write) -> Result<()> {
    out.write_all(&file(view).context("cannot make a Parquet file")?)?;
    Ok(())
}

fn file(view: &View) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_page_size_limit(DICTIONARY)
        .set_created_by(concat!("leaktrace ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema()?), Arc::new(properties))?;
    let table = Table::of(view, |name| names::cut(name).into_owned());
    let mut rows = table.rows();
    loop {
        let group: Vec<Row<'_>> = rows.by_ref().take(GROUP).collect();
        if group.is_empty() {
            break;
        }
        write_group(&group, writer.next_row_group()?)?;
    }
    Ok(writer.into_inner()?)
}

/// The columns' types. A cell may be empty where its text or number may be unknown.
fn schema() -> Result<Type> {
    let mut message = "message leaktrace {".to_owned();
    for column in &COLUMNS {
        let (kind, logical) = match column.cell {
            Cell::Integer(_) => ("optional int64", ""),
            Cell::Real(_) => ("required double", ""),
            Cell::Flag(_) => ("required boolean", ""),
            Cell::Time => ("optional int64", " (TIMESTAMP(MICROS, true))"),
            Cell::Text(_) => ("optional binary", " (STRING)"),
        };
        write!(message, " {kind} {}{logical};", column.name)?;
    }
    message.push('}');
    Ok(parse_message_type(&message)?)
}

fn write_group<W: Write + Send>(rows: &[Row<'_>], mut group: SerializedRowGroupWriter<'_, W>) -> Result<()> {
    for column in &COLUMNS {
        let writer = group.next_column()?.context("there are fewer columns than were declared")?;
        match column.cell {
            Cell::Integer(of) => write_some::<Int64Type>(writer, rows.iter().map(|row| of(row).map(signed)))?,
            Cell::Time => write_some::<Int64Type>(writer, rows.iter().map(|row| row.moment.unix_us))?,
            Cell::Text(of) => {
                let mut shared = Shared::default();
                write_some::<ByteArrayType>(writer, rows.iter().map(|row| of(row).map(|text| shared.bytes(text))))?;
            }
            Cell::Real(of) => write_all::<DoubleType>(writer, rows.iter().map(of))?,
            Cell::Flag(of) => write_all::<BoolType>(writer, rows.iter().map(of))?,
        }
    }
    group.close()?;
    Ok(())
}

/// Writes a column in which every cell is filled.
fn write_all<T: DataType>(mut writer: SerializedColumnWriter<'_>, cells: impl Iterator<Item = T::T>) -> Result<()> {
    writer.typed::<T>().write_batch(&cells.collect::<Vec<_>>(), None, None)?;
    Ok(writer.close()?)
}

/// Writes a column in which cells may be empty.
fn write_some<T: DataType>(
    mut writer: SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<()> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        levels.push(if cell.is_some() { PRESENT } else { 0 });
        values.extend(cell);
    }
    writer.typed::<T>().write_batch(&values, Some(&levels), None)?;
    Ok(writer.close()?)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The text of the row before, for the rows of a stack have one text: it is copied once.
#[derive(Default)]
struct Shared<'t> {
    last: Option<(&'t str, ByteArray)>,
}

impl<'t> Shared<'t> {
    fn bytes(&mut self, text: &'t str) -> ByteArray {
        match &self.last {
            Some((same, bytes)) if std::ptr::eq(*same, text) => bytes.clone(),
            _ => {
                let bytes = ByteArray::from(text);
                self.last = Some((text, bytes.clone()));
                bytes
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ::parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::{Field, Row as Read},
    };
    use prost::bytes::Bytes;

    use super::*;
    use crate::session::sample;

    fn read(view: &View) -> Vec<Read> {
        let reader = SerializedFileReader::new(Bytes::from(file(view).unwrap())).unwrap();
        reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
    }

    fn cell<'r>(row: &'r Read, name: &str) -> &'r Field {
        row.get_column_iter().find(|(column, _)| *column == name).unwrap().1
    }

    #[test]
    fn every_row_comes_back_with_its_types() {
        let view = sample::redis();
        let rows = read(&view);
        assert_eq!(rows.len(), view.stacks.len() * view.snapshots.len());
        let last = &rows[view.snapshots.len() - 1];
        assert_eq!(cell(last, "outstanding_bytes"), &Field::Long(view.stacks[0].last().outstanding_bytes as i64));
        assert_eq!(cell(last, "time"), &Field::TimestampMicros(1_763_696_520_000_000));
        assert_eq!(cell(last, "confidence"), &Field::Double(0.97));
        assert_eq!(cell(last, "verdict"), &Field::Str("leak".into()));
        assert_eq!(cell(last, "complete"), &Field::Bool(true));
        assert_eq!(cell(last, "label"), &Field::Null);
        assert_eq!(cell(&rows[10], "label"), &Field::Str("warm".into()));
        assert_eq!(cell(rows.last().unwrap(), "function"), &Field::Null);
    }

    #[test]
    fn hostile_names_come_back_as_they_were_and_have_an_end() {
        let view = sample::hostile();
        let rows = read(&view);
        let known = view.stacks[0].frames[0].function.clone().unwrap();
        assert_eq!(cell(&rows[0], "function"), &Field::Str(known));
        let Field::Str(long) = cell(&rows[view.snapshots.len()], "function") else { panic!("no name") };
        assert!(long.len() <= names::LONGEST);
    }

    #[test]
    fn a_figure_beyond_the_greatest_is_the_greatest() {
        let mut view = sample::redis();
        view.stacks[0].points[0].outstanding_bytes = u64::MAX;
        assert_eq!(cell(&read(&view)[0], "outstanding_bytes"), &Field::Long(i64::MAX));
    }

    #[test]
    fn a_view_without_stacks_is_a_table_without_rows() {
        let mut view = sample::redis();
        view.stacks.clear();
        assert!(read(&view).is_empty());
    }
}
