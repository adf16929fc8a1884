//! Mermaid flow charts. Every text goes through [`escaped`].

use std::fmt::Write as _;
use std::io::{self, Write};

use super::network::{Network, Node};

/// Text for a quoted label: what is no letter, digit or harmless sign becomes an entity, so that neither Mermaid's syntax nor HTML
/// nor Markdown finds anything in it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || " .,:+-_/()=".contains(c) {
            escaped.push(c);
        } else if c.is_control() {
            escaped.push('\u{fffd}');
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "#{};", c as u32);
        }
    }
    escaped
}

pub(super) fn write(network: &Network, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "flowchart LR")?;
    let node_line = |out: &mut dyn Write, index: usize, node: &Node| {
        let mut label = escaped(&node.name);
        if network.groups.is_empty() && node.builds > 1 {
            label.push_str(&format!("<br/>{} builds", node.builds));
        }
        let (open, close) = if node.is_final && network.groups.is_empty() {
            ("([", "])")
        } else if node.target == Some(true) {
            ("[", "]")
        } else {
            ("(", ")")
        };
        writeln!(out, "  n{index}{open}\"{label}\"{close}")
    };
    if network.groups.is_empty() {
        for (index, node) in network.nodes.iter().enumerate() {
            node_line(out, index, node)?;
        }
    }
    let mut nodes = network.nodes.iter().enumerate().peekable();
    for (number, group) in network.groups.iter().enumerate() {
        writeln!(out, "  subgraph g{number}[\"{}\"]", escaped(&group.name))?;
        // Nodes stand in the order of their groups.
        while let Some((index, node)) = nodes.next_if(|(_, node)| node.group == Some(number)) {
            node_line(out, index, node)?;
        }
        writeln!(out, "  end")?;
    }
    for edge in &network.edges {
        writeln!(out, "  n{} --> n{}", edge.from, edge.to)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_mermaids_or_htmls_syntax_survives() {
        assert_eq!(escaped("a\"]<b>ü`#"), "a#34;#93;#60;b#62;ü#96;#35;");
        assert_eq!(escaped("a\nb"), "a\u{fffd}b");
    }
}
