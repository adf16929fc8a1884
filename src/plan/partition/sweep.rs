//! Merges jobs while a deadline holds: fewer start-ups, fuller slots, less total job time.
//!
//! In: jobs with earliest and latest starts for a deadline. Out: fewer jobs, still in time. Jobs are visited in order of time; each is merged, as long as
//! that saves job time, with the best of its inputs, its consumers, those that share an input or a consumer with it, and those that happen
//! at about the same time. The bounds are kept for every job: after a merge later earliest starts move forward along the edges and earlier
//! latest starts backward, each job once, since the other bound is an order in which to visit them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::context::Search;
use super::jobs::{Instance, JobNumber, JobState, Jobs, Union};
use crate::plan::model::Granularity;
use crate::plan::problem::Millis;

/// Jobs with more consumers than this are not searched from below: a hub is looked at once, when it is its own turn.
const MANY: usize = 128;

/// In which order a sweep visits the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

/// How a sweep chooses.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    pub direction: Direction,
    /// How many times its own build time a merged job keeps free before its deadline.
    pub reserve: f64,
    /// How many pairs are scheduled exactly for each choice.
    pub exact: usize,
    /// How many jobs before and after in time are looked at.
    pub window: usize,
    /// Milliseconds of job time that a millisecond of lost slack must save.
    pub thrift: i64,
    /// Longest job that a merge may make, milliseconds: short ones first keeps jobs alike, and leaves more ways to go on.
    pub most: Millis,
}

/// A pair that may become one job.
struct Pair {
    other: JobNumber,
    /// Upper estimate of the job time it saves, milliseconds.
    saving: i64,
    score: i64,
    start: u64,
    end: i64,
}

