//! `nixdag build`: runs one job, or ends with the verdict of one that ran.

use std::io;
use std::path::Path;

use anyhow::Result;

use super::exit_code::ExitCode;
use super::job_end::{code, leave};
use super::say;
use super::worker;
use crate::build::command_end::CommandEnd;
use crate::build::record::{self, Record};
use crate::build::{evaluation, interrupt, results, sizes, stages};
use crate::cli::BuildArgs;
use crate::settings::job::{self, BuildTask};
use crate::settings::worker as worker_settings;

pub(super) fn run(args: &BuildArgs) -> Result<ExitCode> {
    if let Some(results) = &args.verdict {
        let verdict = results::read_verdict(results)?;
        Record::read(&results.join(record::REPORT))?.summarize(&mut io::stdout().lock())?;
        return Ok(code(verdict));
    }
    if let (Some(ended), Some(results)) = (args.command_ended, &args.results) {
        return command_ended(ended, results, args);
    }
    if let Some(results) = &args.results {
        results::clear(results)?;
    }
    let mut say = |line: &str| say::done(line);
    if let Some(part) = worker_settings::part(args, &mut say)? {
        return worker::run_part(part, args);
    }
    let (record, place) = match job::work(args, &mut say)? {
        BuildTask::Failures(plan) => (evaluation::record(&plan), None),
        BuildTask::Build(mut request) => {
            interrupt::listen()?;
            let place = request.records.take();
            (stages::run(&request, &mut say), place)
        }
        BuildTask::Sizes(mut request, caches) => {
            let place = request.records.take();
            (sizes::run(&request, caches, &mut say), place)
        }
    };
    leave(&record, place.as_ref(), args.results.as_deref(), args.record_verdict)
}

/// Adds how a final job's command ended to what the job has recorded, wherever that is.
fn command_ended(ended: CommandEnd, results: &Path, args: &BuildArgs) -> Result<ExitCode> {
    if let (Some(record), Some(place)) = (results::end_command(results, ended)?, &args.records) {
        job::common_records_place(place, None)?.leave(&record)?;
    }
    Ok(ExitCode::Done)
}
