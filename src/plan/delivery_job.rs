//! The job that signs and pushes where no job that builds may: it comes after all of them but those that may fail, fetches what the plan says
//! that they own, and builds nothing. It is in no plan's JSON: where the settings want it configurations have it, and the runner adds it to
//! the plan.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::final_job::FinalJob;
use super::{Estimate, EstimateSource, Job, JobIndex, JobOptions, Plan};

/// Its id and name.
pub const JOB: &str = "sign-and-push";

/// The job; none where nothing is built that has to succeed. Fails where a target's outputs have no paths before they are built: nobody could
/// say which of a job's results they are.
pub fn of(plan: &Plan) -> Result<Option<Job>> {
    for target in plan.targets.iter().filter(|target| target.job.is_some()) {
        ensure!(
            target.outputs.values().all(Option::is_some),
            "`sign: separate` cannot sign `{}`, which is content-addressed: the plan does not know its outputs (use `sign: jobs`, or leave \
             it out)",
            target.target
        );
    }
    let builds = |at: usize| plan.final_job(JobIndex(at as u32)).is_none_or(|job| job.run.is_none());
    let jobs = plan.all_jobs().enumerate().filter(|(at, job)| builds(*at) && !job.options.allow_failure);
    let inputs: Vec<JobIndex> = jobs.map(|(at, _)| JobIndex(at as u32)).collect();
    let required: BTreeSet<usize> =
        inputs.iter().flat_map(|&job| &plan.job(job).requires).map(|required| required.at()).collect();
    let requires: Vec<JobIndex> = inputs.iter().copied().filter(|job| !required.contains(&job.at())).collect();
    Ok((!inputs.is_empty()).then(|| Job {
        id: JOB.into(),
        name: JOB.into(),
        system: String::new(),
        targets: Vec::new(),
        derivations: Vec::new(),
        co_located: Vec::new(),
        requires,
        inputs,
        wave: None,
        executor: None,
        image: None,
        resource_class: None,
        options: JobOptions::default(),
        estimate: Estimate { duration: 0, from: EstimateSource::Default },
        predicted: None,
    }))
}

/// Adds the job to a plan that has been read, where the plan has something for it.
pub fn add(plan: &mut Plan) -> Result<Option<JobIndex>> {
    let at = plan.all_jobs().count() as u32;
    let Some(job) = of(plan)? else { return Ok(None) };
    plan.final_jobs.push(FinalJob::without_command(job));
    Ok(Some(JobIndex(at)))
}
