//! The plan that a provider writes where workers build: jobs that are workers in place of the jobs that they build.
//!
//! In: a plan with workers. Out: the same with a job for each worker, then one that says what all of them have done, and behind that whatever no worker builds. The bundle keeps the first one.
//! A worker may fail, or die: others do its work, and the job behind them fails where something was not built.

use std::collections::{BTreeSet, HashMap};

use super::final_job::FinalJob;
use super::worker_job;
use super::worker_plan::WorkerPlan;
use super::{Estimate, EstimateSource, Job, JobIndex, JobOptions, Plan};

/// The plan for a provider; none where no worker builds.
pub fn of(plan: &Plan) -> Option<Plan> {
    let workers = plan.workers.as_ref()?;
    let is_task: BTreeSet<JobIndex> = workers.jobs().collect();
    let mut jobs: Vec<Job> = Vec::new();
    for crew in &workers.crews {
        let first = JobIndex(jobs.len() as u32);
        let model = crew.lanes.iter().flatten().map(|&job| plan.job(job)).next();
        for (at, lane) in crew.lanes.iter().enumerate() {
            let waits = at + crew.later as usize >= crew.lanes.len();
            let before = if waits { vec![first] } else { Vec::new() };
            let own = job(&worker_job::id(jobs.len()), model);
            let duration = lane.iter().map(|&job| plan.job(job).estimate.duration).fold(0, u64::saturating_add);
            jobs.push(Job {
                requires: before.clone(),
                inputs: before,
                estimate: Estimate { duration, from: EstimateSource::Derivation },
                // What counts is what all of them have done.
                options: JobOptions { allow_failure: true, ..own.options },
                ..own
            });
        }
    }
    let gate = JobIndex(jobs.len() as u32);
    let all: Vec<JobIndex> = (0..gate.0).map(JobIndex).collect();
    let waited: BTreeSet<JobIndex> = jobs.iter().flat_map(|job| job.requires.iter().copied()).collect();
    let last = all.iter().copied().filter(|job| !waited.contains(job)).collect();
    let model = is_task.first().map(|&job| plan.job(job));
    // Any worker may build a target, whatever its lane, and another one finishes it: what is merged waits for all of them.
    let targets = workers.jobs().flat_map(|job| plan.job(job).targets.iter().cloned()).collect();
    jobs.push(Job { targets, requires: last, inputs: all.clone(), ..job(worker_job::GATE, model) });
    // Where each of the plan's jobs is now: what workers build is there when the gate has passed.
    let mut at: HashMap<JobIndex, JobIndex> = is_task.iter().map(|&task| (task, gate)).collect();
    let mut moved = |old: JobIndex, job: &Job, new: JobIndex| {
        let place = |jobs: &[JobIndex]| -> BTreeSet<JobIndex> { jobs.iter().map(|job| at[job]).collect() };
        let (mut requires, mut inputs) = (place(&job.requires), place(&job.inputs));
        if inputs.contains(&gate) {
            inputs.extend(all.iter().copied());
        }
        // Whatever needs no result of a worker waits all the same: those that need it rely on that.
        if requires.iter().any(|&other| other > gate) {
            requires.remove(&gate);
        } else {
            requires.insert(gate);
        }
        at.insert(old, new);
        Job { requires: requires.into_iter().collect(), inputs: inputs.into_iter().collect(), ..job.clone() }
    };
    for (old, job) in plan.jobs.iter().enumerate().map(|(old, job)| (JobIndex(old as u32), job)) {
        if !is_task.contains(&old) {
            jobs.push(moved(old, job, JobIndex(jobs.len() as u32)));
        }
    }
    let mut final_jobs: Vec<FinalJob> = Vec::new();
    for (number, last) in plan.final_jobs.iter().enumerate() {
        let (old, new) = (plan.jobs.len() + number, jobs.len() + number);
        final_jobs.push(FinalJob { job: moved(JobIndex(old as u32), &last.job, JobIndex(new as u32)), ..last.clone() });
    }
    let mut targets = plan.targets.clone();
    targets.iter_mut().for_each(|target| target.job = target.job.map(|job| at[&job]));
    Some(Plan { jobs, final_jobs, targets, workers: None, ..plan.clone() })
}

/// The ids of the jobs that run, workers in place of the jobs that they build; and whether each builds something.
pub fn runs(plan: &Plan) -> Vec<(String, bool)> {
    let workers = plan.workers.as_ref();
    let is_task: BTreeSet<JobIndex> = workers.map(|workers| workers.jobs().collect()).unwrap_or_default();
    let numbers = 0..workers.map_or(0, WorkerPlan::count);
    let others = plan.all_jobs().enumerate().filter(|(at, _)| !is_task.contains(&JobIndex(*at as u32)));
    let others = others.map(|(_, job)| (job.id.clone(), job.builds().next().is_some()));
    numbers.map(|number| (worker_job::id(number), true)).chain(others).collect()
}

/// A job that runs where another one does.
fn job(id: &str, model: Option<&Job>) -> Job {
    Job {
        id: id.to_owned(),
        name: id.to_owned(),
        system: model.map_or_else(String::new, |job| job.system.clone()),
        targets: Vec::new(),
        derivations: Vec::new(),
        co_located: Vec::new(),
        requires: Vec::new(),
        inputs: Vec::new(),
        wave: None,
        executor: model.and_then(|job| job.executor.clone()),
        image: model.and_then(|job| job.image.clone()),
        resource_class: model.and_then(|job| job.resource_class.clone()),
        options: JobOptions { timeout: model.and_then(|job| job.options.timeout), ..JobOptions::default() },
        estimate: Estimate { duration: 0, from: EstimateSource::Default },
        predicted: None,
    }
}
