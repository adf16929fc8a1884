//! `nixdag plan`

use anyhow::Result;

use super::exit_code::ExitCode;
use super::stages;
use crate::cli::{PlanArgs, PlanFormat};
use crate::output::Output;
use crate::plan::json;
use crate::plan::model::Granularity;
use crate::settings::Settings;
use crate::view::table;

pub(super) fn run(args: &PlanArgs) -> Result<ExitCode> {
    let settings = Settings::new(&args.planning)?;
    // What another granularity would save is for people alone, and costs as much as the plan itself.
    let also: &[Granularity] = match (args.format, settings.planner.granularity) {
        (PlanFormat::Table, Granularity::Target) => &[Granularity::Auto],
        _ => &[],
    };
    let made = stages::plan(&settings, also)?;
    Output::from(args.output.clone()).write(|mut out| match args.format {
        PlanFormat::Table => table::write(&made, &mut out),
        PlanFormat::Json => json::write(&made.plan, &mut out),
    })?;
    Ok(ExitCode::Done)
}
