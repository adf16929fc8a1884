//! The job that fails in the place of what could not be planned. In: a plan with failures. Out: a [`Record`] that names each of them.
//! It builds nothing and needs no Nix.

use std::time::SystemTime;

use super::record::{HandedOff, Record, VERSION, Verdict};
use crate::nix::system;
use crate::plan::{Plan, failures};

/// The record of the job.
pub fn record(plan: &Plan) -> Record {
    let mut record = Record {
        version: VERSION,
        job: failures::JOB.into(),
        name: failures::JOB.into(),
        system: system::current(),
        nix: String::new(),
        started: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        duration: 0,
        verdict: Verdict::Success,
        errors: Vec::new(),
        derivations: Vec::new(),
        failures: failures::of(plan),
        missing: Vec::new(),
        damaged: Vec::new(),
        fetched: 0,
        handed_off: HandedOff::default(),
        pushed: Vec::new(),
    };
    record.verdict = record.judge();
    record
}
