//! Views: a plan as people look at it. In: the plan, and for the derivation level the graph. Out: text.

pub mod annotations;
mod comparison;
mod dot;
mod graph_json;
pub mod history;
pub mod layered;
pub mod look;
pub mod markdown;
pub mod markup;
mod mermaid;
pub mod network;
mod svg;
pub mod table;

use std::io::{self, Write};
use std::path::Path;

use crate::choice::choice;
use network::Network;

choice! {
    /// How nodes and edges are written down.
    pub enum GraphFormat {
        /// Graphviz
        Dot = "dot",
        /// Mermaid, which GitHub and GitLab draw in Markdown
        Mermaid = "mermaid",
        /// A picture, in light and dark
        Svg = "svg",
        /// Nodes and edges
        Json = "json",
    }
}

/// The format that an output file's name asks for; an error says what draws the other ones.
pub fn format_of(file: Option<&Path>) -> Result<GraphFormat, String> {
    let extension = file.and_then(Path::extension).map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("mmd" | "mermaid" | "md") => Ok(GraphFormat::Mermaid),
        Some("json") => Ok(GraphFormat::Json),
        Some("svg") => Ok(GraphFormat::Svg),
        Some(picture @ ("png" | "pdf" | "jpg" | "jpeg" | "gif" | "html")) => Err(format!(
            "nixdag draws dot, mermaid, svg and json, not {picture} (Graphviz makes it: `nixdag graph | dot -T{picture}`; `--format` writes \
             another format into this file)"
        )),
        _ => Ok(GraphFormat::Dot),
    }
}

/// Draws nodes and edges.
pub fn draw(network: &Network, format: GraphFormat, out: &mut impl Write) -> io::Result<()> {
    match format {
        GraphFormat::Dot => dot::write(network, out),
        GraphFormat::Mermaid => mermaid::write(network, out),
        GraphFormat::Svg => svg::write(network, out),
        GraphFormat::Json => graph_json::write(network, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_files_name_chooses_its_format() {
        let of = |name: &str| format_of(Some(Path::new(name)));
        assert_eq!(of("a/plan.MMD"), Ok(GraphFormat::Mermaid));
        assert_eq!((of("plan.json"), of("plan.svg")), (Ok(GraphFormat::Json), Ok(GraphFormat::Svg)));
        assert_eq!(
            (of("plan.dot"), of("plan"), format_of(None)),
            (Ok(GraphFormat::Dot), Ok(GraphFormat::Dot), Ok(GraphFormat::Dot))
        );
        assert!(of("x.png").unwrap_err().contains("`nixdag graph | dot -Tpng`"));
    }
}
