//! What a CircleCI configuration depends on beside the plan: what its jobs start from, pipeline parameters, the user's own configurations.

use anyhow::{Result, ensure};

use super::limits;
use super::machines;
use super::merge::user_config::UserConfig;
use super::pipeline_parameters::PipelineParameter;
use crate::delivery::{HandOff, Reuse};
use crate::provider::job_setup::JobSetup;
use crate::provider::limits::Limits;

/// How a plan is written for CircleCI.
#[derive(Clone, Debug)]
pub struct Options {
    /// What jobs start from, and how they deliver.
    pub setup: JobSetup,
    /// Pipeline parameters that the setup configuration takes: CircleCI passes them on, so they have to be declared again.
    pub parameters: Vec<PipelineParameter>,
    /// Configurations of the user's own that join the generated one.
    pub merge: Vec<UserConfig>,
    /// What the configuration must keep within.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            setup: JobSetup::new(machines::fleet().executors),
            parameters: Vec::new(),
            merge: Vec::new(),
            limits: limits::LIMITS,
        }
    }
}

impl Options {
    /// True where jobs hand on through a workspace.
    pub(super) fn has_workspace(&self) -> bool {
        self.setup.bundle.is_some() && self.setup.delivery.handoff == HandOff::Workspace
    }

    /// Refuses what would break out of a script or a cache key.
    pub(super) fn check(&self) -> Result<()> {
        let delivery = &self.setup.delivery;
        ensure!(
            delivery.handoff != HandOff::Workspace
                || delivery.reuse != Some(Reuse::Signed)
                || !delivery.signing.public_keys.is_empty(),
            "signed results of earlier pipelines need a public key"
        );
        self.setup.check()?;
        self.setup.default_branch.as_deref().map_or(Ok(()), check_branch)?;
        self.parameters.iter().try_for_each(PipelineParameter::check)
    }
}

/// Refuses a branch that would be something else in a cache key: CircleCI reads `{{`, which Git allows, as a template.
fn check_branch(branch: &str) -> Result<()> {
    ensure!(
        !branch.is_empty() && !branch.contains("{{") && !branch.contains("..") && !branch.contains(char::is_control),
        "`{}` cannot be the default branch in a cache key",
        branch.escape_debug()
    );
    Ok(())
}
