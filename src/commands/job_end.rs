//! How a job ends: what it has recorded is left, and its verdict is the exit code.

use std::io;
use std::path::Path;

use anyhow::Result;

use super::exit_code::ExitCode;
use super::say::warning;
use crate::build::record::{Record, Verdict};
use crate::build::records_place::RecordsPlace;
use crate::build::results;

/// Ends with what a job has recorded, where it is to be left.
pub(super) fn leave(
    record: &Record,
    place: Option<&RecordsPlace>,
    results: Option<&Path>,
    records_verdict: bool,
) -> Result<ExitCode> {
    if let Some(Err(error)) = place.map(|place| place.leave(record)) {
        warning!("no records are left for later pipelines: {error:#}");
    }
    record.summarize(&mut io::stderr().lock())?;
    if let Some(results) = results {
        results::write(record, results)?;
        if records_verdict {
            return Ok(ExitCode::Done);
        }
    }
    Ok(code(record.verdict))
}

/// The exit code of a job.
pub(super) fn code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Success => ExitCode::Done,
        Verdict::Failure | Verdict::Cancelled => ExitCode::Failed,
    }
}
