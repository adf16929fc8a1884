//! `nixdag worker`: builds one derivation after another beside other workers, or says what all of them have done.

use std::io;

use anyhow::Result;

use super::exit_code::ExitCode;
use super::say;
use crate::build::record::Verdict;
use crate::build::{interrupt, results};
use crate::cli::WorkerArgs;
use crate::settings::worker;
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
    record.summarize(&mut io::stderr().lock())?;
    if let Some(results) = &args.results {
        results::write(&record, results)?;
        if args.record_verdict {
            return Ok(ExitCode::Done);
        }
    }
    Ok(if record.verdict == Verdict::Success { ExitCode::Done } else { ExitCode::Failed })
}
