//! The job that fails in the place of what could not be planned. In: a plan with failures. Out: a [`Record`] that names each of them.
//! It builds nothing and needs no Nix.

use super::record::Record;
use crate::nix::system;
use crate::plan::{Plan, failures};

/// The record of the job.
pub fn record(plan: &Plan) -> Record {
    let mut record = Record::begin(failures::JOB, failures::JOB, &system::current());
    record.failures = failures::of(plan);
    record.verdict = record.judge();
    record
}
