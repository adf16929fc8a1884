//! Views: a plan as people look at it. In: the plan, and for the derivation level the graph. Out: text.

pub mod annotations;
mod dot;
mod graph_json;
pub mod history;
pub mod markdown;
mod mermaid;
pub mod network;
pub mod table;

use std::io::{self, Write};

use crate::choice::choice;
use network::Network;

choice! {
    /// How nodes and edges are written down.
    pub enum GraphFormat {
        /// Graphviz
        Dot = "dot",
        /// Mermaid, which GitHub and GitLab draw in Markdown
        Mermaid = "mermaid",
        /// Nodes and edges
        Json = "json",
    }
}

/// Draws nodes and edges.
pub fn draw(network: &Network, format: GraphFormat, out: &mut impl Write) -> io::Result<()> {
    match format {
        GraphFormat::Dot => dot::write(network, out),
        GraphFormat::Mermaid => mermaid::write(network, out),
        GraphFormat::Json => graph_json::write(network, out),
    }
}
