//! `nixdag worker`: builds one derivation after another beside other workers, or says what all of them have done.

use anyhow::Result;

use super::exit_code::ExitCode;
use super::job_end::leave;
use super::say;
use crate::build::record::Record;
use crate::build::{interrupt, results};
use crate::cli::{BuildArgs, WorkerArgs};
use crate::plan::worker_job;
use crate::settings::worker::{self, Part};
use crate::workers::{gate, run};

pub(super) fn run(args: &WorkerArgs) -> Result<ExitCode> {
    if args.gate {
        let (plan, store) = worker::gate(args)?;
        let summary = gate::judge(&plan, &*store)?;
        summary.lines.iter().for_each(say::done);
        return Ok(if summary.is_green { ExitCode::Done } else { ExitCode::Failed });
    }
    if let Some(results) = &args.results {
        results::clear(results)?;
    }
    let mut say = |line: &str| say::done(line);
    let request = worker::request(args, &mut say)?;
    interrupt::listen()?;
    let record = run::run(&request, &mut say);
    leave(&record, None, args.results.as_deref(), args.record_verdict)
}

/// What a job of a configuration does that is a part of workers.
pub(super) fn run_part(part: Part, args: &BuildArgs) -> Result<ExitCode> {
    let (record, place) = match part {
        Part::Worker(mut request) => {
            interrupt::listen()?;
            let place = request.job.records.take();
            (run::run(&request, &mut |line| say::done(line)), place)
        }
        Part::Gate(plan, store, place) => {
            let mut record = Record::begin(worker_job::GATE, worker_job::GATE, "");
            let summary = gate::judge(&plan, &*store)?;
            summary.lines.iter().for_each(say::done);
            if !summary.is_green {
                record.errors = summary.lines;
            }
            record.verdict = record.judge();
            (record, place)
        }
    };
    leave(&record, place.as_ref(), args.results.as_deref(), args.record_verdict)
}
