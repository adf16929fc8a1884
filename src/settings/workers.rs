//! Whether workers build, and what they need for that. In: the options about planning, the provider. Out: what the planner is asked for, or what is missing.

use anyhow::{Context, Result, bail, ensure};

use super::planning::PlanningOptions;
use crate::choice::Choice;
use crate::delivery::HandOffKind;
use crate::fleet::executor::{Executor, brings_nix};
use crate::plan::model::{Mode, WorkerNames};
use crate::plan::{Job, Plan, worker_job};
use crate::provider::Provider;
use crate::usage::usage;
use crate::workers::stores::place::NamesPlace;

/// Whether workers build, and where they talk. Refuses a mode that the provider does not have.
pub(super) fn asked(planning: &PlanningOptions, provider: Provider) -> Result<Option<WorkerNames>> {
    let Some(mode) = planning.mode else { return Ok(None) };
    let has_waves = provider.limits().waves.is_some();
    ensure!(
        mode == Mode::Workers || has_waves == (mode == Mode::Waves),
        usage(format!("`mode: {}` does not exist on {}", mode.name(), provider.title()))
    );
    if mode != Mode::Workers {
        return Ok(None);
    }
    // GitHub's action is at the other end of a pipe.
    if let Some(store) = planning.worker_store.as_deref().filter(|store| !(has_waves && *store == "pipe")) {
        NamesPlace::of_jobs(store).context(usage("`worker_store`"))?;
    }
    Ok(Some(WorkerNames(planning.worker_store.clone())))
}

/// Refuses workers that could not talk, or whose results no other job would find.
pub fn check(plan: &Plan, provider: Provider, handoff: HandOffKind) -> Result<()> {
    let has_store = plan.workers.as_ref().is_some_and(|workers| workers.store.is_some());
    match lacks(has_store, provider, handoff).into_iter().next() {
        Some(lacks) => bail!(lacks),
        None => Ok(()),
    }
}

/// What a pipeline with workers would lack that only plans do without, in sentences.
pub(super) fn lacks(has_store: bool, provider: Provider, handoff: HandOffKind) -> Vec<String> {
    let mut lacks = Vec::new();
    // GitHub's workers have what they need from the workflow.
    if provider.limits().waves.is_some() {
        return lacks;
    }
    if !has_store {
        lacks.push(
            "`mode: workers` needs a store that can say that a name is taken: `worker_store: s3://BUCKET?region=…`, or a folder that all \
             machines see (`--worker-store`)"
                .to_owned(),
        );
    }
    if handoff != HandOffKind::Cache {
        lacks.push(format!(
            "`mode: workers` on {} needs `handoff: cache`: a workspace is written when a job ends, and workers pass on each result at once",
            provider.name()
        ));
    }
    lacks
}

/// What is to be said about machines of workers that are known to have no sandbox as they are set up: the Nix of the image has `sandbox = false`. `plan` has workers as jobs.
pub fn without_sandbox(plan: &Plan, executors: &[Executor]) -> Vec<String> {
    let workers = || plan.all_jobs().filter(|job| worker_job::number(&job.id).is_some());
    let has_none = |executor: &&Executor| {
        let runs = |job: &Job| {
            job.executor.as_ref() == Some(&executor.name)
                && brings_nix(executor.machine, job.image.as_ref().unwrap_or(&executor.image))
        };
        let says = |text: &String| text.contains("sandbox");
        workers().any(runs) && !executor.setup.iter().chain(executor.environment.values()).any(says)
    };
    let warning = |executor: &Executor| {
        format!(
            "workers refuse to run on executor `{}`, whose image sets `sandbox = false`: give it `environment: {{ NIX_CONFIG: \"sandbox = true\" }}` \
             where its containers may make namespaces (or a `setup` that writes that into nix.conf), or use an executor with `machine`",
            executor.name
        )
    };
    executors.iter().filter(has_none).map(warning).collect()
}