impl Search<'_> {
    /// One pass over `visit` (jobs, any that still exist). Returns how many merges were made.
    pub fn sweep(&mut self, jobs: &mut Jobs, visit: &[JobNumber], how: Sweep) -> usize {
        let instance = self.instance;
        let mut timeline: Vec<JobNumber> = existing(jobs).filter(|&job| !own_target(instance, jobs, job)).collect();
        sort_by_time(jobs, &mut timeline, how.direction);
        if instance.options.granularity == Granularity::Target {
            // What may not be merged should not take up the window either.
            timeline.sort_by_key(|&job| instance.units.component[jobs.list[job as usize].units[0] as usize]);
        }
        self.steps.take(20 * timeline.len());
        let mut place = vec![u32::MAX; jobs.list.len()];
        for (index, &job) in timeline.iter().enumerate() {
            place[job as usize] = index as u32;
        }
        let mut visit = visit.to_vec();
        sort_by_time(jobs, &mut visit, how.direction);
        let mut merges = 0;
        for job in visit {
            while !jobs.list[job as usize].units.is_empty() && !self.steps.exhausted() {
                let near = neighbourhood(&timeline, place[job as usize] as usize, how.window);
                let Some((other, union)) = self.best_partner(jobs, job, near, how) else {
                    break;
                };
                self.merge(jobs, job, other, union);
                merges += 1;
            }
        }
        merges
    }

    /// The pair with this job that saves the most, and what it would be.
    pub fn best_partner(
        &mut self,
        jobs: &Jobs,
        job: JobNumber,
        near: &[JobNumber],
        how: Sweep,
    ) -> Option<(JobNumber, Union)> {
        let instance = self.instance;
        let mut pairs = self.dependent_pairs(jobs, job);
        pairs.extend(self.independent_pairs(jobs, job, near));
        pairs.retain(|pair| pair.saving > 0);
        for pair in &mut pairs {
            let least = least_length(instance, jobs, job, pair.other);
            pair.score = score(jobs, job, pair, least, how);
        }
        pairs.sort_unstable_by_key(|pair| (-pair.score, jobs.list[pair.other as usize].units[0]));
        let mut best: Option<(i64, JobNumber, Union)> = None;
        let mut tried = 0;
        for pair in pairs {
            if tried >= how.exact || best.as_ref().is_some_and(|best| best.0 >= pair.score) {
                break;
            }
            let (a, b) = (&jobs.list[job as usize], &jobs.list[pair.other as usize]);
            let apart = (a.length + b.length) as i64;
            let (first, second) = if a.earliest <= b.earliest { (job, pair.other) } else { (pair.other, job) };
            if jobs.path_between(instance, &mut self.marks, first, second)
                || jobs.path_between(instance, &mut self.marks, second, first)
            {
                self.steps.take(100);
                continue;
            }
            tried += 1;
            let union = jobs.union(instance, &mut self.scheduler, job, pair.other);
            self.steps.take(20 * union.tasks.len());
            let saving = apart - union.length as i64;
            let score = score(jobs, job, &pair, union.length, how);
            if saving > 0
                && union.length <= how.most
                && best.as_ref().is_none_or(|best| score > best.0)
                && in_time(instance, &union, &pair, how.reserve)
            {
                best = Some((score, pair.other, union));
            }
        }
        best.map(|(_, other, union)| (other, union))
    }

    /// Pairs with an input or a consumer. The merged job waits for the other inputs of both and must end before their other consumers start.
    fn dependent_pairs(&mut self, jobs: &Jobs, job: JobNumber) -> Vec<Pair> {
        let instance = self.instance;
        let state = &jobs.list[job as usize];
        let inputs = jobs.inputs(instance, &mut self.marks, job);
        let consumers = jobs.consumers(instance, &mut self.marks, job);
        self.steps.take(2 * (inputs.len() + consumers.len() + state.units.len()));
        let ends = two_largest(inputs.iter().map(|&input| (jobs.list[input as usize].earliest_end() as i64, input)));
        let starts = two_largest(consumers.iter().map(|&consumer| (-jobs.list[consumer as usize].latest, consumer)));
        let mut pairs = Vec::new();
        let ends_without = |job: JobNumber| (if ends.1 == job { ends.2 } else { ends.0 }).max(0);
        let starts_without = |job: JobNumber| if starts.1 == job { starts.2 } else { starts.0 };
        for &consumer in &consumers {
            let latest_end = jobs.list[consumer as usize].latest_end();
            let after = starts_without(consumer);
            let end = if after == i64::MIN { latest_end } else { latest_end.min(-after) };
            if end <= state.earliest_end() as i64
                || pair(instance, jobs, (job, consumer), (state.earliest, end)).is_none()
            {
                continue;
            }
            let mut start = state.earliest;
            for &unit in &jobs.list[consumer as usize].units {
                for &input in instance.units.inputs.of(unit) {
                    let other = jobs.of_unit[input as usize];
                    if other != job && other != consumer {
                        start = start.max(jobs.list[other as usize].earliest_end());
                    }
                }
            }
            self.steps.take(4 * jobs.list[consumer as usize].units.len());
            pairs.extend(pair(instance, jobs, (job, consumer), (start, end)));
        }
        for &input in &inputs {
            let earliest = jobs.list[input as usize].earliest;
            let start = earliest.max(ends_without(input) as u64);
            let mut end = state.latest_end();
            if pair(instance, jobs, (job, input), (start, end)).is_none()
                || consumer_edges(instance, jobs, input) > MANY
            {
                continue;
            }
            for &unit in &jobs.list[input as usize].units {
                for &consumer in instance.units.consumers.of(unit) {
                    let other = jobs.of_unit[consumer as usize];
                    if other != job && other != input {
                        end = end.min(jobs.list[other as usize].latest);
                    }
                }
            }
            self.steps.take(MANY / 2);
            pairs.extend(pair(instance, jobs, (job, input), (start, end)));
        }
        pairs
    }

    /// Pairs with jobs that share an input or a consumer, and with those near in time.
    fn independent_pairs(&mut self, jobs: &Jobs, job: JobNumber, near: &[JobNumber]) -> Vec<Pair> {
        let (instance, marks) = (self.instance, &mut self.marks);
        if own_target(instance, jobs, job) {
            return Vec::new();
        }
        let (inputs, consumers) = jobs.around(instance, marks, &[job]);
        let mut others = Vec::new();
        for &input in inputs.iter().take(16) {
            if consumer_edges(instance, jobs, input) <= MANY {
                for &unit in &jobs.list[input as usize].units {
                    let found = instance.units.consumers.of(unit).iter().map(|&unit| jobs.of_unit[unit as usize]);
                    others.extend(found.filter(|&other| marks.mark(other)));
                }
            }
        }
        for &consumer in consumers.iter().take(16) {
            for &unit in jobs.list[consumer as usize].units.iter().take(MANY) {
                let found = instance.units.inputs.of(unit).iter().take(MANY).map(|&unit| jobs.of_unit[unit as usize]);
                others.extend(found.filter(|&other| marks.mark(other)));
            }
        }
        others.extend(
            near.iter().copied().filter(|&other| !jobs.list[other as usize].units.is_empty() && marks.mark(other)),
        );
        self.steps.take(6 * others.len());
        let state = &jobs.list[job as usize];
        let pairs = others.into_iter().filter(|&other| !own_target(instance, jobs, other)).filter_map(|other| {
            let partner = &jobs.list[other as usize];
            let start = state.earliest.max(partner.earliest);
            let end = state.latest_end().min(partner.latest_end());
            pair(instance, jobs, (job, other), (start, end))
        });
        pairs.collect()
    }

    /// Makes two jobs one and moves the bounds of those around it.
    fn merge(&mut self, jobs: &mut Jobs, job: JobNumber, other: JobNumber, union: Union) {
        jobs.merge(job, other, union);
        let (inputs, consumers) = jobs.around(self.instance, &mut self.marks, &[job]);
        let length = jobs.list[job as usize].length as i64;
        let earliest = inputs.iter().map(|&input| jobs.list[input as usize].earliest_end()).max().unwrap_or(0);
        let latest_end = consumers.iter().map(|&consumer| jobs.list[consumer as usize].latest).min();
        jobs.list[job as usize].earliest = earliest;
        jobs.list[job as usize].latest = latest_end.unwrap_or(jobs.deadline as i64) - length;
        self.push_forward(jobs, job);
        self.push_backward(jobs, job);
    }

    /// Moves earliest starts after a job, in order of latest starts.
    fn push_forward(&mut self, jobs: &mut Jobs, job: JobNumber) {
        let instance = self.instance;
        let mut queue = BinaryHeap::from([Reverse((i64::MIN, job))]);
        let mut last = JobNumber::MAX;
        while let Some(Reverse((_, job))) = queue.pop() {
            if std::mem::replace(&mut last, job) == job {
                continue;
            }
            let end = jobs.list[job as usize].earliest_end();
            for index in 0..jobs.list[job as usize].units.len() {
                let unit = jobs.list[job as usize].units[index];
                let consumers = instance.units.consumers.of(unit);
                self.steps.take(1 + consumers.len());
                for &consumer in consumers {
                    let other = jobs.of_unit[consumer as usize];
                    if other != job && jobs.list[other as usize].earliest < end {
                        jobs.list[other as usize].earliest = end;
                        queue.push(Reverse((jobs.list[other as usize].latest, other)));
                    }
                }
            }
        }
    }

    /// Moves latest starts before a job, in order of earliest starts.
    fn push_backward(&mut self, jobs: &mut Jobs, job: JobNumber) {
        let instance = self.instance;
        let mut queue = BinaryHeap::from([(u64::MAX, job)]);
        let mut last = JobNumber::MAX;
        while let Some((_, job)) = queue.pop() {
            if std::mem::replace(&mut last, job) == job {
                continue;
            }
            let latest = jobs.list[job as usize].latest;
            for index in 0..jobs.list[job as usize].units.len() {
                let unit = jobs.list[job as usize].units[index];
                let inputs = instance.units.inputs.of(unit);
                self.steps.take(1 + inputs.len());
                for &input in inputs {
                    let other = jobs.of_unit[input as usize];
                    if other != job && jobs.list[other as usize].latest_end() > latest {
                        jobs.list[other as usize].latest = latest - jobs.list[other as usize].length as i64;
                        queue.push((jobs.list[other as usize].earliest, other));
                    }
                }
            }
        }
    }
}

