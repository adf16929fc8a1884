//! What a CircleCI configuration depends on beside the plan: executors, bundle, hand-off, reuse, pipeline parameters.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::limits;
use super::machines;
use super::merge::user_config::UserConfig;
use super::pipeline_parameters::PipelineParameter;
use crate::delivery::downloads::{Download, NixRelease};
use crate::delivery::{BundleReference, HandOff, Push, Reuse, Signing};
use crate::fleet::executor::Executor;
use crate::plan::Plan;
use crate::provider::limits::Limits;

/// How a plan is written for CircleCI.
#[derive(Clone, Debug)]
pub struct Options {
    /// The kinds of machine that jobs may name.
    pub executors: Vec<Executor>,
    /// What the jobs build from; without it the configuration is for reading, and its jobs fail saying so.
    pub bundle: Option<BundleReference>,
    /// How results reach the jobs that need them.
    pub handoff: HandOff,
    /// What a pipeline takes from earlier ones through CircleCI's cache.
    pub reuse: Reuse,
    /// The branch whose complete results other branches may take too.
    pub default_branch: Option<String>,
    /// The keys that the jobs sign with and trust.
    pub signing: Signing,
    /// Where else what is built goes.
    pub push: Push,
    /// Pipeline parameters that the setup configuration takes: CircleCI passes them on, so they have to be declared again.
    pub parameters: Vec<PipelineParameter>,
    /// Configurations of the user's own that join the generated one.
    pub merge: Vec<UserConfig>,
    /// The Nix for machines that have none.
    pub nix: NixRelease,
    /// The nixdag for systems other than the bundle's.
    pub downloads: Vec<Download>,
    /// What the configuration must keep within.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            executors: machines::fleet().executors,
            bundle: None,
            handoff: HandOff::Workspace,
            reuse: Reuse::Branch,
            default_branch: None,
            signing: Signing::default(),
            push: Push::default(),
            parameters: Vec::new(),
            merge: Vec::new(),
            nix: NixRelease::default(),
            downloads: Vec::new(),
            limits: limits::LIMITS,
        }
    }
}

impl Options {
    /// True where jobs attach and persist a workspace.
    pub(super) fn has_workspace(&self) -> bool {
        self.bundle.is_some() && self.handoff == HandOff::Workspace
    }

    /// True where jobs save and restore results in CircleCI's cache.
    pub(super) fn has_reuse(&self) -> bool {
        self.has_workspace() && self.reuse != Reuse::Off
    }

    /// True where what earlier pipelines left counts only with a signature.
    pub(super) fn has_signed_reuse(&self) -> bool {
        self.has_workspace() && self.reuse == Reuse::Signed
    }

    /// Refuses what would break out of a script or a cache key.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            !self.has_signed_reuse() || !self.signing.public_keys.is_empty(),
            "signed results of earlier pipelines need a public key"
        );
        self.bundle.iter().try_for_each(BundleReference::check)?;
        self.nix.check()?;
        self.downloads.iter().try_for_each(Download::check)?;
        self.default_branch.as_deref().map_or(Ok(()), check_branch)?;
        self.parameters.iter().try_for_each(PipelineParameter::check)
    }

    /// The systems of jobs whose machines get no nixdag: neither the bundle's runs there, nor is one downloaded.
    pub fn systems_without_nixdag(&self, plan: &Plan) -> BTreeSet<String> {
        let Some(bundle) = &self.bundle else { return BTreeSet::new() };
        let executor_of = |name: &String| self.executors.iter().find(|executor| executor.name == *name);
        let served = |executor: &&Executor| {
            executor.systems.contains(&bundle.system)
                || executor.systems.first().is_some_and(|own| self.downloads.iter().any(|file| file.system == *own))
        };
        let executors = plan.all_jobs().filter_map(|job| executor_of(job.executor.as_ref()?));
        executors
            .filter(|executor| !served(executor))
            .filter_map(|executor| executor.systems.first().cloned())
            .collect()
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
