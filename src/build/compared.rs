//! What a plan has predicted beside what its jobs have measured, and the assumption that was most wrong.
//!
//! In: a plan and the records of its jobs. Out: the pipeline's figures, and lines for people.

use std::collections::BTreeMap;

use crate::duration::in_words;
use crate::history::jobs::JobRun;
use crate::history::pipelines::PipelineRun;
use crate::plan::{Job, Plan};
use crate::printable::printable;

/// Two figures that differ by less are the same, milliseconds.
const SAME: u64 = 2_000;

/// The figures, where every job of the plan that builds has recorded, and lines for people.
pub fn compare(plan: &Plan, runs: &[JobRun]) -> (Option<PipelineRun>, Vec<String>) {
    // Of a job that ran twice the later run counts.
    let mut latest: BTreeMap<&str, &JobRun> = BTreeMap::new();
    for run in runs {
        let known = latest.entry(&run.job).or_insert(run);
        if known.at < run.at {
            *known = run;
        }
    }
    let pairs: Vec<(&Job, &JobRun)> =
        plan.jobs.iter().filter_map(|job| Some((job, *latest.get(job.id.as_str())?))).collect();
    let (Some(model), Some(first)) = (&plan.estimates.model, pairs.iter().map(|(_, run)| run.at).min()) else {
        return (None, Vec::new());
    };
    let start_up = |run: &JobRun| run.measured.start_up.unwrap_or(model.start_up);
    let mut lines = Vec::new();
    let predicted: u64 = pairs.iter().map(|(job, _)| job.estimate.duration).sum();
    let measured: u64 = pairs.iter().map(|(_, run)| start_up(run) + run.duration).sum();
    let assumed = |time: u64| match time {
        0 => String::new(),
        time => format!(" ({} of it assumed for start-up)", in_words(time)),
    };
    let assumed_of = |run: &JobRun| if run.measured.start_up.is_none() { model.start_up } else { 0 };
    let mut pipeline = None;
    if pairs.len() == plan.jobs.len() {
        let end = pairs.iter().map(|(_, run)| (run.at - first) * 1000 + run.duration).max().unwrap_or(0);
        let first_start = pairs.iter().filter(|(_, run)| run.at == first).map(|(_, run)| start_up(run)).max();
        let assumed_first = pairs.iter().filter(|(_, run)| run.at == first).max_by_key(|(_, run)| start_up(run));
        let assumed_first = assumed_first.map_or(0, |(_, run)| assumed_of(run));
        let run = PipelineRun {
            at: first,
            jobs: pairs.len() as u64,
            predicted: plan.estimates.plan.makespan,
            measured: end + first_start.unwrap_or(0),
        };
        lines.push(format!(
            "predicted {}, took {}{}; machine time {} predicted, {} measured{}",
            in_words(run.predicted),
            in_words(run.measured),
            assumed(assumed_first),
            in_words(predicted),
            in_words(measured),
            assumed(pairs.iter().map(|(_, run)| assumed_of(run)).sum())
        ));
        pipeline = Some(run);
    }
    lines.extend(most_wrong(plan, &pairs, model.start_up));
    (pipeline, lines)
}

