//! Views: a plan as people look at it. In: the plan, and for the derivation level the graph. Out: text.

mod dot;
mod graph_json;
mod mermaid;
pub mod network;
pub mod table;

use std::io::{self, Write};

use network::Network;

/// How nodes and edges are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphFormat {
    /// Graphviz.
    Dot,
    /// Mermaid, which GitHub and GitLab draw in Markdown.
    Mermaid,
    /// Lists of nodes and edges.
    Json,
}

/// Draws nodes and edges.
pub fn draw(network: &Network, format: GraphFormat, out: &mut impl Write) -> io::Result<()> {
    match format {
        GraphFormat::Dot => dot::write(network, out),
        GraphFormat::Mermaid => mermaid::write(network, out),
        GraphFormat::Json => graph_json::write(network, out),
    }
}
