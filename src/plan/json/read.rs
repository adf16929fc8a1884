//! Reads a plan, in which nothing is trusted. In: text. Out: a plan that holds together, or an error with the place at fault.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use super::write::VERSION;
use crate::attribute::AttributePath;
use crate::graph::OutputPaths;
use crate::nix::binary_cache::Reliance;
use crate::nix::hash::Sha256;
use crate::nix::store_path;
use crate::plan::change::Change;
use crate::plan::final_job::{FinalJob, Restored};
use crate::plan::predicted::Predicted;
use crate::plan::sizes::SizeCheck;
use crate::plan::worker_plan::WorkersText;
use crate::plan::{
    Base, Estimate, Estimates, EvaluationError, Expected, FlakeSource, Job, JobIndex, JobOptions, Plan, PlannedTarget,
    Skipped,
};
use crate::printable::printable;

#[derive(Deserialize)]
struct PlanIn {
    version: u64,
    #[serde(default)]
    provider: Option<String>,
    flake: Option<FlakeSource>,
    base: Option<Base>,
    store_dir: String,
    #[serde(default)]
    caches: Reliance,
    /// Seconds.
    #[serde(default)]
    job_limit: Option<u32>,
    jobs: Vec<JobIn>,
    #[serde(default)]
    workers: Option<WorkersText>,
    #[serde(default)]
    same_as: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(default)]
    built_while_planning: BTreeMap<Arc<str>, BTreeMap<Arc<str>, String>>,
    #[serde(default)]
    expected: BTreeMap<Arc<str>, Expected>,
    #[serde(default)]
    likeness: BTreeMap<Arc<str>, u32>,
    #[serde(default)]
    targets: Vec<TargetIn>,
    #[serde(default)]
    allow_failure: BTreeSet<AttributePath>,
    #[serde(default, rename = "final")]
    final_jobs: Vec<FinalJobIn>,
    skipped: Vec<Skipped>,
    errors: Vec<EvaluationError>,
    #[serde(default)]
    change: Option<Change>,
    #[serde(default)]
    sizes: Option<SizeCheck>,
    estimates: Estimates,
}

#[derive(Deserialize)]
struct JobIn {
    id: String,
    name: String,
    system: String,
    targets: Vec<AttributePath>,
    derivations: Vec<Arc<str>>,
    co_located: Vec<Arc<str>>,
    requires: Vec<String>,
    inputs: Vec<String>,
    #[serde(default)]
    wave: Option<u32>,
    executor: Option<String>,
    image: Option<String>,
    resource_class: Option<String>,
    options: JobOptions,
    estimate: Estimate,
    #[serde(default)]
    predicted: Option<Predicted>,
}

#[derive(Deserialize)]
struct TargetIn {
    target: AttributePath,
    derivation: Arc<str>,
    outputs: OutputPaths,
    job: Option<String>,
}

#[derive(Deserialize)]
struct FinalJobIn {
    #[serde(flatten)]
    job: JobIn,
    run: Option<String>,
    restore: Vec<Restored>,
    checkout: bool,
    environment: BTreeMap<String, String>,
    resource_group: Option<String>,
}

