//! A drawing as SVG: no script, no style from elsewhere, and every text escaped.

use std::fmt::Write as _;

use super::{
    drawing::{Anchor, At, Colour, Drawing, Shape},
    font,
};

/// The drawing as a whole file.
pub fn written(drawing: &Drawing) -> String {
    let (width, height, title) = (drawing.width, drawing.height, escaped(&drawing.title));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" font-family=\"DejaVu Sans, Verdana, sans-serif\">\n<title>{title}</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n",
        hex(Colour::WHITE)
    );
    for shape in &drawing.shapes {
        // Writing to a String cannot fail.
        let _ = match shape {
            Shape::Line { points, colour, width, dash } => {
                let dash = dash.map_or_else(String::new, |[on, off]| format!(" stroke-dasharray=\"{on} {off}\""));
                let stroke = format!("stroke=\"{}\" stroke-width=\"{width}\"{dash}", hex(*colour));
                let points = joined(points);
                writeln!(svg, "<polyline points=\"{points}\" fill=\"none\" stroke-linejoin=\"round\" {stroke}/>")
            }
            Shape::Area { points, colour, opacity } => {
                let points = joined(points);
                writeln!(svg, "<polygon points=\"{points}\" fill=\"{}\" fill-opacity=\"{opacity}\"/>", hex(*colour))
            }
            Shape::Text { at: (x, y), text, size, anchor, colour } => {
                let anchor = match anchor {
                    Anchor::Start => "start",
                    Anchor::Middle => "middle",
                    Anchor::End => "end",
                };
                // The layout holds whatever font the reader has.
                let length = font::width(text, *size);
                writeln!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{}\" \
                     textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>",
                    hex(*colour),
                    escaped(text)
                )
            }
        };
    }
    svg.push_str("</svg>\n");
    svg
}

fn hex(Colour(red, green, blue): Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn joined(points: &[At]) -> String {
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

/// The text as XML may have it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
