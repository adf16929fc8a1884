//! Mends jobs of an earlier plan that have become slower or dearer than they may be: changes as few of them as it can, the change first that buys most for each job that it
//! changes.
//!
//! In: jobs, and what they may take. Out: jobs that take no more, or nothing where that would change too many. A change has some units of a job become a job of
//! their own or move to the next job on the longest path, or makes two jobs one.

use std::collections::HashSet;

use super::context::Search;
use super::jobs::{Instance, JobNumber, Jobs};
use super::sweep::{Direction, Sweep, existing};
use super::units::Unit;
use crate::plan::problem::Millis;

/// Elementary steps, half a second of one core.
const STEPS: u64 = 100_000_000;

/// What the jobs may take.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// The longest path, milliseconds.
    pub path: Millis,
    /// All jobs together, milliseconds.
    pub job_time: Millis,
    /// Jobs that may change.
    pub changes: usize,
}

/// A change of one or two jobs.
enum Change {
    /// The units become a job of their own.
    Split(JobNumber, Vec<Unit>),
    /// The units move to the last job.
    Move(JobNumber, Vec<Unit>, JobNumber),
    Merge(JobNumber, JobNumber),
}

impl Change {
    fn jobs(&self) -> [JobNumber; 2] {
        match *self {
            Change::Split(job, _) => [job, job],
            Change::Move(job, _, to) | Change::Merge(job, to) => [job, to],
        }
    }
}

/// The jobs with few of them changed, so that they take no more than the goal says; none where that would take more changes.
pub fn repaired(instance: &Instance, jobs: &Jobs, goal: Goal) -> Option<Jobs> {
    let mut jobs = jobs.clone();
    // Any two may be one now.
    jobs.list.iter_mut().for_each(|job| job.settled = false);
    let mut repair = Repair { search: Search::new(instance, STEPS), goal, changed: HashSet::new() };
    (repair.shorten(&mut jobs) && repair.save(&mut jobs)).then_some(jobs)
}

struct Repair<'a> {
    search: Search<'a>,
    goal: Goal,
    /// Jobs that are not as they were.
    changed: HashSet<JobNumber>,
}

