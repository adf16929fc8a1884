//! `nixdag graph`

use anyhow::{Context, Result};

use super::exit_code::ExitCode;
use super::say::{self, warning};
use super::stages;
use crate::cli::{GraphArgs, GraphLevel};
use crate::output::Output;
use crate::plural::counted;
use crate::settings::Settings;
use crate::view::{self, GraphFormat, network};

/// Edges that Mermaid draws unless its page says otherwise (`maxEdges`).
const MERMAID_EDGES: usize = 500;

pub(super) fn run(args: &GraphArgs) -> Result<ExitCode> {
    let output = Output::from(args.output.clone());
    output.check()?;
    let format = output.format(args.format)?;
    let settings = Settings::new(&args.planning)?;
    let plan = stages::plan(&settings, &[])?.plan;
    let network = match args.level {
        GraphLevel::Jobs => network::jobs(&plan),
        GraphLevel::Derivations => {
            let drawn: Vec<&str> = network::derivations_of(&plan).collect();
            let graph = settings.derivation_files().load(&drawn);
            let graph = graph.context("the derivations are missing (`--drv-dir` names a folder that has them)")?;
            network::derivations(&plan, &graph)?
        }
    };
    let is_mermaid = matches!(format, GraphFormat::Mermaid | GraphFormat::Markdown);
    if is_mermaid && network.edges.len() > MERMAID_EDGES {
        warning!("{} edges: Mermaid draws at most {MERMAID_EDGES} (`--format dot` has no limit)", network.edges.len());
    }
    output.write(|mut out| view::draw(&network, format, &mut out))?;
    let nodes = counted(network.nodes.len(), "node");
    say::wrote(&output, &format!("{nodes}, {}", counted(network.edges.len(), "edge")));
    Ok(ExitCode::Done)
}
