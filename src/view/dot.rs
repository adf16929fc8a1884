//! Graphviz. Every text goes through [`quoted`].

use std::io::{self, Write};

use super::network::{Network, Node};

/// A double-quoted string whose content Graphviz takes as it is.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push('\u{fffd}'),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

pub(super) fn write(network: &Network, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "digraph nixdag {{\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];")?;
    let node_line = |out: &mut dyn Write, index: usize, node: &Node, indent: &str| {
        let label = if network.groups.is_empty() && node.builds > 1 {
            format!("{} ({} builds)", node.name, node.builds)
        } else {
            node.name.clone()
        };
        let style = match (node.target, node.co_located) {
            _ if node.is_final && network.groups.is_empty() => ", shape=ellipse",
            (_, true) => ", style=\"rounded,dashed\"",
            (Some(true), _) => ", style=\"rounded,bold\"",
            _ => "",
        };
        writeln!(out, "{indent}n{index} [label={}, tooltip={}{style}];", quoted(&label), quoted(&node.id))
    };
    if network.groups.is_empty() {
        for (index, node) in network.nodes.iter().enumerate() {
            node_line(out, index, node, "  ")?;
        }
    }
    let mut nodes = network.nodes.iter().enumerate().peekable();
    for (number, group) in network.groups.iter().enumerate() {
        writeln!(out, "  subgraph cluster_{number} {{\n    label={};", quoted(&group.name))?;
        // Nodes stand in the order of their groups.
        while let Some((index, node)) = nodes.next_if(|(_, node)| node.group == Some(number)) {
            node_line(out, index, node, "    ")?;
        }
        writeln!(out, "  }}")?;
    }
    for edge in &network.edges {
        writeln!(out, "  n{} -> n{};", edge.from, edge.to)?;
    }
    writeln!(out, "}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_stay_inside() {
        assert_eq!(quoted("a\"b\\N\nc"), "\"a\\\"b\\\\N\u{fffd}c\"");
    }
}
