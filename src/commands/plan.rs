//! `nixdag plan`

use anyhow::Result;

use super::{ExitCode, stages};
use crate::cli::{PlanArgs, PlanFormat};
use crate::output::Output;
use crate::plan::json;
use crate::settings::Settings;
use crate::view::table;

pub(super) fn run(args: &PlanArgs) -> Result<ExitCode> {
    let plan = stages::plan(&Settings::new(&args.planning)?)?;
    Output::from(args.output.clone()).write(|mut out| match args.format {
        PlanFormat::Table => table::write(&plan, &mut out),
        PlanFormat::Json => json::write(&plan, &mut out),
    })?;
    Ok(ExitCode::Done)
}
