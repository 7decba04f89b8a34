//! What the terminal is told of a session: its functions, its calls as a tree, and its figures.
//!
//! Each is given a [`View`](crate::session::View) and writes one page in the form of the live table: the same header, the
//! same columns, the same words. Nothing is computed that is not shown. Leaves out where the view comes from and where
//! the page goes.

mod chain;
mod events;
mod figures;
mod head;
mod rows;
mod site;
mod stats;
mod summary;
mod sums;
mod tree;

pub(crate) use chain::{Direction, chain};
pub use events::events;
pub(crate) use figures::signed;
pub(crate) use head::head;
pub(crate) use rows::Rows;
pub(crate) use site::{Key, bare, label, names, outside_brackets, site};
pub use stats::stats;
pub use summary::summary;
pub use tree::tree;

#[cfg(test)]
pub(crate) mod tests;
