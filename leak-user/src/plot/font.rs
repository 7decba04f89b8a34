//! The one font that pictures are labelled with: `DejaVu` Sans, of which the file here has Latin, Greek and Cyrillic.

use std::sync::LazyLock;

use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// See LICENSE-DEJAVU beside it.
static FILE: &[u8] = include_bytes!("dejavu_sans.ttf");

static FACE: LazyLock<Face<'static>> = LazyLock::new(|| Face::parse(FILE, 0).expect("the font is part of the program"));

/// What stands for a letter that the font does not have.
const MISSING: char = '\u{fffd}';

/// Stands for what was left out.
const CUT: &str = "…";

/// Pixels that a text takes at a size.
pub fn width(text: &str, size: f32) -> f32 {
    text.chars().map(|letter| advance(letter, size)).sum()
}

fn advance(letter: char, size: f32) -> f32 {
    f32::from(FACE.glyph_hor_advance(glyph(letter)).unwrap_or(0)) * scale(size)
}

fn glyph(letter: char) -> GlyphId {
    FACE.glyph_index(letter).or_else(|| FACE.glyph_index(MISSING)).unwrap_or_default()
}

fn scale(size: f32) -> f32 {
    size / f32::from(FACE.units_per_em())
}

/// The text in at most so many pixels: if it has more, its middle gives way to `…`.
pub fn fitting(text: &str, size: f32, room: f32) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let room = room - width(CUT, size);
    let within = |letters: &mut dyn Iterator<Item = char>, mut room: f32| {
        let fits = |letter: &char| {
            room -= advance(*letter, size);
            room >= 0.0
        };
        letters.take_while(fits).collect::<Vec<_>>()
    };
    let head = within(&mut text.chars(), room / 2.0);
    let mut tail = within(&mut text.chars().rev(), room / 2.0);
    tail.reverse();
    head.into_iter().chain(CUT.chars()).chain(tail).collect()
}

/// Gives the outlines of a text that begins at a point on its baseline to a pen.
pub fn outline(text: &str, size: f32, (mut x, y): (f32, f32), pen: &mut dyn Pen) {
    for letter in text.chars() {
        FACE.outline_glyph(glyph(letter), &mut Placed { x, y, scale: scale(size), pen });
        x += advance(letter, size);
    }
}

/// What draws outlines.
pub trait Pen {
    fn move_to(&mut self, x: f32, y: f32);
    fn line_to(&mut self, x: f32, y: f32);
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32);
    fn close(&mut self);
}

/// Turns the font's units, upwards, into pixels, downwards.
struct Placed<'pen> {
    x: f32,
    y: f32,
    scale: f32,
    pen: &'pen mut dyn Pen,
}

impl Placed<'_> {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlineBuilder for Placed<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.pen.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.pen.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.pen.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, _: f32, _: f32, x2: f32, y2: f32, x: f32, y: f32) {
        // TrueType outlines have none.
        self.quad_to(x2, y2, x, y);
    }

    fn close(&mut self) {
        self.pen.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_too_wide_loses_its_middle() {
        let text = "std::vector<int>::push_back";
        assert_eq!(fitting(text, 12.0, 400.0), text);
        let cut = fitting(text, 12.0, 100.0);
        assert!(cut.starts_with("std") && cut.ends_with("ck") && width(&cut, 12.0) <= 100.0, "{cut}");
        assert_eq!(fitting(text, 12.0, 1.0), "…");
    }

    #[test]
    fn letters_that_the_font_lacks_take_the_room_of_their_stand_in() {
        assert!(width("名", 12.0) > 5.0 && (width("名", 12.0) - width("\u{fffd}", 12.0)).abs() < 1e-6);
    }
}
