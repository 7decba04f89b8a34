//! A drawing as PNG, one pixel of it a pixel.

use anyhow::{Context, Result};
use tiny_skia::{Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Stroke, StrokeDash, Transform};

use super::{
    drawing::{Anchor, At, Colour, Drawing, Shape},
    font::{self, Pen},
};

/// The drawing as a whole file. An error is of a drawing without extent.
pub fn encoded(drawing: &Drawing) -> Result<Vec<u8>> {
    let mut pixels = Pixmap::new(drawing.width, drawing.height).context("a picture has no extent")?;
    pixels.fill(solid(Colour::WHITE, 1.0));
    for shape in &drawing.shapes {
        draw(shape, &mut pixels);
    }
    pixels.encode_png().context("a picture cannot be encoded as PNG")
}

fn draw(shape: &Shape, pixels: &mut Pixmap) {
    let by = Transform::identity();
    match shape {
        Shape::Line { points, colour, width, dash } => {
            let stroke = Stroke {
                width: *width,
                line_cap: LineCap::Butt,
                line_join: LineJoin::Round,
                dash: dash.and_then(|dash| StrokeDash::new(dash.to_vec(), 0.0)),
                ..Stroke::default()
            };
            if let Some(path) = path(points, false) {
                pixels.stroke_path(&path, &paint(*colour, 1.0), &stroke, by, None);
            }
        }
        Shape::Area { points, colour, opacity } => {
            if let Some(path) = path(points, true) {
                pixels.fill_path(&path, &paint(*colour, *opacity), FillRule::Winding, by, None);
            }
        }
        Shape::Text { at: (x, y), text, size, anchor, colour } => {
            let width = font::width(text, *size);
            let start = match anchor {
                Anchor::Start => *x,
                Anchor::Middle => x - width / 2.0,
                Anchor::End => x - width,
            };
            let mut pen = Outline(PathBuilder::new());
            font::outline(text, *size, (start, *y), &mut pen);
            if let Some(path) = pen.0.finish() {
                pixels.fill_path(&path, &paint(*colour, 1.0), FillRule::Winding, by, None);
            }
        }
    }
}

fn path(points: &[At], close: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    path.move_to(first.0, first.1);
    for (x, y) in rest {
        path.line_to(*x, *y);
    }
    if close {
        path.close();
    }
    path.finish()
}

fn solid(Colour(red, green, blue): Colour, opacity: f32) -> Color {
    Color::from_rgba8(red, green, blue, (opacity * 255.0).round() as u8)
}

fn paint(colour: Colour, opacity: f32) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color(solid(colour, opacity));
    paint
}

struct Outline(PathBuilder);

impl Pen for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.0.quad_to(x1, y1, x, y);
    }

    fn close(&mut self) {
        self.0.close();
    }
}
