//! What failed by itself, and what it has stopped.
//!
//! In: the pipeline, and the last record of each job. Out: failures, each with the jobs and targets behind it.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::pipeline::{Failure, Job, JobNumber, Pipeline, State};
use crate::attribute::AttributePath;
use crate::build::builder_log::last_lines;
use crate::build::record::{DerivationRecord, Outcome, Record, Verdict};
use crate::plan::Plan;
use crate::plan::failures;

/// Failures by job: its derivations that failed, then what is wrong with the job itself. Before anything has run, what does not evaluate.
pub fn failures(pipeline: &Pipeline, last: &HashMap<&str, &Record>) -> Vec<Failure> {
    let mut all = Vec::new();
    let users = users(&pipeline.jobs);
    let missing = missing_targets(pipeline);
    let mut evaluation_is_recorded = false;
    for (number, job) in pipeline.jobs.iter().enumerate() {
        let Some(record) = last.get(&*job.id).filter(|record| record.verdict != Verdict::Cancelled) else { continue };
        evaluation_is_recorded |= !record.failures.is_empty();
        let first = all.len();
        let number = number as JobNumber;
        let failed = record.derivations.iter().filter(|drv| drv.outcome == Outcome::Failed);
        all.extend(failed.map(|drv| of_derivation(drv, number)));
        all.extend(record.failures.iter().map(|failure| of_attribute(failure, number)));
        all.extend(record.errors.iter().map(|error| Failure {
            name: format!("job {}", job.name),
            job: number,
            message: error.clone(),
            ..Failure::default()
        }));
        if all.len() > first {
            let (stopped, targets) = stopped(pipeline, number, &users, &missing);
            all[first..].iter_mut().for_each(|failure| failure.stopped_targets = targets.clone());
            all[first..].iter_mut().for_each(|failure| failure.stopped = stopped.clone());
        }
    }
    if !evaluation_is_recorded {
        let failures = pipeline.plan.map(failures::of).unwrap_or_default();
        all.extend(failures.iter().map(|failure| of_attribute(failure, JobNumber::MAX)));
    }
    all
}

fn of_derivation(drv: &DerivationRecord, job: JobNumber) -> Failure {
    Failure {
        name: drv.name.clone(),
        job,
        class: Some(drv.class.map_or("its build failed", |class| class.text()).to_owned()),
        duration: drv.duration,
        derivation: Some(drv.derivation.clone()),
        attributes: drv.names.attributes.clone(),
        message: drv.message.clone().unwrap_or_default(),
        log: drv.log.as_deref().map(last_lines),
        next: drv.class.map(|class| class.next().to_owned()),
        reproduce: drv.names.reproduce.clone(),
        ..Failure::default()
    }
}

fn of_attribute(failure: &failures::Failure, job: JobNumber) -> Failure {
    Failure {
        name: failure.target.to_string(),
        job,
        class: Some(
            match failure.cause {
                failures::Cause::Evaluation => "does not evaluate",
                failures::Cause::NoExecutor => "no executor builds it",
                failures::Cause::Size => "too large",
            }
            .to_owned(),
        ),
        message: format!("{}{}", failure.message, failure.remark()),
        reproduce: failure.command.clone(),
        ..Failure::default()
    }
}

/// For each job those that need it.
pub fn users(jobs: &[Job]) -> Vec<Vec<JobNumber>> {
    let mut users = vec![Vec::new(); jobs.len()];
    for (number, job) in jobs.iter().enumerate() {
        job.requires.iter().for_each(|&required| users[required as usize].push(number as JobNumber));
    }
    users
}

/// The jobs behind a failed one that did not run, and the targets that do not exist because of it.
fn stopped(
    pipeline: &Pipeline,
    failed: JobNumber,
    users: &[Vec<JobNumber>],
    missing: &HashSet<String>,
) -> (Vec<JobNumber>, Vec<String>) {
    let (mut seen, mut open) = (BTreeSet::new(), vec![failed]);
    while let Some(job) = open.pop() {
        let behind = users[job as usize].iter().filter(|&&user| pipeline.job(user).state == State::Stopped);
        open.extend(behind.copied().filter(|&user| seen.insert(user)));
    }
    let stopped: Vec<JobNumber> = seen.into_iter().collect();
    let jobs = std::iter::once(failed).chain(stopped.iter().copied());
    let targets = jobs.flat_map(|job| &pipeline.job(job).targets).filter(|target| missing.contains(*target));
    let targets = targets.cloned().collect();
    (stopped, targets)
}

/// Targets of the plan that a job should have built and that do not exist.
pub fn missing_targets(pipeline: &Pipeline) -> HashSet<String> {
    let Some(plan) = pipeline.plan.filter(|_| pipeline.has_run) else { return HashSet::new() };
    let good: HashSet<&str> = pipeline
        .derivations
        .iter()
        .filter(|drv| drv.outcome.is_some_and(Outcome::is_good))
        .map(|drv| &*drv.path)
        .collect();
    let derivation: HashMap<&AttributePath, &str> =
        plan.targets.iter().map(|target| (&target.target, &*target.derivation)).collect();
    let mut missing = HashSet::new();
    for (job, planned) in pipeline.jobs.iter().zip(Plan::all_jobs(plan)).filter(|(job, _)| job.state != State::Passed) {
        let is_there = |target: &AttributePath| derivation.get(target).is_some_and(|drv| good.contains(drv));
        let targets = planned.targets.iter().zip(&job.targets);
        missing.extend(targets.filter(|(target, _)| !is_there(target)).map(|(_, name)| name.clone()));
    }
    missing
}
