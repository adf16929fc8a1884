//! Settings: what the stages are told, resolved once from the command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::cli;
use crate::executor::{Executor, circleci_defaults};
use crate::nix::evaluate::Systems;
use crate::pattern::Pattern;
use crate::plan::estimate::CostModel;
use crate::plan::model::{Effort, Granularity, Limits, Objective, Options};
use crate::provider::Provider;

/// Where the plan comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flake to evaluate.
    Flake(String),
    /// A recorded evaluation.
    Roots(PathBuf),
    /// A plan.
    Plan(PathBuf),
}

/// What counts as available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Available {
    /// Nothing: everything is to be built.
    Nothing,
    /// The store paths in this file; `-` is standard input.
    File(PathBuf),
    /// What is valid in this machine's store.
    LocalStore,
}

/// Everything that planning is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the plan comes from.
    pub source: Source,
    /// Folder with `.drv` files; none for the store directory.
    pub drv_dir: Option<PathBuf>,
    /// Patterns of attributes to take; none for the default.
    pub select: Vec<Pattern>,
    /// Patterns of attributes to leave out.
    pub exclude: Vec<Pattern>,
    /// Which systems' attributes to take.
    pub systems: Systems,
    /// An attribute that does not evaluate is fatal.
    pub strict: bool,
    /// Inputs of the flake and what to take for them.
    pub override_inputs: Vec<(String, String)>,
    /// Evaluation may build derivations.
    pub allow_import_from_derivation: bool,
    /// What counts as available.
    pub available: Available,
    /// Assumptions about time.
    pub costs: CostModel,
    /// Files with durations of earlier runs.
    pub history: Vec<PathBuf>,
    /// What the planner is asked for.
    pub planner: Options,
    /// How results reach the jobs that need them, where that is said.
    pub handoff: Option<cli::HandOffKind>,
    /// The machines that the provider offers.
    pub executors: Vec<Executor>,
}

impl Settings {
    /// Resolves the command line.
    pub fn new(flags: &cli::Planning) -> Result<Self> {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::parse(text)).collect::<Result<Vec<_>>>();
        let source = match (&flags.plan, &flags.roots) {
            (Some(plan), _) => Source::Plan(plan.clone()),
            (None, Some(roots)) => Source::Roots(roots.clone()),
            (None, None) => Source::Flake(flags.flake.clone().unwrap_or_else(|| ".".into())),
        };
        if flags.drv_dir.is_some() && matches!(source, Source::Flake(_)) {
            bail!("`--drv-dir` goes with `--roots` or `--plan`: a flake's derivations are in the store");
        }
        let systems = match (flags.all_systems, flags.system.is_empty()) {
            (true, _) => Systems::All,
            (false, true) => Systems::Current,
            (false, false) => Systems::Listed(flags.system.clone()),
        };
        let available = match (&flags.available, flags.local_store) {
            (Some(file), _) => Available::File(file.clone()),
            (None, true) => Available::LocalStore,
            (None, false) => Available::Nothing,
        };
        Ok(Self {
            source,
            drv_dir: flags.drv_dir.clone(),
            select: patterns(&flags.select).context("`--select`")?,
            exclude: patterns(&flags.exclude).context("`--exclude`")?,
            systems,
            strict: flags.strict,
            override_inputs: flags
                .override_input
                .chunks_exact(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect(),
            allow_import_from_derivation: flags.allow_ifd,
            available,
            costs: CostModel { concurrency: flags.concurrency as usize, ..CostModel::default() },
            history: flags.history.clone(),
            planner: Options {
                objective: match flags.objective {
                    cli::Objective::Time => Objective::Time,
                    cli::Objective::Balanced => Objective::Balanced,
                    cli::Objective::Cost => Objective::Cost,
                },
                granularity: match flags.granularity {
                    cli::Granularity::Target => Granularity::Target,
                    cli::Granularity::Auto => Granularity::Auto,
                    cli::Granularity::Single => Granularity::Single,
                },
                limits: limits(flags.max_jobs),
                reserve: flags.reserve,
                durations_recorded: false,
                effort: Effort(flags.effort),
            },
            handoff: flags.handoff,
            executors: circleci_defaults(),
        })
    }
}

/// What the provider allows, and what the user does.
fn limits(max_jobs: Option<u32>) -> Limits {
    let provider = Provider::CircleCi.limits();
    Limits {
        jobs: [provider.jobs, max_jobs].into_iter().flatten().min().map(|most| most as usize),
        requires: provider.requires.map(|most| most as usize),
        job_length: Some(provider.job_seconds * 1000),
    }
}
