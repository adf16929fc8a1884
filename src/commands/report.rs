//! `nixdag report`: all jobs of a pipeline in one report.

use std::fs;
use std::io::Write as _;

use anyhow::{Context, Result, bail};

use super::exit_code::ExitCode;
use super::say::{self, warning};
use crate::build::record::{self, Record, Verdict};
use crate::build::record_files::{self, Found};
use crate::build::report::Report;
use crate::choice::Choice;
use crate::cli::{ReportArgs, ReportFormat};
use crate::output::Output;
use crate::page::{self, gather, pipeline, summary, telemetry, trace};
use crate::plan::json;
use crate::plural::counted;
use crate::printable::{error_lines, printable, shortened};
use crate::usage::usage;
use crate::view::{annotations, markdown};

/// Characters of a sentence about a record that cannot be read: it may quote any of it.
const MAX_REASON: usize = 1000;

pub(super) fn run(args: &ReportArgs) -> Result<ExitCode> {
    let output = Output::from(args.output.clone());
    output.check()?;
    let format = output.format(args.format)?;
    let plan = args.plan.as_ref().map(|file| {
        let text = fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
        json::read(&text).with_context(|| format!("`{}`", file.display()))
    });
    let plan = plan.transpose()?;
    if plan.is_some() && matches!(format, ReportFormat::Json | ReportFormat::GitHub) {
        bail!(usage(
            "`--plan` requires `--format text`, `markdown`, `html`, `trace` or `otlp`: JSON and annotations for GitHub show only records of jobs"
        ));
    }
    if args.records.is_empty() && !matches!(format, ReportFormat::Markdown | ReportFormat::Html) {
        bail!(usage(format!("`--format {}` shows what jobs have recorded: name their records", format.name())));
    }
    if args.records.is_empty() {
        output.write(|out| match format {
            ReportFormat::Html => page::write(&gather::pipeline(plan.as_ref(), &[]), out),
            _ => markdown::write(plan.as_ref(), None, out),
        })?;
        say::wrote(&output, &verdict(&gather::pipeline(plan.as_ref(), &[]), 0));
        return Ok(ExitCode::Done);
    }
    let mut found = Found::default();
    for path in &args.records {
        if path.is_dir() { record_files::find(path, &mut found)? } else { found.files.push(path.clone()) }
    }
    if let Some(sentence) = found.left_out() {
        warning!("{}", shortened(&sentence, MAX_REASON));
    }
    if found.files.is_empty() {
        bail!("no `{}` in the folders given (`nixdag build --results DIR` writes it)", record::REPORT);
    }
    let mut records = Vec::new();
    let mut broken = Vec::new();
    for path in &found.files {
        match Record::read(path) {
            Ok(record) => records.push(record),
            Err(error) => broken.push(error),
        }
    }
    if records.is_empty() {
        return Err(broken.swap_remove(0));
    }
    // What one job has left costs the others no line.
    for error in &broken {
        warning!("{}; it is left out", shortened(&printable(&format!("{error:#}")), MAX_REASON));
    }
    let pipeline = gather::pipeline(plan.as_ref(), &records);
    let verdict = verdict(&pipeline, broken.len());
    let report = Report::new(records);
    output.write(|out| match format {
        ReportFormat::Text => {
            // Names and messages are those that jobs have left.
            let mut text = Vec::new();
            report.print(&mut text)?;
            writeln!(text, "{verdict}")?;
            let look = say::look(&output);
            error_lines(&String::from_utf8_lossy(&text)).try_for_each(|line| look.line(&line, out))
        }
        ReportFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)
        }
        ReportFormat::Markdown => markdown::write(plan.as_ref(), Some((&report, &verdict)), out),
        ReportFormat::Html => page::write(&pipeline, out),
        ReportFormat::Trace => trace::write(&pipeline, out),
        ReportFormat::Otlp => telemetry::write(&pipeline, out),
        ReportFormat::GitHub => annotations::write(&report, out),
    })?;
    say::wrote(&output, &verdict);
    // With a plan, a job that left no record counts as well, a final job's command too.
    let is_complete = plan.is_none() || pipeline.verdict() == pipeline::Verdict::Passed;
    let silent: Vec<String> = pipeline.unrecorded().map(|name| format!("`{}`", printable(name))).collect();
    if !silent.is_empty() {
        let listed = shortened(&silent.join(", "), MAX_REASON);
        warning!("{} of the plan left no record and may not have run: {listed}", counted(silent.len() as u64, "job"));
    }
    let is_green = broken.is_empty() && is_complete && report.verdict() == Verdict::Success;
    Ok(if is_green { ExitCode::Done } else { ExitCode::Failed })
}

/// The verdict in a sentence; `broken` is the number of records that cannot be read, with which nothing has passed.
fn verdict(pipeline: &pipeline::Pipeline, broken: usize) -> String {
    let sentence = summary::plain(pipeline);
    if broken == 0 { sentence } else { format!("{sentence}; {} cannot be read", counted(broken as u64, "record")) }
}