/// Jobs that exist.
pub fn existing(jobs: &Jobs) -> impl Iterator<Item = JobNumber> + '_ {
    (0..jobs.list.len() as JobNumber).filter(|&job| !jobs.list[job as usize].units.is_empty())
}

/// True for a target's job where each target has its own: it takes in what the target needs or what needs it, and nothing that only happens at the
/// same time. So a target that comes or goes leaves the other jobs as they are.
pub fn own_target(instance: &Instance, jobs: &Jobs, job: JobNumber) -> bool {
    instance.options.granularity == Granularity::Target && jobs.list[job as usize].targets > 0
}

fn sort_by_time(jobs: &Jobs, list: &mut [JobNumber], direction: Direction) {
    list.sort_by_key(|&job| {
        let state = &jobs.list[job as usize];
        let time = match direction {
            Direction::Forward => state.earliest as i64,
            Direction::Backward => -state.latest_end(),
        };
        (time, state.latest, state.units.first().copied())
    });
}

fn neighbourhood(timeline: &[JobNumber], place: usize, window: usize) -> &[JobNumber] {
    let place = place.min(timeline.len());
    &timeline[place.saturating_sub(window)..(place + window + 1).min(timeline.len())]
}

fn score(jobs: &Jobs, job: JobNumber, pair: &Pair, length: u64, how: Sweep) -> i64 {
    let (a, b) = (&jobs.list[job as usize], &jobs.list[pair.other as usize]);
    let saving = (a.length + b.length) as i64 - length as i64;
    let slack = |job: &JobState| job.latest - job.earliest as i64;
    let left = pair.end - pair.start as i64 - length as i64;
    let lost = (slack(a) + slack(b)) / 2 - left;
    saving - how.thrift * lost
}

