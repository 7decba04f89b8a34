//! A look at one process: leaktrace itself, started once more, for a while and into a session that stays on a shelf.
//!
//! A process of its own, so that whatever it meets in another's memory ends no more than the look, and who began it stays as
//! small as it was. It keeps to its budget by itself. Leaves out who is looked at and when: `watch` decides by what grows,
//! `sample` is told.

mod finding;
mod running;
mod shelf;

use std::time::Duration;

pub use finding::{Finding, Top};
pub use running::{Look, Manner, Outcome, Running, begin};
pub use shelf::Shelf;

/// When told to stop, looks that are under way have this long for their last report.
pub const LAST_WORDS: Duration = Duration::from_millis(1500);
