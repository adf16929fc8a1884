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
mod price;
mod svg;
pub mod table;

use std::io::{self, Write};

use crate::choice::choice;
use crate::output::Format;
use network::Network;

choice! {
    /// How nodes and edges are written down.
    #[derive(Default)]
    pub enum GraphFormat {
        /// Graphviz
        #[default]
        Dot = "dot",
        /// Mermaid
        Mermaid = "mermaid",
        /// Mermaid in a fence, which GitHub and GitLab draw in Markdown
        Markdown = "markdown",
        /// A picture, in light and dark
        Svg = "svg",
        /// Nodes and edges
        Json = "json",
    }
}

impl Format for GraphFormat {
    fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Dot => &["dot", "gv"],
            Self::Mermaid => &["mmd", "mermaid"],
            Self::Markdown => &["md", "markdown"],
            Self::Svg => &["svg"],
            Self::Json => &["json"],
        }
    }

    fn instead(end: &str) -> Option<String> {
        match end {
            "png" | "pdf" | "jpg" | "jpeg" | "gif" => {
                Some(format!("Graphviz makes {end}: `nixdag graph | dot -T{end}`"))
            }
            "html" => Some("`nixdag plan -o plan.html` writes a page".to_owned()),
            _ => None,
        }
    }
}

/// Draws nodes and edges.
pub fn draw(network: &Network, format: GraphFormat, out: &mut impl Write) -> io::Result<()> {
    match format {
        GraphFormat::Dot => dot::write(network, out),
        GraphFormat::Mermaid => mermaid::write(network, out),
        GraphFormat::Markdown => {
            writeln!(out, "```mermaid")?;
            mermaid::write(network, out)?;
            writeln!(out, "```")
        }
        GraphFormat::Svg => svg::write(network, out),
        GraphFormat::Json => graph_json::write(network, out),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::output::Output;

    #[test]
    fn the_end_of_a_files_name_chooses_its_format() {
        let of = |name: &str, asked| Output::File(PathBuf::from(name)).format::<GraphFormat>(asked);
        let name = |name: &str| of(name, None).unwrap();
        assert_eq!((name("a/plan.MMD"), name("plan.md")), (GraphFormat::Mermaid, GraphFormat::Markdown));
        assert_eq!((name("plan.json"), name("plan.svg")), (GraphFormat::Json, GraphFormat::Svg));
        assert_eq!((name("plan.dot"), name("/dev/null")), (GraphFormat::Dot, GraphFormat::Dot));
        assert_eq!(Output::Stdout.format::<GraphFormat>(None).unwrap(), GraphFormat::Dot);
        assert_eq!(of("plan.xyz", Some(GraphFormat::Svg)).unwrap(), GraphFormat::Svg);
        for (name, asked, said) in [
            ("x.png", None, "`nixdag graph | dot -Tpng`"),
            ("x", None, "`.dot`, `.mmd`, `.md`, `.svg`, `.json`, or choose with `--format`"),
            ("x.svg", Some(GraphFormat::Dot), "`--format dot` does not fit the file `x.svg`"),
        ] {
            let error = of(name, asked).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
