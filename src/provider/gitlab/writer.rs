//! From what users add to a pipeline, and later a plan, to its text and what there is to be said about it.

use anyhow::Result;

use super::generate;
use super::limits;
use super::merge::user_file::UserFile;
use super::options::Options;
use crate::fleet::executor::Executor;
use crate::plan::Plan;
use crate::provider::additions::Additions;
use crate::provider::job_setup::JobSetup;
use crate::provider::limits::Limits;

/// What users add to a pipeline, read.
#[derive(Clone, Debug)]
pub struct Writer {
    merge: Vec<UserFile>,
}

impl Writer {
    /// Reads the files.
    pub fn new(additions: &Additions) -> Result<Self> {
        additions.refuse_parameters(
            "GitLab has no pipeline parameters (`variables` of the trigger job reach the child pipeline)",
        )?;
        Ok(Self { merge: additions.merge.iter().map(|path| UserFile::read(path)).collect::<Result<_>>()? })
    }

    /// The pipeline, and warnings about it.
    pub fn write(self, plan: &Plan, setup: JobSetup) -> Result<(String, Vec<String>)> {
        let shells = setup.executors.iter().filter(|executor| executor.shell.is_some());
        let warning = |executor: &Executor| {
            format!("`shell` of executor `{}` has no effect: GitLab's runners choose the shell", executor.name)
        };
        let mut warnings: Vec<String> = shells.map(warning).collect();
        let limits = Limits { jobs: limits::LIMITS.jobs.max(setup.max_jobs), ..limits::LIMITS };
        let (text, more) = generate(plan, &Options { setup, limits, merge: self.merge })?;
        warnings.extend(more);
        Ok((text, warnings))
    }
}
