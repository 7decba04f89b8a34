//! One page of HTML that shows a part of a session: the verdict, memory over time, every stack, flame graphs, ages, and two
//! snapshots side by side.
//!
//! Promises one file that works where it lies, without a network: its policy allows its own script and style by their
//! hashes and nothing else. All that a target chose is data, made fit for a terminal first, without a character that
//! could end the data, and set as text. Leaves out stacks beyond [`MOST_STACKS`], which it says, and what only programs
//! want: for those there is JSON.

mod data;
mod facts;
mod interpreters;
mod names;
mod verdict;

use std::io::{self, Write};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use sha2::{Digest as _, Sha256};

use crate::session::View;
pub use data::MOST_STACKS;
pub use verdict::{Headline, headline};

/// The page without style, script and data: their places are named in double braces.
const PAGE: &str = include_str!("page.html");

const STYLE: &str = include_str!("page.css");

/// In the order in which they use each other.
const SCRIPT: &str = concat!(
    include_str!("script/units.js"),
    include_str!("script/dom.js"),
    include_str!("script/data.js"),
    include_str!("script/chart.js"),
    include_str!("script/bars.js"),
    include_str!("script/table.js"),
    include_str!("script/python.js"),
    include_str!("script/stacks.js"),
    include_str!("script/growth.js"),
    include_str!("script/tree.js"),
    include_str!("script/flame.js"),
    include_str!("script/compare.js"),
    include_str!("page.js"),
);

/// Writes the page of a view. It does not flush.
pub fn html(view: &View, out: &mut dyn Write) -> io::Result<()> {
    let mut pieces = PAGE.split("{{");
    out.write_all(pieces.next().unwrap_or_default().as_bytes())?;
    for piece in pieces {
        let (place, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        match place {
            "style" => out.write_all(STYLE.as_bytes())?,
            "script" => out.write_all(SCRIPT.as_bytes())?,
            "style hash" => out.write_all(hash(STYLE).as_bytes())?,
            "script hash" => out.write_all(hash(SCRIPT).as_bytes())?,
            _ => data::write(view, out)?,
        }
        out.write_all(rest.as_bytes())?;
    }
    Ok(())
}

/// As a content security policy names an inline script or style.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests;