impl Repair<'_> {
    /// Changes jobs along the longest path until it is short enough.
    fn shorten(&mut self, jobs: &mut Jobs) -> bool {
        let instance = self.search.instance;
        loop {
            let (_, path) = jobs.measure(instance);
            if path <= self.goal.path {
                return true;
            }
            let before = self.late(jobs);
            let mut best: Option<(u64, Jobs, Change)> = None;
            for change in self.changes(jobs, path) {
                if self.search.steps.exhausted() {
                    return false;
                }
                let Some(after) = self.with(jobs, &change) else { continue };
                let cost = self.cost(&change);
                let worth = before.saturating_sub(self.late(&after)) * 2 / (2 * cost as u64 + 1);
                if self.changed.len() + cost <= self.goal.changes
                    && worth > best.as_ref().map_or(0, |(worth, ..)| *worth)
                {
                    best = Some((worth, after, change));
                }
            }
            let Some((_, after, change)) = best else { return false };
            *jobs = after;
            self.changed.extend(change.jobs());
        }
    }

    /// How many jobs change that are still as they were.
    fn cost(&self, change: &Change) -> usize {
        change.jobs().into_iter().collect::<HashSet<_>>().difference(&self.changed).count()
    }

    /// By how much paths are too long, milliseconds, summed over jobs.
    fn late(&self, jobs: &Jobs) -> Millis {
        let through = existing(jobs).map(|job| &jobs.list[job as usize]).map(|job| job.earliest_end() + job.tail);
        through.map(|through| through.saturating_sub(self.goal.path)).sum()
    }

    /// Changes that might shorten the longest path.
    fn changes(&mut self, jobs: &Jobs, path: Millis) -> Vec<Change> {
        let instance = self.search.instance;
        let mut changes = Vec::new();
        let end = |job: JobNumber| jobs.list[job as usize].earliest_end();
        let Some(mut job) = existing(jobs).find(|&job| end(job) == path) else { return changes };
        loop {
            let inputs = jobs.inputs(instance, &mut self.search.marks, job);
            let start = jobs.list[job as usize].earliest;
            let Some(input) = inputs.into_iter().filter(|&input| end(input) == start).min() else { return changes };
            changes.push(Change::Merge(input, job));
            let (before, units) = (&jobs.list[input as usize].units, &jobs.list[job as usize].units);
            let is_in = |unit: &Unit, job: JobNumber| jobs.of_unit[*unit as usize] == job;
            // What of the first the second waits for.
            let feeds = |unit: &&Unit| instance.units.consumers.of(**unit).iter().any(|unit| is_in(unit, job));
            let part = instance.units.needed_in(before, before.iter().filter(feeds).copied().collect());
            // What of the second waits for the first.
            let waits = |unit: &&Unit| instance.units.inputs.of(**unit).iter().any(|unit| is_in(unit, input));
            let waiting = instance.units.needing_in(units, units.iter().filter(waits).copied().collect());
            if part.len() < before.len() {
                changes.push(Change::Split(input, part.clone()));
                changes.push(Change::Move(input, part, job));
            }
            if waiting.len() < units.len() {
                changes.push(Change::Split(job, waiting.clone()));
                changes.push(Change::Move(job, waiting, input));
            }
            job = input;
        }
    }

    /// The jobs with a change, measured; none where they would wait for each other, or may not be one.
    fn with(&mut self, jobs: &Jobs, change: &Change) -> Option<Jobs> {
        let instance = self.search.instance;
        let mut jobs = jobs.clone();
        let (units, edges) = (instance.units.len(), instance.units.inputs.edges());
        self.search.steps.take(8 * units + 4 * edges);
        let pair = match change {
            Change::Merge(a, b) => Some((*a, *b)),
            Change::Split(job, part) => {
                jobs.split(instance, &mut self.search.scheduler, *job, part);
                None
            }
            Change::Move(job, part, to) => {
                let all = &jobs.list[*job as usize].units;
                let rest: Vec<Unit> = all.iter().copied().filter(|unit| part.binary_search(unit).is_err()).collect();
                Some((*to, jobs.split(instance, &mut self.search.scheduler, *job, &rest)))
            }
        };
        if let Some((a, b)) = pair {
            if !jobs.compatible(instance, a, b) {
                return None;
            }
            let union = jobs.union(instance, &mut self.search.scheduler, a, b);
            self.search.steps.take(20 * union.tasks.len());
            if instance.options.limits.job_length.is_some_and(|most| union.length > most) {
                return None;
            }
            jobs.merge(a, b, union);
        }
        let (order, _) = jobs.measure(instance);
        (order.len() == jobs.count()).then_some(jobs)
    }

    /// Merges jobs, those first that save most, until all together take no more than they may.
    fn save(&mut self, jobs: &mut Jobs) -> bool {
        let instance = self.search.instance;
        let how =
            Sweep { direction: Direction::Forward, reserve: 0.0, exact: 8, window: 24, thrift: 0, most: Millis::MAX };
        while jobs.total() > self.goal.job_time {
            let (_, path) = jobs.measure(instance);
            jobs.measure_for(instance, path.max(self.goal.path));
            let all: Vec<JobNumber> = existing(jobs).collect();
            let mut best: Option<(u64, JobNumber)> = None;
            for &job in &all {
                if self.search.steps.exhausted() {
                    return false;
                }
                let Some((other, union)) = self.search.best_partner(jobs, job, &[], how) else { continue };
                let cost = self.cost(&Change::Merge(job, other));
                let length = |job: JobNumber| jobs.list[job as usize].length;
                let worth = (length(job) + length(other)).saturating_sub(union.length) * 2 / (2 * cost as u64 + 1);
                if self.changed.len() + cost <= self.goal.changes && best.is_none_or(|(most, _)| worth > most) {
                    best = Some((worth, job));
                }
            }
            let found = best.and_then(|(_, job)| Some((job, self.search.best_partner(jobs, job, &[], how)?)));
            let Some((job, (other, union))) = found else { return false };
            jobs.merge(job, other, union);
            self.changed.extend([job, other]);
        }
        true
    }
}
