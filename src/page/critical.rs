//! The chain of jobs that decided when the pipeline ended, or will decide it.
//!
//! In: the pipeline. Out: jobs, the first one first.

use super::pipeline::{Job, JobNumber, Pipeline};
use crate::plan::Plan;

/// Ends and starts that are nearer count as the same, milliseconds: records know starts in whole seconds.
const CLOCK: u64 = 2_000;

/// From first to last. Measured, it leads from the job that ended last back to the job that it waited for: the last of those that it needs, or
/// one whose machine it got.
pub fn path(pipeline: &Pipeline) -> Vec<JobNumber> {
    if !pipeline.has_run {
        return pipeline.plan.map(Plan::critical_path).unwrap_or_default().iter().map(|job| job.0).collect();
    }
    let end = |number: JobNumber| pipeline.job(number).run().and_then(|run| run.span.end());
    let latest = |jobs: &mut dyn Iterator<Item = JobNumber>| {
        jobs.filter(|&job| end(job).is_some()).max_by_key(|&job| (end(job), std::cmp::Reverse(job)))
    };
    let mut path = Vec::new();
    let mut at = latest(&mut (0..pipeline.jobs.len() as JobNumber));
    while let Some(job) = at.filter(|job| !path.contains(job)) {
        path.push(job);
        let needed = latest(&mut pipeline.job(job).requires.iter().copied());
        at = waited_for(pipeline, job).or(needed);
    }
    path.reverse();
    path
}

/// The job whose machine this one got: it had waited while as many jobs ran as may, and began when that one ended.
fn waited_for(pipeline: &Pipeline, number: JobNumber) -> Option<JobNumber> {
    let job = pipeline.job(number);
    job.run()?.waited.filter(|&waited| waited > CLOCK)?;
    let start = job.run()?.span.start?;
    let limit = pipeline.plan?.estimates.model?.concurrency;
    let others = pipeline.jobs.iter().enumerate().filter(|(other, _)| *other != number as usize);
    let spans = others.filter_map(|(other, job)| Some((other as JobNumber, job, &job.run()?.span)));
    let running: Vec<(JobNumber, &Job, u64)> = spans
        .filter_map(|(other, job, span)| Some((other, job, span.start?, span.end()?)))
        .filter(|(.., from, end)| *from < start && end.saturating_add(CLOCK) >= start)
        .map(|(other, job, _, end)| (other, job, end))
        .collect();
    if (running.len() as u64) < limit {
        return None;
    }
    let near = running.iter().filter(|(_, other, end)| other.system == job.system && end.abs_diff(start) <= CLOCK);
    near.min_by_key(|(other, _, end)| (end.abs_diff(start), *other)).map(|(other, ..)| *other)
}

#[cfg(test)]
mod tests {
    use super::super::pipeline::{Run, Span, State};
    use super::*;
    use crate::plan::model::ModelFigures;
    use crate::plan::{Estimates, Plan};

    /// Two jobs that need nothing: the second one waits until the first has ended.
    fn path_with(concurrency: u64) -> Vec<JobNumber> {
        let job = |start: u64, waited: u64| Job {
            id: String::new(),
            name: String::new(),
            system: String::new(),
            resource_class: None,
            state: State::Passed,
            is_final: false,
            requires: Vec::new(),
            predicted: None,
            runs: vec![Run {
                span: Span { start: Some(start), total: 60_000, ..Span::default() },
                waited: Some(waited),
                has_ended: false,
                state: State::Passed,
            }],
            targets: Vec::new(),
            derivations: 0..0,
        };
        let model = Some(ModelFigures { concurrency, ..ModelFigures::default() });
        let plan = Plan { estimates: Estimates { model, ..Estimates::default() }, ..Plan::default() };
        let jobs = vec![job(0, 0), job(60_500, 60_500)];
        path(&Pipeline { plan: Some(&plan), has_run: true, jobs, ..Pipeline::default() })
    }

    #[test]
    fn a_job_that_waited_for_a_machine_comes_after_the_one_that_had_it() {
        assert_eq!(path_with(1), [0, 1]);
        assert_eq!(path_with(2), [1], "there were machines: it waited for something else");
    }
}
