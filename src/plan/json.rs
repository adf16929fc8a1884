//! The plan as JSON, version 1: one line a job, keys in the contract's order, and back with every reference checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::final_job::{FinalJob, Restored};
use super::predicted::Predicted;
use super::{
    Base, Estimate, Estimates, EvaluationError, Expected, FlakeSource, Job, JobIndex, JobOptions, Plan, PlannedTarget,
    Skipped,
};
use crate::attribute::AttributePath;
use crate::graph::OutputPaths;
use crate::nix::binary_cache::Reliance;
use crate::nix::hash::Sha256;
use crate::nix::store_path;
use crate::printable::printable;

/// The version that this program writes and reads.
pub const VERSION: u64 = 1;

/// A job as the contract writes it; references to jobs are ids.
#[derive(Serialize)]
struct JobOut<'a> {
    id: &'a str,
    name: &'a str,
    system: &'a str,
    targets: &'a [AttributePath],
    derivations: Paths<'a>,
    co_located: Paths<'a>,
    requires: Ids<'a>,
    inputs: Ids<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<u32>,
    executor: Option<&'a str>,
    image: Option<&'a str>,
    resource_class: Option<&'a str>,
    options: &'a JobOptions,
    estimate: Estimate,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<&'a Predicted>,
}

impl<'a> JobOut<'a> {
    fn new(plan: &'a Plan, job: &'a Job) -> Self {
        Self {
            id: &job.id,
            name: &job.name,
            system: &job.system,
            targets: &job.targets,
            derivations: Paths(&job.derivations),
            co_located: Paths(&job.co_located),
            requires: Ids(plan, &job.requires),
            inputs: Ids(plan, &job.inputs),
            wave: job.wave,
            executor: job.executor.as_deref(),
            image: job.image.as_deref(),
            resource_class: job.resource_class.as_deref(),
            options: &job.options,
            estimate: job.estimate,
            predicted: job.predicted.as_ref(),
        }
    }
}

/// A final job as the contract writes it: the keys of a job, and more.
#[derive(Serialize)]
struct FinalJobOut<'a> {
    #[serde(flatten)]
    job: JobOut<'a>,
    run: Option<&'a str>,
    restore: &'a [Restored],
    checkout: bool,
    environment: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_group: Option<&'a str>,
}

/// A target as the contract writes it.
#[derive(Serialize)]
struct TargetOut<'a> {
    target: &'a AttributePath,
    derivation: &'a str,
    outputs: &'a OutputPaths,
    job: Option<&'a str>,
}

struct Paths<'a>(&'a [Arc<str>]);

impl Serialize for Paths<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|path| &**path))
    }
}

struct Ids<'a>(&'a Plan, &'a [JobIndex]);

impl Serialize for Ids<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.1.len()))?;
        for &job in self.1 {
            seq.serialize_element(&self.0.job(job).id)?;
        }
        seq.end()
    }
}

/// Writes the plan, a job a line.
pub fn write(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{{\n  \"version\": {VERSION},")?;
    if let Some(provider) = &plan.provider {
        member(out, "provider", provider, ",")?;
    }
    member(out, "flake", &plan.flake, ",")?;
    member(out, "base", &plan.base, ",")?;
    member(out, "store_dir", &plan.store_dir, ",")?;
    if !plan.caches.is_empty() {
        member(out, "caches", &plan.caches, ",")?;
    }
    if let Some(limit) = plan.job_limit {
        member(out, "job_limit", &(limit / 1000), ",")?;
    }
    list(out, "jobs", plan.jobs.iter().map(|job| JobOut::new(plan, job)))?;
    if !plan.same_as.is_empty() {
        member(out, "same_as", &plan.same_as, ",")?;
    }
    if !plan.built_while_planning.is_empty() {
        let digests = |outputs: &BTreeMap<Arc<str>, Sha256>| -> BTreeMap<Arc<str>, String> {
            outputs.iter().map(|(path, digest)| (path.clone(), format!("sha256:{}", digest.base32()))).collect()
        };
        let built: BTreeMap<_, _> =
            plan.built_while_planning.iter().map(|(drv, outputs)| (drv, digests(outputs))).collect();
        member(out, "built_while_planning", &built, ",")?;
    }
    if !plan.expected.is_empty() {
        member(out, "expected", &plan.expected, ",")?;
    }
    list(
        out,
        "targets",
        plan.targets.iter().map(|target| TargetOut {
            target: &target.target,
            derivation: &target.derivation,
            outputs: &target.outputs,
            job: target.job.map(|job| plan.job(job).id.as_str()),
        }),
    )?;
    if !plan.allow_failure.is_empty() {
        member(out, "allow_failure", &plan.allow_failure, ",")?;
    }
    list(
        out,
        "final",
        plan.final_jobs.iter().map(|job| FinalJobOut {
            job: JobOut::new(plan, &job.job),
            run: job.run.as_deref(),
            restore: &job.restore,
            checkout: job.checkout,
            environment: &job.environment,
            resource_group: job.resource_group.as_deref(),
        }),
    )?;
    list(out, "skipped", plan.skipped.iter())?;
    list(out, "errors", plan.errors.iter())?;
    member(out, "critical_path", &Ids(plan, &plan.critical_path()), ",")?;
    member(out, "estimates", &plan.estimates, "")?;
    writeln!(out, "}}")
}

fn member(out: &mut impl Write, key: &str, value: &impl Serialize, comma: &str) -> io::Result<()> {
    write!(out, "  \"{key}\": ")?;
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out, "{comma}")
}

fn list(out: &mut impl Write, key: &str, items: impl Iterator<Item = impl Serialize>) -> io::Result<()> {
    write!(out, "  \"{key}\": [")?;
    let mut empty = true;
    for item in items {
        out.write_all(if empty { b"\n    " } else { b",\n    " })?;
        serde_json::to_writer(&mut *out, &item)?;
        empty = false;
    }
    out.write_all(if empty { b"],\n" } else { b"\n  ],\n" })
}

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
    same_as: BTreeMap<Arc<str>, Arc<str>>,
    #[serde(default)]
    built_while_planning: BTreeMap<Arc<str>, BTreeMap<Arc<str>, String>>,
    #[serde(default)]
    expected: BTreeMap<Arc<str>, Expected>,
    #[serde(default)]
    targets: Vec<TargetIn>,
    #[serde(default)]
    allow_failure: BTreeSet<AttributePath>,
    #[serde(default, rename = "final")]
    final_jobs: Vec<FinalJobIn>,
    skipped: Vec<Skipped>,
    errors: Vec<EvaluationError>,
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
    let targets = plan.targets.into_iter().map(|target| context.target(target)).collect::<Result<Vec<_>>>()?;
    Ok(Plan {
        provider: plan.provider,
        flake: plan.flake,
        base: plan.base,
        store_dir: plan.store_dir,
        caches: plan.caches,
        job_limit: plan.job_limit.map(|seconds| u64::from(seconds) * 1000),
        jobs,
        same_as: plan.same_as,
        built_while_planning,
        expected: plan.expected,
        targets,
        allow_failure: plan.allow_failure.into_iter().collect(),
        final_jobs,
        skipped: plan.skipped,
        errors: plan.errors,
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
