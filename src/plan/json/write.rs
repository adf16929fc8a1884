//! Writes a plan. In: the plan. Out: the contract's text.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Result;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::attribute::AttributePath;
use crate::graph::OutputPaths;
use crate::nix::hash::Sha256;
use crate::plan::final_job::Restored;
use crate::plan::predicted::Predicted;
use crate::plan::worker_plan::WorkersText;
use crate::plan::{Estimate, Job, JobIndex, JobOptions, Plan};

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
    if let Some(workers) = &plan.workers {
        member(out, "workers", &WorkersText::new(&plan.jobs, workers), ",")?;
    }
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
    if !plan.likeness.is_empty() {
        member(out, "likeness", &plan.likeness, ",")?;
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
    if let Some(change) = &plan.change {
        member(out, "change", change, ",")?;
    }
    if let Some(sizes) = &plan.sizes {
        member(out, "sizes", sizes, ",")?;
    }
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
