//! The job that reports what could not be planned: attributes that do not evaluate, targets that no executor builds. It runs the
//! bundle's nixdag on the cheapest machine that can, builds nothing, and fails.

use anyhow::{Context, Result};

use super::super::job_script::kinds::Kind;
use super::super::job_script::{JobScript, Task};
use super::super::yaml::Yaml;
use super::options::Options;
use super::steps;
use crate::fleet::executor::Executor;
use crate::fleet::offers::Offers;
use crate::fleet::size::Machine;
use crate::plan::{Estimate, EstimateSource, Job, JobOptions, failures};

/// What the job would be in a plan: on a machine that starts fastest and costs least, of those that the bundle's nixdag runs on.
pub fn job(options: &Options, offers: &Offers) -> Result<Job> {
    let system = options.setup.bundle.as_ref().map(|bundle| bundle.system.as_str());
    let class = |executor: &Executor| offers.cheapest(executor).to_owned();
    let rank = |executor: &&Executor| {
        let is_foreign = system.is_some_and(|system| executor.system() != system);
        let credits = offers.credits_per_minute(executor, &class(executor));
        (is_foreign, executor.machine != Machine::Docker, credits)
    };
    let executor = options
        .setup
        .executors
        .iter()
        .min_by_key(rank)
        .context("there is no executor for the job that reports what failed")?;
    Ok(Job {
        id: failures::JOB.into(),
        name: failures::JOB.into(),
        system: executor.systems.first().cloned().unwrap_or_default(),
        targets: Vec::new(),
        derivations: Vec::new(),
        co_located: Vec::new(),
        requires: Vec::new(),
        inputs: Vec::new(),
        executor: Some(executor.name.clone()),
        image: None,
        resource_class: Some(class(executor)),
        options: JobOptions::default(),
        estimate: Estimate { duration: 0, from: EstimateSource::Default },
    })
}

/// The job's steps.
pub fn steps(kind: &Kind, options: &Options) -> Result<Vec<Yaml>> {
    let Some(bundle) = &options.setup.bundle else { return Ok(vec![steps::no_bundle()]) };
    let script: JobScript = steps::script(kind, bundle, options, Task::Report)?;
    let mut list = steps::start(&script, bundle);
    list.push(steps::run("Report", &steps::lines(&steps::call(&script, failures::JOB)?)));
    list.extend(steps::keep_results());
    list.push(steps::fail(&script)?);
    Ok(list)
}
