//! What the kept sessions of a service tell together: over days and builds, what is new, what got worse, what was fixed.
//!
//! Sessions are read one at a time, those that are asked for as a whole and of others the last snapshot's head alone, so
//! that hundreds are told quickly. Stacks are the same by [`diff`](crate::diff)'s rule, within one program. A leak counts as
//! fixed only where a session could have seen it: it was watched for as long as one that did, and as finely as that
//! takes. Leaves out whether the service did the same work in each.

mod kept;
mod leaks;
mod page;
mod series;
mod services;
mod story;
#[cfg(test)]
mod tests;

pub use kept::{Kept, read};
pub use leaks::{Leak, Sighting, State};
pub use services::{Service, Services};
pub use story::{Overall, Story, Told};

/// The schema of a [`Services`] or a [`Story`] as JSON.
pub const SCHEMA: &str = "leaktrace.history/1";