/// The assumption whose errors add up to most.
fn most_wrong(plan: &Plan, pairs: &[(&Job, &JobRun)], start_up: u64) -> Option<String> {
    let starts: Vec<u64> = pairs.iter().filter_map(|(_, run)| run.measured.start_up).collect();
    let by_start: u64 = starts.iter().map(|start| start.abs_diff(start_up)).sum();
    let moved = |run: &JobRun| {
        let phases = [run.measured.import, run.measured.fetch, run.measured.hand_off];
        phases.into_iter().flatten().sum::<u64>()
    };
    let moving: u64 = pairs.iter().map(|(_, run)| moved(run)).sum();
    let assumed = plan.estimates.handoff.map_or(0, |handoff| handoff.time);
    let by_moving = moving.abs_diff(assumed);
    let builds = pairs.iter().filter_map(|(job, run)| {
        let predicted = job.estimate.duration.saturating_sub(start_up);
        Some((job, predicted, run.measured.build?))
    });
    let builds: Vec<_> = builds.collect();
    let by_builds: u64 = builds.iter().map(|(_, predicted, measured)| predicted.abs_diff(*measured)).sum();
    let worst = by_start.max(by_moving).max(by_builds);
    if worst < SAME {
        return None;
    }
    Some(if worst == by_builds {
        let (job, predicted, measured) = builds.iter().max_by_key(|(_, one, other)| one.abs_diff(*other))?;
        format!(
            "most wrong: durations of builds, by {} over all jobs; job `{}` built for {}, {} predicted",
            in_words(worst),
            printable(&job.name),
            in_words(*measured),
            in_words(*predicted)
        )
    } else if worst == by_start {
        let mut starts = starts;
        starts.sort_unstable();
        let median = starts.get(starts.len() / 2).copied().unwrap_or(0);
        format!(
            "most wrong: a job's start-up, {} assumed, {} measured (`--cost start_up=SECONDS`)",
            in_words(start_up),
            in_words(median)
        )
    } else {
        format!(
            "most wrong: fetching and handing on, {} assumed over all jobs, {} measured",
            in_words(assumed),
            in_words(moving)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::jobs::Measured;
    use crate::plan::estimate::{Estimate, EstimateSource};
    use crate::plan::model::ModelFigures;
    use crate::plan::{Estimates, JobOptions, Strategy};

    fn job(id: &str, seconds: u64) -> Job {
        Job {
            id: id.into(),
            name: id.into(),
            system: String::new(),
            targets: Vec::new(),
            derivations: Vec::new(),
            co_located: Vec::new(),
            inputs: Vec::new(),
            requires: Vec::new(),
            wave: None,
            executor: None,
            image: None,
            resource_class: None,
            options: JobOptions::default(),
            estimate: Estimate { duration: seconds * 1000, from: EstimateSource::Default },
            predicted: None,
        }
    }

    fn run(job: &str, at: u64, start_up: u64, build: u64) -> JobRun {
        let measured = Measured { start_up: Some(start_up * 1000), build: Some(build * 1000), ..Measured::default() };
        JobRun { job: job.into(), system: String::new(), resource_class: None, at, duration: build * 1000, measured }
    }

    fn plan() -> Plan {
        let estimates = Estimates {
            plan: Strategy { makespan: 210_000, ..Strategy::default() },
            model: Some(ModelFigures { start_up: 45_000, ..ModelFigures::default() }),
            ..Estimates::default()
        };
        Plan { jobs: vec![job("a", 105), job("b", 105)], estimates, ..Plan::default() }
    }

    #[test]
    fn a_pipeline_is_compared_where_all_jobs_have_recorded_and_a_rerun_counts_once() {
        let runs = [run("a", 1000, 40, 60), run("b", 1100, 45, 10), run("b", 1150, 45, 300)];
        let (pipeline, lines) = compare(&plan(), &runs);
        let pipeline = pipeline.unwrap();
        assert_eq!((pipeline.at, pipeline.jobs, pipeline.predicted, pipeline.measured), (1000, 2, 210_000, 490_000));
        assert!(lines[0].starts_with("predicted 3 min 30 s, took 8 min 10 s; machine time 3 min 30 s"), "{lines:?}");
        assert!(lines[1].contains("job `b` built for 5 min 00 s, 1 min 00 s predicted"), "{lines:?}");
        let (pipeline, lines) = compare(&plan(), &runs[..1]);
        assert!(pipeline.is_none() && lines.len() == 1, "{lines:?}");
    }

    #[test]
    fn what_is_assumed_and_not_measured_is_named() {
        let mut runs = [run("a", 1000, 0, 60), run("b", 1000, 40, 60)];
        runs[0].measured.start_up = None;
        let (_, lines) = compare(&plan(), &runs);
        let expected = "took 1 min 45 s (45 s of it assumed for start-up); machine time 3 min 30 s predicted, \
                        3 min 25 s measured (45 s of it assumed for start-up)";
        assert!(lines[0].ends_with(expected), "{lines:?}");
        runs[0].measured.start_up = Some(40_000);
        assert!(!compare(&plan(), &runs).1[0].contains("assumed"));
    }

    #[test]
    fn the_assumption_is_named_that_is_most_wrong() {
        let said = |runs: &[JobRun]| compare(&plan(), runs).1.pop().unwrap_or_default();
        assert!(said(&[run("a", 0, 5, 60), run("b", 0, 7, 60)]).contains("start-up, 45 s assumed, 7 s measured"));
        let mut slow = run("a", 0, 45, 60);
        slow.measured.fetch = Some(90_000);
        assert!(said(&[slow]).contains("handing on, 0 s assumed over all jobs, 1 min 30 s measured"));
        assert!(!said(&[run("a", 0, 45, 60), run("b", 0, 45, 60)]).contains("wrong"));
        assert_eq!(compare(&Plan::default(), &[run("a", 0, 5, 60)]), (None, Vec::new()));
    }
}
