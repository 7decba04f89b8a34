//! Plots of a session: a picture of each stack that has grown most, one of the whole, and what they mean in words.
//!
//! [`write_all`] promises files that can be attached to a ticket: PNG and SVG of the same drawing, `report.txt` that names
//! them, and no name that the target chose outside its place, be it in a picture or in a file's name. Leaves out
//! letters beyond Latin, Greek and Cyrillic in PNG, which are drawn as � there; it has one font in it, so that pictures are
//! the same on every machine.
//!
//! A drawing is a list of lines, areas and texts, laid out once and written twice. That takes `tiny-skia` for the picture
//! and `ttf-parser` for the letters. A plotting library would take more packages and less care with labels, and to
//! rasterize the SVG itself takes three times as many.

mod axis;
mod chart;
mod drawing;
mod files;
mod font;
mod png;
mod stack;
mod svg;
mod whole;
mod words;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::session::{StackView, View};
use chart::Chart;

/// Writes plots of the whole and of the `top` stacks that have grown most into a directory, which is made if there is none.
///
/// One with files in it is left alone, unless with `force`: then files of the same names are replaced, and others stay. Gives
/// back what was written, `report.txt` last. Errors name the file or directory and what to do.
pub fn write_all(view: &View, directory: &Path, top: usize, force: bool) -> Result<Vec<PathBuf>> {
    files::prepare(directory, force)?;
    let stacks = grown(view, top);
    let names: Vec<_> = stacks.iter().enumerate().map(|(n, stack)| files::name(n + 1, stack)).collect();
    let mut written = draw(directory, files::WHOLE, &whole::chart(view))?.to_vec();
    for (stack, name) in stacks.iter().zip(&names) {
        written.extend(draw(directory, name, &stack::chart(view, stack))?);
    }
    written.push(files::write(directory, "report.txt", words::report(view, &stacks, &names).as_bytes())?);
    Ok(written)
}

/// The stacks that held anything, those that have grown most first.
fn grown(view: &View, top: usize) -> Vec<&StackView> {
    let held = |stack: &&StackView| stack.points.iter().any(|point| point.held_bytes() > 0);
    let mut stacks: Vec<_> = view.stacks.iter().filter(held).collect();
    stacks.sort_by_key(|stack| std::cmp::Reverse((stack.growth_bytes(), stack.last().held_bytes())));
    stacks.truncate(top);
    stacks
}

fn draw(directory: &Path, name: &str, chart: &Chart) -> Result<[PathBuf; 2]> {
    let drawing = chart.drawing();
    let png = files::write(directory, &format!("{name}.png"), &png::encoded(&drawing)?)?;
    let svg = files::write(directory, &format!("{name}.svg"), svg::written(&drawing).as_bytes())?;
    Ok([png, svg])
}
