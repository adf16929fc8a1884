//! `nixdag graph`

use anyhow::Result;

use super::exit_code::ExitCode;
use super::stages;
use crate::cli::{GraphArgs, GraphLevel};
use crate::output::Output;
use crate::settings::Settings;
use crate::view::{self, network};

pub(super) fn run(args: &GraphArgs) -> Result<ExitCode> {
    let settings = Settings::new(&args.planning)?;
    let plan = stages::plan(&settings, &[])?.plan;
    let network = match args.level {
        GraphLevel::Jobs => network::jobs(&plan),
        GraphLevel::Derivations => {
            let drawn: Vec<&str> = network::derivations_of(&plan).collect();
            network::derivations(&plan, &settings.derivation_files().load(&drawn)?)?
        }
    };
    Output::from(args.output.clone()).write(|mut out| view::draw(&network, args.format, &mut out))?;
    Ok(ExitCode::Done)
}
