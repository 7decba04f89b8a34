//! Who holds what grows: from two scans and more of an interpreter's heap to names in the program.
//!
//! [`Scan::of`] keeps little of a heap; [`growth`] compares scans; [`name`] says by which path the program reaches a
//! container that grows, [`Contents::of`] what is in it, and [`unreached`] which cycles keep objects that nothing
//! reaches. None of it waits, writes, or reads more than a bound that its constants name.

mod contents;
mod cycles;
mod growth;
mod names;
mod path;
mod scan;
mod trend;
mod visited;
mod walk;

pub use contents::{Contents, Share, is_torn};
pub use cycles::{Cycle, Link, Unreached, unreached};
pub use growth::{ContainerGrowth, Growing, TypeGrowth, growth};
pub use names::name;
pub use path::{Path, Scope};
pub use scan::{Scan, TypeCount};
pub use trend::{Trend, Trust};
pub use walk::{Ended, Limits, Walk};
