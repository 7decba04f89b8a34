//! The page a table is written on: its width, its colours and its folded paragraphs.
//!
//! Promises that colour is put around text that already has its place. Leaves out what the text says.

use super::super::Verdict;
use crate::text::fold;

/// How a table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal, to be filled at most; fewer than 40 count as 40.
    pub width: u16,
    /// Whether to use ANSI colours.
    pub colour: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { width: 80, colour: false }
    }
}

/// What a text is, and so how it is coloured.
#[derive(Clone, Copy)]
pub enum Ink {
    Plain,
    Bold,
    Dim,
    Red,
    Yellow,
}

impl Ink {
    /// How a verdict is coloured.
    pub const fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Leak => Self::Red,
            Verdict::Growing => Self::Yellow,
            Verdict::Plateau | Verdict::Churn | Verdict::New => Self::Plain,
        }
    }
}

/// The text so far. Colour is put around text that already has its place, so it cannot move anything.
pub struct Page {
    pub text: String,
    pub width: usize,
    pub colour: bool,
}

impl Page {
    /// An empty page.
    pub fn new(style: Style) -> Self {
        Self { text: String::new(), width: usize::from(style.width.max(40)), colour: style.colour }
    }

    /// Adds a line.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The text in its colour, if there is any.
    pub fn painted(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Red => "1;31",
            Ink::Yellow => "33",
            Ink::Plain => return text.to_owned(),
        };
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Text after a key, folded between words with the key's width as its margin.
    pub fn paragraph(&mut self, key: &str, text: &str, ink: Ink) {
        let margin = if key.is_empty() { 0 } else { KEY_WIDTH };
        let mut key = self.painted(Ink::Dim, key) + &" ".repeat(margin.saturating_sub(key.len()));
        for line in fold(text, self.width - margin) {
            let line = key + &self.painted(ink, &line);
            self.line(&line);
            key = " ".repeat(margin);
        }
    }
}

/// Columns that the keys of the header take.
pub const KEY_WIDTH: usize = 9;
