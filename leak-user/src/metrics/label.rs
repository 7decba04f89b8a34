//! Names that a traced program chose, as labels: inert, and no longer than a page bears.

use std::borrow::Cow;

use crate::{
    report::Frame,
    text::{printable, shorten_middle},
};

/// The most columns of a label.
const LONGEST: usize = 120;

/// A name that is fit for a label.
pub fn name(text: &str) -> String {
    shorten_middle(&printable(text), LONGEST).into_owned()
}

/// What a stack is known by: the innermost function that has a name, or else where its innermost call is.
pub fn function_of(frames: &[Frame]) -> String {
    let named = frames.iter().find_map(|frame| frame.function.as_deref());
    let place = || frames.first().map_or(Cow::Borrowed("unknown"), |frame| frame.place().into());
    name(&named.map_or_else(place, Cow::Borrowed))
}
