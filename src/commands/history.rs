//! `nixdag history`: what earlier pipelines have measured, put together.

use anyhow::{Result, bail};

use super::exit_code::ExitCode;
use super::say::{self, warning};
use crate::cli::{HistoryArgs, HistoryFormat};
use crate::duration::now;
use crate::history::csv;
use crate::history::files;
use crate::history::records::Keep;
use crate::output::Output;
use crate::plural::counted;
use crate::view;

pub(super) fn run(args: &HistoryArgs) -> Result<ExitCode> {
    let output = Output::from(args.output.clone());
    output.check()?;
    let format = output.format(args.format)?;
    let keep = Keep { age: args.max_age * 86_400, in_all: usize::try_from(args.max_builds)?, ..Keep::default() };
    let (records, warnings) = files::read(&args.records, keep, now())?;
    for warning in &warnings {
        warning!("{warning}");
    }
    if records.builds.is_empty() && !warnings.is_empty() {
        bail!("no file holds records that can be used");
    }
    let look = say::look(&output);
    output.write(|out| match format {
        HistoryFormat::Text => view::history::write(&records, &look, out),
        HistoryFormat::Json => records.write(out),
        HistoryFormat::Csv => csv::write(&records, out),
    })?;
    say::wrote(&output, &counted(records.builds.len(), "build"));
    Ok(ExitCode::Done)
}