fn in_time(instance: &Instance, union: &Union, pair: &Pair, reserve: f64) -> bool {
    let spare = (reserve * (union.length - union.start_up) as f64) as i64;
    (pair.start + union.length) as i64 + spare <= pair.end
        && instance.options.limits.job_length.is_none_or(|most| union.length <= most)
}

/// The least that two jobs could take as one, milliseconds.
fn least_length(instance: &Instance, jobs: &Jobs, a: JobNumber, b: JobNumber) -> u64 {
    let (a, b) = (&jobs.list[a as usize], &jobs.list[b as usize]);
    let slots = instance.model.slots_of(a.system.min(b.system)) as u64;
    a.length.max(b.length).max(a.start_up.max(b.start_up) + (a.work + b.work) / slots)
}

/// A pair that may run from `start` to `end`, where that is long enough and one machine can build both.
fn pair(
    instance: &Instance,
    jobs: &Jobs,
    (job, other): (JobNumber, JobNumber),
    (start, end): (u64, i64),
) -> Option<Pair> {
    let least = least_length(instance, jobs, job, other);
    let saving = (jobs.list[job as usize].length + jobs.list[other as usize].length) as i64 - least as i64;
    let possible = (start + least) as i64 <= end && jobs.compatible(instance, job, other);
    possible.then_some(Pair { other, saving, score: saving, start, end })
}

/// The two largest values and where the largest is.
fn two_largest(values: impl Iterator<Item = (i64, JobNumber)>) -> (i64, JobNumber, i64) {
    let mut top = (i64::MIN, JobNumber::MAX, i64::MIN);
    for (value, job) in values {
        if value > top.0 {
            top = (value, job, top.0);
        } else if value > top.2 {
            top.2 = value;
        }
    }
    top
}

fn consumer_edges(instance: &Instance, jobs: &Jobs, job: JobNumber) -> usize {
    jobs.list[job as usize].units.iter().map(|&unit| instance.units.consumers.of(unit).len()).sum()
}
