//! `nixdag report`: all jobs of a pipeline in one report.

use anyhow::{Result, bail};

use super::exit_code::ExitCode;
use crate::build::record::{self, Record, Verdict};
use crate::build::report::Report;
use crate::cli::{ReportArgs, TextFormat};
use crate::output::Output;

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode> {
    let mut files = Vec::new();
    for path in &args.records {
        if path.is_dir() { record::find(path, &mut files)? } else { files.push(path.clone()) }
    }
    if files.is_empty() {
        bail!("no `{}` in the folders given (`nixdag build --results DIR` writes it)", record::REPORT);
    }
    let records = files.iter().map(|path| Record::read(path)).collect::<Result<_>>()?;
    let report = Report::new(records);
    Output::from(args.output.clone()).write(|out| match args.format {
        TextFormat::Text => report.print(out),
        TextFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)
        }
    })?;
    Ok(if report.verdict() != Verdict::Success { ExitCode::Failed } else { ExitCode::Done })
}
