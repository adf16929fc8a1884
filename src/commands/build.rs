//! `nixdag build`: runs one job, or ends with the verdict of one that ran.

use std::io;

use anyhow::Result;

use super::exit_code::ExitCode;
use super::job_end::{code, leave};
use super::say;
use super::worker;
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
