//! `nixdag report`: all jobs of a pipeline in one report.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use super::exit_code::ExitCode;
use crate::build::record::{self, Record, Verdict};
use crate::build::report::Report;
use crate::cli::{ReportArgs, ReportFormat};
use crate::output::Output;
use crate::plan::json;
use crate::view::{annotations, markdown};

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode> {
    let plan = args.plan.as_ref().map(|file| {
        let text = fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
        json::read(&text).with_context(|| format!("`{}`", file.display()))
    });
    let plan = plan.transpose()?;
    ensure!(
        plan.is_none() || args.format == ReportFormat::Markdown,
        "`--plan` requires `--format markdown`: other formats show what jobs have recorded"
    );
    let output = Output::from(args.output.clone());
    if args.records.is_empty() {
        output.write(|out| markdown::write(plan.as_ref(), None, out))?;
        return Ok(ExitCode::Done);
    }
    let mut files = Vec::new();
    for path in &args.records {
        if path.is_dir() { record::find(path, &mut files)? } else { files.push(path.clone()) }
    }
    if files.is_empty() {
        bail!("no `{}` in the folders given (`nixdag build --results DIR` writes it)", record::REPORT);
    }
    let records = files.iter().map(|path| Record::read(path)).collect::<Result<_>>()?;
    let report = Report::new(records);
    output.write(|out| match args.format {
        ReportFormat::Text => report.print(out),
        ReportFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)
        }
        ReportFormat::Markdown => markdown::write(plan.as_ref(), Some(&report), out),
        ReportFormat::GitHub => annotations::write(&report, out),
    })?;
    Ok(if report.verdict() != Verdict::Success { ExitCode::Failed } else { ExitCode::Done })
}
