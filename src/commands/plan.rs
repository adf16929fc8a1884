//! `nixdag plan`

use anyhow::Result;

use super::exit_code::ExitCode;
use super::{say, stages};
use crate::cli::{PlanArgs, PlanFormat};
use crate::output::Output;
use crate::page::{self, gather, summary};
use crate::plan::json;
use crate::plan::model::Granularity;
use crate::settings::Settings;
use crate::view::table;

pub(super) fn run(args: &PlanArgs) -> Result<ExitCode> {
    let output = Output::from(args.output.clone());
    output.check()?;
    let format = output.format(if args.json { Some(PlanFormat::Json) } else { args.format })?;
    let settings = Settings::new(&args.planning)?;
    // What another granularity would save is for people alone, and costs as much as the plan itself.
    let also: &[Granularity] = match (format, settings.planner.granularity) {
        (PlanFormat::Table, Granularity::Target) => &[Granularity::Auto, Granularity::Single],
        (PlanFormat::Table, Granularity::Auto) => &[Granularity::Single],
        (PlanFormat::Table, Granularity::Single) => &[Granularity::Auto],
        _ => &[],
    };
    let made = match format {
        PlanFormat::Table => stages::plan_for_table(&settings, also)?,
        PlanFormat::Json | PlanFormat::Html => stages::plan(&settings, also)?,
    };
    let look = say::look(&output);
    output.write(|mut out| match format {
        PlanFormat::Table => table::write(&made, settings.planner.aim(), &look, &mut out),
        PlanFormat::Json => json::write(&made.plan, &mut out),
        PlanFormat::Html => page::write(&gather::pipeline(Some(&made.plan), &[]), &mut out),
    })?;
    say::wrote(&output, &summary::plain(&gather::pipeline(Some(&made.plan), &[])));
    Ok(ExitCode::Done)
}