/// True for an id of the contract: `[a-z][a-z0-9_-]{0,62}`.
pub fn is_id(id: &str) -> bool {
    id.len() <= 63
        && id.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Reads a plan and checks that it holds together: ids, names, references, order, paths. Nothing in it is trusted.
pub fn read(text: &[u8]) -> Result<Plan> {
    #[derive(Deserialize)]
    struct VersionOnly {
        version: serde_json::Value,
    }
    // The version first: a plan of another version need not fit the rest.
    let VersionOnly { version } =
        serde_json::from_slice(text).context("not a plan (expected what `nixdag plan --format json` prints)")?;
    if version != VERSION {
        bail!("the plan has version {version}, this nixdag reads version {VERSION}: make it again with this version");
    }
    let plan: PlanIn =
        serde_json::from_slice(text).context("not a plan (expected what `nixdag plan --format json` prints)")?;
    ensure!(plan.version == VERSION, "the plan names two versions");
    ensure!(
        plan.store_dir.starts_with('/') && !plan.store_dir.ends_with('/'),
        "`store_dir` of the plan is `{}`, expected an absolute path without a slash at its end",
        plan.store_dir.escape_debug()
    );

    plan.caches.check().context("`caches` of the plan")?;

    let mut index = HashMap::new();
    let mut names = HashMap::new();
    let all = plan.jobs.iter().chain(plan.final_jobs.iter().map(|job| &job.job));
    for (position, job) in all.enumerate() {
        ensure!(is_id(&job.id), "job id `{}` does not match `[a-z][a-z0-9_-]{{0,62}}`", job.id.escape_debug());
        ensure!(index.insert(job.id.clone(), position).is_none(), "two jobs have the id `{}`", job.id);
        let name = job.name.to_lowercase();
        ensure!(names.insert(name, position).is_none(), "two jobs have the name `{}`", job.name.escape_debug());
    }
    let context = References { index: &index, store_dir: &plan.store_dir };
    let count = plan.jobs.len();
    let jobs = plan.jobs.into_iter().enumerate().map(|(at, job)| context.job(at, job)).collect::<Result<Vec<_>>>()?;
    let mut final_jobs = Vec::with_capacity(plan.final_jobs.len());
    for (at, job) in plan.final_jobs.into_iter().enumerate() {
        let job = FinalJob {
            job: context.job(count + at, job.job)?,
            restore: job.restore,
            run: job.run,
            checkout: job.checkout,
            environment: job.environment,
            resource_group: job.resource_group,
        };
        job.check(&plan.store_dir)?;
        final_jobs.push(job);
    }
    check_waves(&jobs)?;
    let workers =
        plan.workers.map(|workers| workers.read(&index, &jobs)).transpose().context("`workers` of the plan")?;
    for path in plan.same_as.iter().flat_map(|(drv, stands)| [drv, stands]) {
        context.derivation(path).context("`same_as` of the plan")?;
    }
    let built_while_planning = plan.built_while_planning.into_iter();
    let built_while_planning = built_while_planning
        .map(|(drv, outputs)| context.built(&drv, outputs).map(|outputs| (drv, outputs)))
        .collect::<Result<_>>()
        .context("`built_while_planning` of the plan")?;
    for drv in plan.expected.keys() {
        context.derivation(drv).context("`expected` of the plan")?;
    }
    for drv in plan.likeness.keys() {
        context.derivation(drv).context("`likeness` of the plan")?;
    }
    let changed = plan.change.iter().flat_map(|change| &change.changed);
    for path in changed.flat_map(|changed| changed.base_outputs.values().flatten()) {
        let (dir, _) = store_path::split(path).context("`change` of the plan")?;
        ensure!(dir == plan.store_dir, "`change` of the plan: `{path}` is not in `{}`", plan.store_dir);
    }
    if let Some(sizes) = &plan.sizes {
        ensure!(
            index.contains_key(&sizes.job),
            "`sizes` of the plan: `{}` is not a job of it",
            sizes.job.escape_debug()
        );
        sizes.limits().context("`sizes` of the plan")?;
    }
    let targets = plan.targets.into_iter().map(|target| context.target(target)).collect::<Result<Vec<_>>>()?;
    Ok(Plan {
        provider: plan.provider,
        flake: plan.flake,
        base: plan.base,
        store_dir: plan.store_dir,
        caches: plan.caches,
        job_limit: plan.job_limit.map(|seconds| u64::from(seconds) * 1000),
        jobs,
        workers,
        same_as: plan.same_as,
        built_while_planning,
        expected: plan.expected,
        likeness: plan.likeness,
        targets,
        allow_failure: plan.allow_failure.into_iter().collect(),
        final_jobs,
        skipped: plan.skipped,
        errors: plan.errors,
        change: plan.change,
        sizes: plan.sizes,
        estimates: plan.estimates,
    })
}

/// Refuses waves that are no order: none, or one for each job, behind those of all that it takes something from.
fn check_waves(jobs: &[Job]) -> Result<()> {
    let has_waves = jobs.iter().any(|job| job.wave.is_some());
    for job in jobs.iter().filter(|_| has_waves) {
        let wave = job.wave.filter(|wave| *wave > 0);
        let wave = wave.with_context(|| format!("job `{}` of the plan has no wave, and others do", job.id))?;
        let late = job.inputs.iter().chain(&job.requires).find(|input| jobs[input.at()].wave >= Some(wave));
        if let Some(late) = late {
            bail!("job `{}` needs `{}`, which is in no wave before its own", job.id, jobs[late.at()].id);
        }
    }
    Ok(())
}

/// What the jobs that are read refer to.
struct References<'a> {
    /// Position of each id.
    index: &'a HashMap<String, usize>,
    store_dir: &'a str,
}

