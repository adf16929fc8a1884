//! What the jobs of a branch's pipelines leave in the store that they hand on through.
//!
//! In: the store, the branch, the plan of this pipeline. Out: bytes of this plan's jobs. Pipelines of a branch overwrite each other's: before what a
//! job leaves stands a line that says whose plan it belongs to.

use anyhow::{Result, bail, ensure};

use crate::history::records::Records;
use crate::history::store::{RecordStore, Subject};
use crate::nix::hash::Sha256;
use crate::plan::{Plan, json};

/// Where the pipelines of a branch leave records in a store.
#[derive(Debug)]
pub struct StoredRecords {
    /// The store.
    pub store: RecordStore,
    /// The branch.
    pub subject: Subject,
    /// Tells the jobs of this plan from those of other pipelines of the branch.
    plan: Sha256,
}

impl StoredRecords {
    /// Of the jobs of a plan.
    pub fn new(store: RecordStore, subject: Subject, plan: &Plan) -> Result<Self> {
        let mut text = Vec::new();
        json::write(plan, &mut text)?;
        Ok(Self { store, subject, plan: Sha256::of(&text) })
    }

    /// Leaves something of a job, by a name that no other job has.
    pub fn leave(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let text = [self.plan.base16().as_bytes(), b"\n", bytes].concat();
        self.store.put(&self.subject.job(name), &text)
    }

    /// What a job has left, from an answer of the store; none where that was a job of another plan. More than `most` bytes are an error.
    pub fn of_job(&self, answer: Result<Option<Vec<u8>>>, most: u64) -> Result<Option<Vec<u8>>> {
        let Some(mut text) = answer? else { return Ok(None) };
        ensure!(text.len() as u64 <= most, "more than {most} bytes");
        let Some(end) = text.iter().position(|byte| *byte == b'\n') else { bail!("no records of a job") };
        if &text[..end] != self.plan.base16().as_bytes() {
            return Ok(None);
        }
        text.drain(..=end);
        Ok(Some(text))
    }

    /// What is known of earlier pipelines of the branch. `now` in seconds since 1970.
    pub fn known(&self, now: u64) -> Result<Records> {
        let known = self.store.get(&self.subject)?;
        known.map_or_else(|| Ok(Records::default()), |text| Records::read(&text, now))
    }

    /// Keeps records for later pipelines of the branch.
    pub fn keep(&self, records: &Records) -> Result<()> {
        let mut text = Vec::new();
        records.write(&mut text)?;
        self.store.put(&self.subject, &text)
    }
}
