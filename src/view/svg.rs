//! A graph as a picture, in light and dark: boxes from left to right. Every text goes through [`markup`].
//!
//! In: a layered graph. Out: one SVG.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::layered::Layered;
use super::markup;
use super::network::{Network, Node};
use crate::plan::problem::Adjacency;
use crate::plural::counted;
use crate::printable::shortened;

/// Width of a box, pixels.
const BOX: f64 = 168.0;

/// From the left side of one box to that of the next, pixels.
const COLUMN: f64 = 216.0;

/// Height of a box, pixels.
const HEIGHT: f64 = 22.0;

/// From one row to the next, pixels.
const ROW: f64 = 28.0;

/// Around everything, pixels.
const MARGIN: f64 = 12.0;

/// Characters of 12 pixels that a box has room for.
const MOST_CHARACTERS: usize = 24;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1b1f24}\
    rect{fill:#f6f8fa;stroke:#6e7781}.t{stroke:#1b1f24;stroke-width:1.8}.c{stroke-dasharray:4 3}\
    path{fill:none;stroke:#6e7781;stroke-opacity:.55}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#161b22;stroke:#8b949e}.t{stroke:#e6edf3}path{stroke:#8b949e}}";

pub(super) fn write(network: &Network, out: &mut impl Write) -> io::Result<()> {
    let mut lists = vec![Vec::new(); network.nodes.len()];
    for edge in &network.edges {
        lists[edge.to].push(edge.from as u32);
    }
    let before = Adjacency::from_lists(lists);
    let layered = Layered::new(&before);
    let places = layered.places(&before);
    let left = |node: usize| MARGIN + f64::from(layered.layer[node]) * COLUMN;
    let top = |node: usize| MARGIN + places.row[node] * ROW;
    let width = MARGIN * 2.0 + (layered.count().max(1) - 1) as f64 * COLUMN + BOX;
    let height = MARGIN * 2.0 + (places.rows - 1.0).max(0.0) * ROW + HEIGHT;
    let label = format!("{} {}, {}", network.nodes.len(), network.level, counted(network.edges.len() as u64, "edge"));
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         role=\"img\" aria-label=\"{label}\">\n<style>{STYLE}</style>"
    )?;
    let mut path = String::new();
    for edge in &network.edges {
        let (x1, y1) = (left(edge.from) + BOX, top(edge.from) + HEIGHT / 2.0);
        let (x2, y2) = (left(edge.to), top(edge.to) + HEIGHT / 2.0);
        let middle = (x1 + x2) / 2.0;
        // Writing to a string cannot fail.
        let _ = write!(path, "M{x1:.0} {y1:.0}C{middle:.0} {y1:.0} {middle:.0} {y2:.0} {x2:.0} {y2:.0}");
    }
    if !path.is_empty() {
        writeln!(out, "<path d=\"{path}\"/>")?;
    }
    for (at, node) in network.nodes.iter().enumerate() {
        let (x, y) = (left(at), top(at));
        let class = match (node.target, node.co_located) {
            (Some(true), _) => " class=\"t\"",
            (_, true) => " class=\"c\"",
            _ => "",
        };
        let round = if node.is_final { HEIGHT / 2.0 } else { 3.0 };
        writeln!(
            out,
            "<g><title>{}</title><rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{BOX}\" height=\"{HEIGHT}\" rx=\"{round}\"{class}/>\
             <text x=\"{:.0}\" y=\"{:.0}\">{}</text></g>",
            markup::name(&title(network, node)),
            x + 7.0,
            y + 15.0,
            markup::name(&label_of(network, node)),
        )?;
    }
    writeln!(out, "</svg>")
}

/// What a reader sees who points at a box.
fn title(network: &Network, node: &Node) -> String {
    match node.group.and_then(|group| network.groups.get(group)) {
        Some(group) => format!("{} in job {}", node.id, group.name),
        None => format!("{}, {}, {}", node.name, counted(node.builds as u64, "build"), node.system),
    }
}

fn label_of(network: &Network, node: &Node) -> String {
    let builds =
        if network.groups.is_empty() && node.builds > 1 { format!(" ×{}", node.builds) } else { String::new() };
    let room = MOST_CHARACTERS - builds.chars().count();
    let name = if node.name.chars().count() > room { shortened(&node.name, room - 1) } else { node.name.clone() };
    format!("{name}{builds}")
}

#[cfg(test)]
mod tests {
    use super::super::network::Edge;
    use super::*;

    fn node(name: &str, builds: usize) -> Node {
        Node {
            id: name.into(),
            name: name.into(),
            system: "x86_64-linux".into(),
            target: Some(true),
            co_located: false,
            is_final: false,
            builds,
            group: None,
        }
    }

    #[test]
    fn names_are_text_and_fit_into_their_boxes() {
        let nodes = vec![node("</text><script>", 1), node(&"long-name-".repeat(9), 12)];
        let network = Network { level: "jobs", groups: Vec::new(), nodes, edges: vec![Edge { from: 0, to: 1 }] };
        let mut out = Vec::new();
        write(&network, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains("<script"), "{text}");
        assert!(text.contains(">&#60;/text&#62;&#60;script&#62;</text>"), "{text}");
        assert!(text.contains(">long-name-long-name… ×12</text>"), "{text}");
        assert!(text.contains("<path d=\"M180 23C204 23 204 23 228 23\"/>"), "{text}");
    }
}
