//! From a plan and the records of its jobs to what the page shows. Either may be missing.
//!
//! In: a plan, records of jobs. Out: a [`Pipeline`].

use std::collections::{BTreeMap, HashMap, HashSet};

use super::critical;
use super::failed;
use super::pipeline::{Derivation, Job, JobNumber, Pipeline, Run, Span, State};
use crate::build::record::{DerivationRecord, Outcome, Record, Role, Verdict};
use crate::plan::estimate::EstimateKind;
use crate::plan::{Job as PlannedJob, JobIndex, Plan};

/// Milliseconds: the records know starts in whole seconds.
const CLOCK: u64 = 1_000;

/// Puts a plan and records together.
pub fn pipeline<'a>(plan: Option<&'a Plan>, records: &[Record]) -> Pipeline<'a> {
    let mut runs: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        runs.entry(&record.job).or_default().push(record);
    }
    runs.values_mut().for_each(|runs| runs.sort_by_key(|record| record.started));
    let begun = records.iter().map(start).min();
    let origin = begun.unwrap_or(0);
    let mut pipeline = Pipeline { plan, has_run: !records.is_empty(), origin: begun, ..Pipeline::default() };
    let planned: Vec<&PlannedJob> = plan.into_iter().flat_map(Plan::all_jobs).collect();
    for (number, job) in planned.iter().enumerate() {
        let records = runs.remove(&*job.id).unwrap_or_default();
        let first = pipeline.derivations.len();
        let known = records.last().map_or(&[][..], |record| &record.derivations);
        derivations(job, number as JobNumber, known, &mut pipeline.derivations);
        let is_final = plan.is_some_and(|plan| number >= plan.jobs.len());
        pipeline.jobs.push(Job {
            id: job.id.clone(),
            name: job.name.clone(),
            system: job.system.clone(),
            resource_class: job.resource_class.clone(),
            state: State::Planned,
            is_final,
            requires: job.requires.iter().map(|required| required.0).collect(),
            predicted: (!is_final).then(|| prediction(job)),
            runs: records.iter().map(|record| run(record, origin)).collect(),
            targets: job.targets.iter().map(ToString::to_string).collect(),
            derivations: first..pipeline.derivations.len(),
        });
    }
    let last: HashMap<&str, &Record> = latest(records);
    for (id, records) in runs {
        let record = last[id];
        let first = pipeline.derivations.len();
        let number = pipeline.jobs.len() as JobNumber;
        pipeline.derivations.extend(record.derivations.iter().map(|drv| measured(drv, number)));
        pipeline.jobs.push(Job {
            id: id.to_owned(),
            name: record.name.clone(),
            system: record.system.clone(),
            resource_class: record.resource_class.clone(),
            state: State::Planned,
            is_final: false,
            requires: Vec::new(),
            predicted: None,
            runs: records.iter().map(|record| run(record, origin)).collect(),
            targets: Vec::new(),
            derivations: first..pipeline.derivations.len(),
        });
    }
    if pipeline.has_run {
        let is_command = |at: &usize| plan.is_some_and(|plan| runs_command(plan, *at as JobNumber));
        settle(&mut pipeline.jobs, &(0..planned.len()).filter(is_command).collect());
        wait(&mut pipeline.jobs);
        mark_repeated(&mut pipeline.derivations);
    }
    pipeline.critical = critical::path(&pipeline);
    pipeline.failures = failed::failures(&pipeline, &last);
    pipeline.closures = last.values().flat_map(|record| &record.closures).cloned().collect();
    pipeline.closures.sort_by(|a, b| a.target.cmp(&b.target));
    pipeline.missing_targets = failed::missing_targets(&pipeline).len();
    pipeline
}

/// The last run of each job.
fn latest(records: &[Record]) -> HashMap<&str, &Record> {
    let mut last: HashMap<&str, &Record> = HashMap::new();
    for record in records {
        let known = last.entry(&record.job).or_insert(record);
        if record.started >= known.started {
            *known = record;
        }
    }
    last
}

/// When the job's machine began, milliseconds since 1970.
fn start(record: &Record) -> u64 {
    record.started.saturating_mul(1000).saturating_sub(record.measured.start_up.unwrap_or(0))
}

fn run(record: &Record, origin: u64) -> Run {
    let measured = &record.measured;
    let restore = match (measured.import, measured.fetch) {
        (None, None) => None,
        (import, fetch) => Some(import.unwrap_or(0).saturating_add(fetch.unwrap_or(0))),
    };
    Run {
        span: Span {
            start: Some(start(record).saturating_sub(origin)),
            phases: [measured.start_up, restore, measured.build, measured.hand_off],
            total: record.duration.saturating_add(measured.start_up.unwrap_or(0)),
        },
        waited: None,
        state: match record.verdict {
            Verdict::Success => State::Passed,
            Verdict::Failure => State::Failed,
            Verdict::Cancelled => State::Cancelled,
        },
        has_ended: record.command.is_some(),
    }
}

