//! What the jobs of a configuration start from and how they deliver: what every provider takes beside the plan.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::delivery::downloads::{Download, NixRelease};
use crate::delivery::{BundleReference, Delivery};
use crate::fleet::executor::Executor;
use crate::history::store::KeptIn;
use crate::plan::{Plan, failures};
use crate::secret::VariableName;

/// What jobs start from, and how they deliver.
#[derive(Clone, Debug)]
pub struct JobSetup {
    /// The kinds of machine that jobs may name.
    pub executors: Vec<Executor>,
    /// What the jobs build from; without it the configuration is for reading, and its jobs fail saying so.
    pub bundle: Option<BundleReference>,
    /// How results travel.
    pub delivery: Delivery,
    /// The branch whose complete results other branches may take too.
    pub default_branch: Option<String>,
    /// Whether the CI's own cache keeps what jobs record, for later pipelines.
    pub keeps_records: bool,
    /// Where that is kept instead, where it is the store that jobs hand on through.
    pub records_in: Option<KeptIn>,
    /// The Nix for machines that have none.
    pub nix: NixRelease,
    /// Most jobs that the plan was allowed to have, where anything limits them.
    pub max_jobs: Option<u32>,
    /// The nixdag for systems other than the bundle's.
    pub downloads: Vec<Download>,
    /// The job that comments, where there is to be one.
    pub comment: Option<CommentJob>,
}

/// The job that comments on the pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommentJob {
    /// The variable with its token.
    pub token_variable: VariableName,
    /// The context or environment with that variable; none where every job of the project has it.
    pub context: Option<String>,
}

impl JobSetup {
    /// True where the plan has jobs and there is nothing for them to build from.
    pub fn is_preview(&self, plan: &Plan) -> bool {
        self.bundle.is_none() && (plan.all_jobs().next().is_some() || failures::are_in(plan))
    }

    /// Jobs on these machines that build from nothing yet.
    pub fn new(executors: Vec<Executor>) -> Self {
        Self {
            executors,
            bundle: None,
            delivery: Delivery::default(),
            default_branch: None,
            keeps_records: false,
            records_in: None,
            nix: NixRelease::default(),
            max_jobs: None,
            downloads: Vec::new(),
            comment: None,
        }
    }

    /// Refuses what would break out of a script.
    pub fn check(&self) -> Result<()> {
        self.bundle.iter().try_for_each(BundleReference::check)?;
        self.nix.check()?;
        self.downloads.iter().try_for_each(Download::check)
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
