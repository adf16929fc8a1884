//! From what users add to a pipeline, and later a plan, to its text and what there is to be said about it.

use anyhow::{Result, ensure};

use super::generate;
use super::limits;
use super::options::Options;
use crate::fleet::executor::Executor;
use crate::plan::Plan;
use crate::provider::additions::Additions;
use crate::provider::job_setup::JobSetup;
use crate::provider::limits::Limits;

/// What users add to a pipeline, read.
#[derive(Clone, Debug)]
pub struct Writer {}

impl Writer {
    /// Reads the files.
    pub fn new(additions: &Additions) -> Result<Self> {
        additions.refuse_parameters(
            "GitLab has no pipeline parameters (`variables` of the trigger job reach the child pipeline)",
        )?;
        ensure!(additions.merge.is_empty(), "`merge`: jobs of your own cannot be added to a pipeline of GitLab yet");
        Ok(Self {})
    }

    /// The pipeline, and warnings about it.
    pub fn write(self, plan: &Plan, setup: JobSetup) -> Result<(String, Vec<String>)> {
        let shells = setup.executors.iter().filter(|executor| executor.shell.is_some());
        let warning = |executor: &Executor| {
            format!("`shell` of executor `{}` has no effect: GitLab's runners choose the shell", executor.name)
        };
        let warnings = shells.map(warning).collect();
        let limits = Limits { jobs: limits::LIMITS.jobs.max(setup.max_jobs), ..limits::LIMITS };
        let options = Options { setup, limits };
        Ok((generate(plan, &options)?, warnings))
    }
}