/// The prediction of a job. Plans of older versions know how long it is, and not more.
fn prediction(job: &PlannedJob) -> Span {
    let Some(predicted) = &job.predicted else {
        return Span { total: job.estimate.duration, ..Span::default() };
    };
    let phases = [Some(predicted.start_up), Some(predicted.restore), Some(predicted.build), predicted.hand_off];
    let known = phases.iter().flatten().fold(0u64, |sum, phase| sum.saturating_add(*phase));
    Span { start: Some(predicted.start), phases, total: known.max(job.estimate.duration) }
}

/// The derivations of a planned job, with what its record says of each; then what it built beyond that.
fn derivations(job: &PlannedJob, number: JobNumber, records: &[DerivationRecord], out: &mut Vec<Derivation>) {
    let known: HashMap<&str, &DerivationRecord> = records.iter().map(|drv| (&*drv.derivation, drv)).collect();
    let kinds = job.predicted.as_ref().map_or("", |predicted| &predicted.builds_from);
    let kinds: Vec<EstimateKind> = kinds.chars().filter_map(EstimateKind::of_letter).collect();
    for (at, path) in job.builds().enumerate() {
        let unknown = Derivation { path: path.to_owned(), job: number, ..Derivation::default() };
        out.push(Derivation {
            co_located: at >= job.derivations.len(),
            estimate: job.predicted.as_ref().and_then(|predicted| predicted.builds.get(at).copied()),
            kind: kinds.get(at).copied(),
            ..known.get(path).map_or(unknown, |drv| measured(drv, number))
        });
    }
    let others = records.iter().filter(|drv| drv.role == Role::Other);
    out.extend(others.map(|drv| measured(drv, number)));
}

fn measured(drv: &DerivationRecord, job: JobNumber) -> Derivation {
    Derivation {
        path: drv.derivation.clone(),
        job,
        co_located: drv.role == Role::CoLocated,
        outcome: Some(drv.outcome),
        duration: drv.duration,
        begun: drv.used.begun,
        slot: drv.used.slot,
        nar_bytes: drv.used.nar_bytes,
        retried: drv.retried.len() as u32,
        ..Derivation::default()
    }
}

/// True for a final job that runs a command.
fn runs_command(plan: &Plan, number: JobNumber) -> bool {
    plan.final_job(JobIndex(number)).is_some_and(|job| job.run.is_some())
}

/// How each job ended; jobs come after those that they need. `commands` are those that run one of the user's.
fn settle(jobs: &mut [Job], commands: &HashSet<usize>) {
    for number in 0..jobs.len() {
        let after_failure = jobs[number].requires.iter().any(|&required| {
            matches!(jobs[required as usize].state, State::Failed | State::Cancelled | State::Stopped)
        });
        jobs[number].state = match jobs[number].run() {
            Some(run) if run.state == State::Passed && !run.has_ended && commands.contains(&number) => State::Begun,
            Some(run) => run.state,
            None if after_failure => State::Stopped,
            None if commands.contains(&number) => State::Unrecorded,
            None => State::Unknown,
        };
    }
}

/// How long each run waited after the last end of what it needs.
fn wait(jobs: &mut [Job]) {
    for number in 0..jobs.len() {
        let ends = jobs[number].requires.iter().map(|&required| jobs[required as usize].run()?.span.end());
        let ready = ends.collect::<Option<Vec<u64>>>().map(|ends| ends.into_iter().max().unwrap_or(0));
        if let (Some(ready), Some(run)) = (ready, jobs[number].runs.last_mut()) {
            let waited = run.span.start.map(|start| start.saturating_sub(ready));
            run.waited = waited.map(|waited| if waited < CLOCK { 0 } else { waited });
        }
    }
}

/// Marks derivations that several jobs have built, unless that was planned for all of them.
fn mark_repeated(derivations: &mut [Derivation]) {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut twice: HashSet<String> = HashSet::new();
    for drv in derivations.iter().filter(|drv| drv.outcome == Some(Outcome::Built) && !drv.co_located) {
        if !seen.insert(&drv.path) {
            twice.insert(drv.path.clone());
        }
    }
    let co_located = derivations.iter().filter(|drv| drv.outcome == Some(Outcome::Built) && drv.co_located);
    let also: Vec<String> = co_located.filter(|drv| seen.contains(&*drv.path)).map(|drv| drv.path.clone()).collect();
    twice.extend(also);
    for drv in derivations.iter_mut().filter(|drv| drv.outcome == Some(Outcome::Built)) {
        drv.repeated = twice.contains(&drv.path);
    }
}
