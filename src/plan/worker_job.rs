//! Everything that a worker's machine may build, as one job: what a worker imports, and what its record is called. It is in no plan's JSON: the runner adds it to the plan.

use anyhow::{Context, Result};

use super::final_job::FinalJob;
use super::{Estimate, EstimateSource, Job, JobIndex, JobOptions, Plan};
use crate::plural::counted;

/// The id and name of the job that says what all workers have done.
pub const GATE: &str = "nixdag-workers";

/// What the ids of workers begin with.
const WORKER: &str = "nixdag-worker-";

/// The id and name of a worker's job.
pub fn id(worker: usize) -> String {
    format!("{WORKER}{worker}")
}

/// The number of the worker whose job has this id.
pub fn number(job: &str) -> Option<u32> {
    let number = job.strip_prefix(WORKER)?.parse().ok()?;
    (id(number as usize) == job).then_some(number)
}

/// True for an id or a name, in lower case, that only jobs of workers have.
pub fn is_own(name: &str) -> bool {
    name == GATE || number(name).is_some()
}

/// Adds the job of a worker to a plan that has been read.
pub fn add(plan: &mut Plan, worker: usize) -> Result<JobIndex> {
    let workers = plan.workers.as_ref().context("the plan is not one for workers (`mode: workers`)")?;
    let (_, crew, _) = workers.crew_of(worker).with_context(|| {
        format!("the plan has {}, numbered from 0: there is no worker {worker}", counted(workers.count(), "worker"))
    })?;
    let mut jobs: Vec<JobIndex> = crew.lanes.iter().flatten().copied().collect();
    jobs.sort_unstable();
    let first = jobs.first().map(|&job| plan.job(job));
    let job = Job {
        id: id(worker),
        name: id(worker),
        system: first.map_or_else(String::new, |job| job.system.clone()),
        targets: Vec::new(),
        derivations: jobs.iter().flat_map(|&job| plan.job(job).derivations.iter().cloned()).collect(),
        co_located: Vec::new(),
        requires: Vec::new(),
        inputs: Vec::new(),
        wave: None,
        executor: first.and_then(|job| job.executor.clone()),
        image: first.and_then(|job| job.image.clone()),
        resource_class: first.and_then(|job| job.resource_class.clone()),
        options: JobOptions::default(),
        estimate: Estimate { duration: 0, from: EstimateSource::Default },
        predicted: None,
    };
    let at = plan.all_jobs().count() as u32;
    plan.final_jobs.push(FinalJob::without_command(job));
    Ok(JobIndex(at))
}
