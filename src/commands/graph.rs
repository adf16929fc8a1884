//! `nixdag graph`

use anyhow::Result;

use super::exit_code::ExitCode;
use super::say::warning;
use super::stages;
use crate::cli::{GraphArgs, GraphLevel};
use crate::output::Output;
use crate::settings::Settings;
use crate::usage::usage;
use crate::view::{self, GraphFormat, network};

/// Edges that Mermaid draws unless its page says otherwise (`maxEdges`).
const MERMAID_EDGES: usize = 500;

pub(super) fn run(args: &GraphArgs) -> Result<ExitCode> {
    let output = Output::from(args.output.clone());
    output.check()?;
    let format = match args.format {
        Some(format) => format,
        None => view::format_of(args.output.as_deref()).map_err(usage)?,
    };
    let settings = Settings::new(&args.planning)?;
    let plan = stages::plan(&settings, &[])?.plan;
    let network = match args.level {
        GraphLevel::Jobs => network::jobs(&plan),
        GraphLevel::Derivations => {
            let drawn: Vec<&str> = network::derivations_of(&plan).collect();
            network::derivations(&plan, &settings.derivation_files().load(&drawn)?)?
        }
    };
    if format == GraphFormat::Mermaid && network.edges.len() > MERMAID_EDGES {
        warning!("{} edges: Mermaid draws at most {MERMAID_EDGES} (`--format dot` has no limit)", network.edges.len());
    }
    output.write(|mut out| view::draw(&network, format, &mut out))?;
    Ok(ExitCode::Done)
}
