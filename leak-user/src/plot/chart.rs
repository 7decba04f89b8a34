//! Series over time, with axes, a legend and marks, laid out so that no text stands on another.

use super::{
    axis::{self, Axis},
    drawing::{Anchor, At, Colour, Drawing, Shape},
    font,
};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 500;

/// Pixels from the left and the right edge.
const EDGE: f32 = 24.0;

/// Where the area of the series begins and ends, from above.
const AREA: (f32, f32) = (136.0, 444.0);

const TITLE: f32 = 20.0;
const SMALL: f32 = 13.0;

/// Rows of labels of marks, upwards from the area.
const MARK_ROWS: usize = 2;

/// Pixels that the label of a mark takes at most.
const WIDEST_MARK: f32 = 190.0;

/// Figures over time.
#[derive(Clone, Debug)]
pub struct Series {
    /// For the legend.
    pub name: String,
    /// Seconds since attach, and bytes. Nothing is drawn of no points.
    pub points: Vec<(f64, f64)>,
    pub colour: Colour,
    pub form: Form,
}

/// How a series looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Line,
    /// A line with what is below it filled.
    Filled,
    Dashed,
    /// An area: its upper edge to and fro its lower one. It is in no legend.
    Band,
}

/// A picture's content. Its texts are printable.
#[derive(Clone, Debug)]
pub struct Chart {
    pub title: String,
    pub subtitle: String,
    pub series: Vec<Series>,
    /// Moments with a label, seconds since attach, ascending.
    pub marks: Vec<(f64, String)>,
    /// From when to when, seconds since attach.
    pub span: (f64, f64),
}

/// Where things go.
struct Layout {
    time: Axis,
    bytes: Axis,
    left: f32,
    right: f32,
}

impl Layout {
    fn x(&self, seconds: f64) -> f32 {
        let (start, end) = self.time.range;
        self.left + ((seconds - start) / (end - start)).clamp(0.0, 1.0) as f32 * (self.right - self.left)
    }

    fn y(&self, bytes: f64) -> f32 {
        AREA.1 - (bytes / self.bytes.range.1).clamp(0.0, 1.0) as f32 * (AREA.1 - AREA.0)
    }
}

impl Chart {
    /// The picture.
    pub fn drawing(&self) -> Drawing {
        let most = self.series.iter().flat_map(|series| &series.points).map(|(_, bytes)| *bytes).fold(0.0, f64::max);
        let (time, bytes) = (axis::time(self.span.0, self.span.1), axis::bytes(most));
        let widest = bytes.ticks.iter().map(|(_, name)| font::width(name, SMALL)).fold(0.0, f32::max);
        let layout = Layout { time, bytes, left: (EDGE + widest + 10.0).round(), right: WIDTH as f32 - EDGE - 8.0 };
        let mut shapes = Vec::new();
        self.heading(&mut shapes);
        axes(&layout, &mut shapes);
        self.marks(&layout, &mut shapes);
        for series in &self.series {
            lines(series, &layout, &mut shapes);
        }
        Drawing { width: WIDTH, height: HEIGHT, title: self.title.clone(), shapes }
    }

    /// Title, subtitle and legend.
    fn heading(&self, shapes: &mut Vec<Shape>) {
        let room = WIDTH as f32 - 2.0 * EDGE;
        shapes.push(text((EDGE, 36.0), &font::fitting(&self.title, TITLE, room), TITLE, Anchor::Start, Colour::TEXT));
        let subtitle = font::fitting(&self.subtitle, SMALL, room);
        shapes.push(text((EDGE, 60.0), &subtitle, SMALL, Anchor::Start, Colour::FAINT));
        let mut x = EDGE;
        for series in self.series.iter().filter(|series| series.form != Form::Band && !series.points.is_empty()) {
            let dash = (series.form == Form::Dashed).then_some([6.0, 4.0]);
            let points = vec![(x, 80.0), (x + 24.0, 80.0)];
            shapes.push(Shape::Line { points, colour: series.colour, width: 2.5, dash });
            shapes.push(text((x + 30.0, 84.5), &series.name, SMALL, Anchor::Start, Colour::TEXT));
            x += 30.0 + font::width(&series.name, SMALL) + 22.0;
        }
    }

