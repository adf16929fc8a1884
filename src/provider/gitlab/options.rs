//! What a child pipeline depends on beside the plan: what its jobs start from, and the user's own jobs.

use super::limits;
use super::machines;
use super::merge::user_file::UserFile;
use crate::delivery::HandOff;
use crate::plan::Job;
use crate::provider::job_setup::JobSetup;
use crate::provider::limits::Limits;

/// How a plan is written for GitLab.
#[derive(Clone, Debug)]
pub struct Options {
    /// What jobs start from, and how they deliver.
    pub setup: JobSetup,
    /// What the pipeline must keep within.
    pub limits: Limits,
    /// The user's own jobs.
    pub merge: Vec<UserFile>,
}

impl Default for Options {
    fn default() -> Self {
        let mut setup = JobSetup::new(machines::fleet().executors);
        setup.delivery.handoff = HandOff::ArtifactsOrPackages;
        Self { setup, limits: limits::LIMITS, merge: Vec::new() }
    }
}

impl Options {
    /// How these jobs hand off.
    pub(super) fn handoff(&self, jobs: &[&Job]) -> HandOff {
        let most = limits::NEEDS as usize;
        match &self.setup.delivery.handoff {
            HandOff::ArtifactsOrPackages if jobs.iter().any(|job| job.inputs.len() > most) => HandOff::Packages,
            HandOff::ArtifactsOrPackages => HandOff::Artifacts,
            handoff => handoff.clone(),
        }
    }
}