impl References<'_> {
    /// Checks that a path is one of a derivation in the plan's store directory.
    fn derivation(&self, path: &str) -> Result<()> {
        let (dir, _) = store_path::split(path)?;
        ensure!(
            dir == self.store_dir && path.ends_with(".drv"),
            "`{}` is not a derivation in `{}`",
            path.escape_debug(),
            self.store_dir
        );
        Ok(())
    }

    /// Checks what was built of one derivation.
    fn built(&self, drv: &str, outputs: BTreeMap<Arc<str>, String>) -> Result<BTreeMap<Arc<str>, Sha256>> {
        self.derivation(drv)?;
        let checked = outputs.into_iter().map(|(path, digest)| {
            let (dir, _) = store_path::split(&path)?;
            ensure!(dir == self.store_dir, "`{path}` is not in `{}`", self.store_dir);
            Ok((path, Sha256::parse(&digest)?))
        });
        checked.collect()
    }

    /// Checks one target.
    fn target(&self, target: TargetIn) -> Result<PlannedTarget> {
        let what = || format!("target `{}` of the plan", printable(&target.target.to_string()));
        self.derivation(&target.derivation).with_context(what)?;
        for path in target.outputs.values().flatten() {
            let (dir, _) = store_path::split(path).with_context(what)?;
            ensure!(dir == self.store_dir, "{}: `{path}` is not in `{}`", what(), self.store_dir);
        }
        let job = target.job.as_ref().map(|id| match self.index.get(id) {
            Some(&at) => Ok(JobIndex(at as u32)),
            None => Err(anyhow!("{}: job `{}` is not a job of the plan", what(), id.escape_debug())),
        });
        let job = job.transpose()?;
        Ok(PlannedTarget { job, target: target.target, derivation: target.derivation, outputs: target.outputs })
    }

    /// Checks one job, which stands at this position.
    fn job(&self, position: usize, job: JobIn) -> Result<Job> {
        let resolve = |ids: Vec<String>| -> Result<Vec<JobIndex>> {
            let mut found = ids
                .iter()
                .map(|id| match self.index.get(id) {
                    Some(&at) if at < position => Ok(JobIndex(at as u32)),
                    Some(_) => Err(anyhow!("job `{}` needs `{id}`, which does not come before it", job.id)),
                    None => {
                        Err(anyhow!("job `{}` needs `{}`, which is not a job of the plan", job.id, id.escape_debug()))
                    }
                })
                .collect::<Result<Vec<_>>>()?;
            found.sort_unstable();
            found.dedup();
            Ok(found)
        };
        job.options.check().with_context(|| format!("job `{}` of the plan", job.id))?;
        if let Some(predicted) = &job.predicted {
            let builds = job.derivations.len() + job.co_located.len();
            predicted.check(builds).with_context(|| format!("job `{}` of the plan", job.id))?;
        }
        let (requires, inputs) = (resolve(job.requires)?, resolve(job.inputs)?);
        for path in job.derivations.iter().chain(&job.co_located) {
            self.derivation(path).with_context(|| format!("job `{}` of the plan", job.id))?;
        }
        Ok(Job {
            id: job.id,
            name: job.name,
            system: job.system,
            targets: job.targets,
            derivations: job.derivations,
            co_located: job.co_located,
            requires,
            inputs,
            wave: job.wave,
            executor: job.executor,
            image: job.image,
            resource_class: job.resource_class,
            options: job.options,
            estimate: job.estimate,
            predicted: job.predicted,
        })
    }
}
