//! A picture as a list of lines, areas and texts, in pixels from the upper left.

/// A colour, without transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour(pub u8, pub u8, pub u8);

impl Colour {
    pub const WHITE: Self = Self(255, 255, 255);
    pub const TEXT: Self = Self(0x22, 0x26, 0x2b);
    pub const FAINT: Self = Self(0x5c, 0x64, 0x6d);
    pub const GRID: Self = Self(0xe2, 0xe5, 0xe9);
    pub const MARK: Self = Self(0x8b, 0x93, 0x9c);
    // Okabe and Ito's, which people tell apart whatever colours they see; the orange darker, for thin lines on white.
    pub const BLUE: Self = Self(0x00, 0x72, 0xb2);
    pub const RED: Self = Self(0xd5, 0x3e, 0x00);
    pub const ORANGE: Self = Self(0xc9, 0x84, 0x00);
    pub const GREEN: Self = Self(0x00, 0x8a, 0x64);
    pub const PURPLE: Self = Self(0xa8, 0x50, 0x82);
}

/// A point in pixels.
pub type At = (f32, f32);

/// Which part of a text stands where it is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// What is drawn, over what came before it.
#[derive(Clone, Debug)]
pub enum Shape {
    Line {
        points: Vec<At>,
        colour: Colour,
        width: f32,
        dash: Option<[f32; 2]>,
    },
    Area {
        points: Vec<At>,
        colour: Colour,
        opacity: f32,
    },
    /// Printable text on its baseline.
    Text {
        at: At,
        text: String,
        size: f32,
        anchor: Anchor,
        colour: Colour,
    },
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// What it shows, for those who do not see it.
    pub title: String,
    pub shapes: Vec<Shape>,
}
