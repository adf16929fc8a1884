//! Jobs of nixdag's own that build nothing, on the machine that starts fastest and costs least.

use anyhow::{Context, Result};

use super::job_setup::JobSetup;
use crate::fleet::executor::Executor;
use crate::fleet::offers::Offers;
use crate::fleet::size::Machine;
use crate::plan::{Estimate, EstimateSource, Job, JobOptions};

/// What such a job would be in a plan: on one of the machines that the bundle's nixdag runs on, where there are any.
pub fn of(name: &str, setup: &JobSetup, offers: &Offers) -> Result<Job> {
    let system = setup.bundle.as_ref().map(|bundle| bundle.system.as_str());
    let class = |executor: &Executor| offers.cheapest(executor).to_owned();
    let rank = |executor: &&Executor| {
        let is_foreign = system.is_some_and(|system| executor.system() != system);
        let credits = offers.credits_per_minute(executor, &class(executor));
        (is_foreign, executor.machine != Machine::Docker, credits)
    };
    let executor = setup.executors.iter().min_by_key(rank);
    let executor = executor.with_context(|| format!("there is no executor for the job `{name}`"))?;
    Ok(Job {
        id: name.into(),
        name: name.into(),
        system: executor.systems.first().cloned().unwrap_or_default(),
        targets: Vec::new(),
        derivations: Vec::new(),
        co_located: Vec::new(),
        requires: Vec::new(),
        inputs: Vec::new(),
        wave: None,
        executor: Some(executor.name.clone()),
        image: None,
        resource_class: Some(class(executor)),
        options: JobOptions::default(),
        estimate: Estimate { duration: 0, from: EstimateSource::Default },
        predicted: None,
    })
}
