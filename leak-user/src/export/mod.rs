//! A session's view in the forms that other programs read.
//!
//! Promises that no name of the target acts on what opens the file: a terminal, a spreadsheet. Where names are data
//! (JSON, pprof, speedscope, Parquet) a reader gets back what the target wrote, but for the middle of a name that is
//! absurdly long. Leaves out where it goes: whoever opens the output knows whether a terminal can bear it
//! ([`Format::is_binary`]).

mod csv;
mod json;
mod names;
#[cfg(feature = "parquet")]
mod parquet;
mod pprof;
mod rows;
mod speedscope;

use std::{fmt, io::Write, str::FromStr};

use anyhow::Result;

pub use self::pprof::write_for_server as write_pprof_for_server;
use crate::{
    report::folded,
    session::{View, Weight},
    text::printable,
};

/// The forms a view can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One document: the report of the last snapshot, and what every other one adds.
    Json,
    /// For flame graphs: a stack a line, weighed like this.
    Folded(Weight),
    /// For `pprof`, Pyroscope, Parca: a gzipped `profile.proto` like Go's heap profiles.
    Pprof,
    /// For speedscope.app.
    Speedscope,
    /// For spreadsheets: a stack at a snapshot a line.
    Csv,
    /// For pandas and databases: the same rows.
    Parquet,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Json, Self::Folded(Weight::Outstanding), Self::Pprof, Self::Speedscope, Self::Csv, Self::Parquet];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Folded(_) => "folded",
            Self::Pprof => "pprof",
            Self::Speedscope => "speedscope",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// Whether it is nothing for a terminal.
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::Pprof | Self::Parquet)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    /// Folded stacks are weighed by what is outstanding.
    fn from_str(text: &str) -> Result<Self, String> {
        let format = Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(text));
        format.ok_or_else(|| {
            format!("\"{}\" is not a format: type json, folded, pprof, speedscope, csv or parquet", printable(text))
        })
    }
}

/// Writes the view in this form, whole. It does not flush. Fails only where `out` does, with its error.
pub fn write(format: Format, view: &View, out: &mut dyn Write) -> Result<()> {
    match format {
        Format::Json => json::write(view, out),
        Format::Folded(weight) => {
            let stacks = view.stacks.iter().map(|stack| (stack.pid, stack.frames.as_slice(), weight.of(stack)));
            Ok(folded::write_weighed(&view.last().report.processes, stacks, out)?)
        }
        Format::Pprof => pprof::write(view, out),
        Format::Speedscope => speedscope::write(view, out),
        Format::Csv => csv::write(view, out),
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::write(view, out),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => anyhow::bail!("this leaktrace was compiled without Parquet; export csv, or compile it with"),
    }
}

#[cfg(test)]
mod tests;
