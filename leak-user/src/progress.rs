//! What goes on when it takes long: a line on a terminal, gone when it is done. Never in a pipe.

use std::{
    io::{IsTerminal, Write},
    path::Path,
    time::{Duration, Instant},
};

use crate::text::printable;

/// What is over sooner is not worth a line.
const LONG: Duration = Duration::from_millis(300);

/// A line that stands as long as this does.
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Says that something is being done with a file.
    pub fn begin(what: &str, path: &Path) -> Self {
        let mut progress = Self { is_shown: false };
        progress.show(&format!("{what} {} ...", printable(&path.to_string_lossy())));
        progress
    }

    fn show(&mut self, text: &str) {
        let mut out = std::io::stderr();
        if out.is_terminal() {
            // Back to the beginning of the line, and nothing on it.
            let _ = write!(out, "\r\x1b[K{text}");
            let _ = out.flush();
            self.is_shown = true;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// Steps that mostly take no time, but can take long.
pub struct Steps {
    what: &'static str,
    all: usize,
    done: usize,
    shown: Instant,
    line: Progress,
}

impl Steps {
    /// Of so many.
    pub fn of(what: &'static str, all: usize) -> Self {
        Self { what, all, done: 0, shown: Instant::now(), line: Progress { is_shown: false } }
    }

    /// One more is done.
    pub fn step(&mut self) {
        self.done += 1;
        if self.shown.elapsed() >= LONG {
            self.line.show(&format!("{} {} of {} ...", self.what, self.done, self.all));
            self.shown = Instant::now();
        }
    }
}
