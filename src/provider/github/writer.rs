//! From what users add, and later a plan, to what the planning job puts out and what there is to be said about it.

use anyhow::{Result, ensure};

use super::generate;
use crate::plan::Plan;
use crate::provider::additions::Additions;
use crate::provider::job_setup::JobSetup;

/// What users add to a workflow: nothing, as it never changes.
#[derive(Clone, Debug)]
pub struct Writer {}

impl Writer {
    /// Refuses what only other providers take.
    pub fn new(additions: &Additions) -> Result<Self> {
        additions.refuse_parameters("GitHub has no pipeline parameters")?;
        ensure!(
            additions.merge.is_empty(),
            "`merge` is not supported on GitHub: put jobs of your own into a workflow, beside or behind nixdag's job `gate`"
        );
        Ok(Self {})
    }

    /// The outputs, and warnings about them.
    pub fn write(self, plan: &Plan, setup: JobSetup) -> Result<(String, Vec<String>)> {
        let shells = setup.executors.iter().filter(|executor| executor.shell.is_some());
        let warnings = shells
            .map(|executor| format!("`shell` of executor `{}` has no effect: jobs of GitHub run bash", executor.name))
            .collect();
        Ok((generate(plan, &setup)?, warnings))
    }
}
