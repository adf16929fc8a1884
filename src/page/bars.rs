//! Bars in the static part of the page: SVG without text, stretched to the width of its cell. Figures are always beside them.
//!
//! In: figures in one unit, and the most that a bar can show. Out: SVG.

use std::fmt::{self, Write};

use super::pipeline::{PHASES, Span};

/// Units of width.
const WIDTH: u64 = 1000;

/// Height of a phase within a bar, percent: phases differ in grey too.
const HEIGHTS: [u64; PHASES + 1] = [40, 70, 100, 70, 25];

/// A span's phases side by side, of a bar that is as wide as `most` milliseconds, behind a wait; a thin bar above is the prediction.
pub fn span(out: &mut dyn Write, span: &Span, waited: u64, predicted: Option<u64>, most: u64) -> fmt::Result {
    open(out, 14)?;
    let top = if predicted.is_some() { 4 } else { 0 };
    if let Some(predicted) = predicted {
        rect(out, "pp", 0, predicted, most, (0, 3))?;
    }
    let mut x = 0;
    let parts = span.phases.iter().map(|phase| phase.unwrap_or(0)).chain([span.rest()]);
    if waited > 0 {
        rect(out, "pw", 0, waited, most, (top + 3, 11 - top))?;
        x = waited;
    }
    for (phase, length) in parts.enumerate() {
        let height = (14 - top) * HEIGHTS[phase] / 100;
        if length > 0 {
            rect(out, ["p0", "p1", "p2", "p3", "p4"][phase], x, length, most, (14 - height, height))?;
        }
        x += length;
    }
    out.write_str("</svg>")
}

/// One value, with marks at others.
pub fn value(out: &mut dyn Write, value: u64, marks: &[u64], most: u64) -> fmt::Result {
    open(out, 16)?;
    rect(out, "pg", 0, most, most, (4, 8))?;
    rect(out, "p2", 0, value, most, (4, 8))?;
    for &mark in marks {
        let x = scaled(mark, most).min(WIDTH - 6);
        write!(out, "<rect class=\"pi\" x=\"{x}\" width=\"6\" height=\"16\"/>")?;
    }
    out.write_str("</svg>")
}

fn open(out: &mut dyn Write, height: u64) -> fmt::Result {
    write!(
        out,
        "<svg class=\"b\" viewBox=\"0 0 {WIDTH} {height}\" height=\"{height}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
    )
}

/// `vertical` is top and height.
fn rect(out: &mut dyn Write, class: &str, x: u64, length: u64, most: u64, vertical: (u64, u64)) -> fmt::Result {
    let (from, to) = (scaled(x, most), scaled(x.saturating_add(length), most));
    let (y, height) = vertical;
    write!(
        out,
        "<rect class=\"{class}\" x=\"{from}\" y=\"{y}\" width=\"{}\" height=\"{height}\"/>",
        to.saturating_sub(from).max(1)
    )
}

fn scaled(value: u64, most: u64) -> u64 {
    (u128::from(value.min(most)) * u128::from(WIDTH) / u128::from(most.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_time() {
        let mut out = String::new();
        let phases = [Some(1_000), None, Some(6_000), Some(1_000)];
        span(&mut out, &Span { start: None, phases, total: 9_000 }, 1_000, Some(20_000), 10_000).unwrap();
        for part in [
            "class=\"pp\" x=\"0\" y=\"0\" width=\"1000\"",
            "class=\"pw\" x=\"0\" y=\"7\" width=\"100\"",
            "class=\"p0\" x=\"100\" y=\"10\" width=\"100\"",
            "class=\"p2\" x=\"200\" y=\"4\" width=\"600\"",
            "class=\"p3\" x=\"800\" y=\"7\" width=\"100\"",
            "class=\"p4\" x=\"900\" y=\"12\" width=\"100\"",
        ] {
            assert!(out.contains(part), "{part}: {out}");
        }
        assert!(!out.contains("class=\"p1\""), "{out}");
    }
}