    /// A line at each labelled moment; labels that would stand on others are left out.
    fn marks(&self, layout: &Layout, shapes: &mut Vec<Shape>) {
        let mut ends = [f32::MIN; MARK_ROWS];
        for (seconds, label) in &self.marks {
            let x = layout.x(*seconds).round() + 0.5;
            let label = font::fitting(label, SMALL, WIDEST_MARK);
            let width = font::width(&label, SMALL);
            let start = (x - width / 2.0).clamp(layout.left, layout.right + 8.0 - width);
            let row = ends.iter().position(|end| start > end + 12.0);
            let colour = if row.is_some() { Colour::MARK } else { Colour::GRID };
            let points = vec![(x, AREA.0 - 4.0), (x, AREA.1)];
            shapes.push(Shape::Line { points, colour, width: 1.0, dash: Some([2.0, 3.0]) });
            if let Some(row) = row {
                ends[row] = start + width;
                let y = AREA.0 - 10.0 - 17.0 * row as f32;
                shapes.push(text((start, y), &label, SMALL, Anchor::Start, Colour::FAINT));
            }
        }
    }
}

fn axes(layout: &Layout, shapes: &mut Vec<Shape>) {
    for (bytes, name) in &layout.bytes.ticks {
        let y = layout.y(*bytes).round() + 0.5;
        let colour = if *bytes > 0.0 { Colour::GRID } else { Colour::FAINT };
        shapes.push(Shape::Line { points: vec![(layout.left, y), (layout.right, y)], colour, width: 1.0, dash: None });
        shapes.push(text((layout.left - 8.0, y + 4.5), name, SMALL, Anchor::End, Colour::FAINT));
    }
    for (seconds, name) in &layout.time.ticks {
        let x = layout.x(*seconds).round() + 0.5;
        let points = vec![(x, AREA.1), (x, AREA.1 + 5.0)];
        shapes.push(Shape::Line { points, colour: Colour::FAINT, width: 1.0, dash: None });
        shapes.push(text((x, AREA.1 + 20.0), name, SMALL, Anchor::Middle, Colour::FAINT));
    }
    let (middle, unit) = (f32::midpoint(layout.left, layout.right), format!("{} since attach", layout.time.unit));
    shapes.push(text((middle, AREA.1 + 42.0), &unit, SMALL, Anchor::Middle, Colour::FAINT));
}

fn lines(series: &Series, layout: &Layout, shapes: &mut Vec<Shape>) {
    let points: Vec<At> = series.points.iter().map(|(seconds, bytes)| (layout.x(*seconds), layout.y(*bytes))).collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return;
    };
    let colour = series.colour;
    match series.form {
        Form::Filled => {
            let mut area = points.clone();
            area.extend([(last.0, AREA.1), (first.0, AREA.1)]);
            shapes.push(Shape::Area { points: area, colour, opacity: 0.12 });
        }
        Form::Band => {
            shapes.push(Shape::Area { points, colour, opacity: 0.2 });
            return;
        }
        Form::Line | Form::Dashed => {}
    }
    let dash = (series.form == Form::Dashed).then_some([6.0, 4.0]);
    if points.len() == 1 {
        let dot = vec![(first.0 - 3.0, first.1), (first.0 + 3.0, first.1)];
        shapes.push(Shape::Line { points: dot, colour, width: 6.0, dash: None });
        return;
    }
    shapes.push(Shape::Line { points, colour, width: if dash.is_some() { 1.5 } else { 2.0 }, dash });
}

fn text(at: At, text: &str, size: f32, anchor: Anchor, colour: Colour) -> Shape {
    Shape::Text { at, text: text.to_owned(), size, anchor, colour }
}
