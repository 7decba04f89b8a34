//! What goes on when it takes long: a line on a terminal, gone when it is done. Never in a pipe.

use std::{
    io::{IsTerminal, Write},
    path::Path,
};

use crate::text::printable;

/// A line that stands as long as this does.
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Says that something is being done with a file.
    pub fn begin(what: &str, path: &Path) -> Self {
        let mut out = std::io::stderr();
        let is_shown = out.is_terminal();
        if is_shown {
            let _ = write!(out, "{what} {} ...", printable(&path.to_string_lossy()));
            let _ = out.flush();
        }
        Self { is_shown }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            // Back to the beginning of the line, and nothing on it.
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
