//! Merges jobs of a plan so that fewer layers of a workspace are to be attached.
//!
//! In: the jobs of a plan that was made as if layers were free. Out: the same jobs, some of them merged: fewer layers, and never a longer makespan or (but for
//! the objective `time`) more job time than before, layers counted. A job's layers depend on the whole plan, so each merge is judged exactly: which
//! jobs get more ancestors, which fewer, and how long the longest path then is. What promises most is tried first. A plan has some hundred jobs: sets
//! of ancestors are rows of bits.

use super::job_sets::{JobSets, in_both, in_either, meet, members};
use super::jobs::{Instance, Jobs, compatible_systems, merged};
use super::schedule::Scheduler;
use super::steps::Steps;
use super::sweep::existing;
use crate::plan::model::{Granularity, Objective};
use crate::plan::problem::{Millis, Node, System};
use crate::topological::{self, InDegrees};

/// Plans of more jobs than this are too large for it: what it keeps grows with the square of their number.
pub const MOST_JOBS: usize = 4096;
/// Passes over all pairs of jobs.
const MOST_PASSES: usize = 12;
/// Layers that a merge may be hoped to save those around it, when it is asked whether it can be in time.
const HOPED: u64 = 24;

/// A job of the plan that is adapted.
struct LayeredJob {
    tasks: Vec<Node>,
    work: Millis,
    /// List schedule, without start-up and layers, milliseconds.
    build: Millis,
    system: System,
    component: u32,
    targets: u32,
    merged: bool,
}

/// What a plan comes to, layers counted; times in milliseconds, without limits of concurrency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Figures {
    makespan: Millis,
    job_time: Millis,
    layers: u64,
}

/// The plan and the order of its jobs. Columns have one entry a job; those of merged jobs are void.
struct Layered<'a> {
    instance: &'a Instance<'a>,
    parts: Vec<LayeredJob>,
    inputs: JobSets,
    consumers: JobSets,
    ancestors: JobSets,
    descendants: JobSets,
    /// Jobs that still exist, inputs first.
    order: Vec<usize>,
    earliest: Vec<Millis>,
    length: Vec<Millis>,
    tail: Vec<Millis>,
    figures: Figures,
    deadline: Millis,
}

/// Merges jobs of a plan until no merge of two makes it better.
///
/// The makespan may grow up to `deadline` (milliseconds), where that saves job time; where it is above, it does not grow.
pub fn adapt(instance: &Instance, scheduler: &mut Scheduler, jobs: &Jobs, deadline: Millis, steps: &mut Steps) -> Jobs {
    let list: Vec<u32> = existing(jobs).collect();
    let mut layered = Layered::new(instance, jobs, &list, deadline);
    let mut into: Vec<usize> = (0..list.len()).collect();
    for _ in 0..MOST_PASSES {
        let mut merges = 0;
        for (_, a, b) in layered.promising_pairs(steps) {
            if steps.exhausted() {
                break;
            }
            let gone = layered.parts[a].merged || layered.parts[b].merged;
            if !gone && layered.merge_if_better(scheduler, a, b, steps) {
                into[b] = a;
                merges += 1;
            }
        }
        if merges == 0 || steps.exhausted() {
            break;
        }
    }
    let mut place = vec![0; jobs.list.len()];
    for (index, &job) in list.iter().enumerate() {
        place[job as usize] = index;
    }
    let owner: Vec<u32> = jobs
        .of_unit
        .iter()
        .map(|&job| {
            let mut index = place[job as usize];
            while into[index] != index {
                index = into[index];
            }
            jobs.list[list[index] as usize].units[0]
        })
        .collect();
    Jobs::from_owners(instance, scheduler, &owner)
}

impl<'a> Layered<'a> {
    fn new(instance: &'a Instance<'a>, jobs: &Jobs, list: &[u32], deadline: Millis) -> Self {
        let count = list.len();
        let mut place = vec![0; jobs.list.len()];
        for (index, &job) in list.iter().enumerate() {
            place[job as usize] = index;
        }
        let (mut inputs, mut consumers) = (JobSets::new(count), JobSets::new(count));
        for (index, &job) in list.iter().enumerate() {
            for &unit in &jobs.list[job as usize].units {
                for &input in instance.units.inputs.of(unit) {
                    let other = place[jobs.of_unit[input as usize] as usize];
                    if other != index {
                        inputs.insert(index, other);
                        consumers.insert(other, index);
                    }
                }
            }
        }
        let parts = list.iter().map(|&job| {
            let state = &jobs.list[job as usize];
            LayeredJob {
                tasks: state.tasks.clone(),
                work: state.work,
                build: state.build(),
                system: state.system,
                component: instance.units.component[state.units[0] as usize],
                targets: state.targets,
                merged: false,
            }
        });
        let mut layered = Self {
            instance,
            parts: parts.collect(),
            inputs,
            consumers,
            ancestors: JobSets::new(count),
            descendants: JobSets::new(count),
            order: jobs.topological(instance).iter().map(|&job| place[job as usize]).collect(),
            earliest: vec![0; count],
            length: vec![0; count],
            tail: vec![0; count],
            figures: Figures { makespan: 0, job_time: 0, layers: 0 },
            deadline,
        };
        layered.measure();
        layered
    }

    /// Fills everything that follows from the direct inputs and an order.
    fn measure(&mut self) {
        let Instance { model, start_up, .. } = *self.instance;
        self.figures = Figures { makespan: 0, job_time: 0, layers: 0 };
        for index in 0..self.order.len() {
            let job = self.order[index];
            self.ancestors.clear(job);
            self.descendants.clear(job);
            self.earliest[job] = 0;
            for input in members(self.inputs.of(job)) {
                self.ancestors.unite(job, input);
                self.ancestors.insert(job, input);
                self.earliest[job] = self.earliest[job].max(self.earliest[input] + self.length[input]);
            }
            let layers = in_both(self.ancestors.of(job), self.ancestors.of(job));
            self.length[job] = start_up + model.layer * layers + self.parts[job].build;
            self.figures.layers += layers;
            self.figures.job_time += self.length[job];
            self.figures.makespan = self.figures.makespan.max(self.earliest[job] + self.length[job]);
        }
        for index in (0..self.order.len()).rev() {
            let job = self.order[index];
            self.tail[job] = 0;
            for consumer in members(self.consumers.of(job)) {
                self.descendants.unite(job, consumer);
                self.descendants.insert(job, consumer);
                self.tail[job] = self.tail[job].max(self.length[consumer] + self.tail[consumer]);
            }
        }
    }

    /// Pairs that may be worth merging, the most promising first.
    fn promising_pairs(&self, steps: &mut Steps) -> Vec<(i64, usize, usize)> {
        let jobs: Vec<usize> = self.order.clone();
        let mut critical = vec![0; self.parts.len().div_ceil(64)];
        for &job in &jobs {
            if self.earliest[job] + self.length[job] + self.tail[job] == self.figures.makespan {
                critical[job / 64] |= 1u64 << (job % 64);
            }
        }
        let mut pairs = Vec::new();
        for (index, &a) in jobs.iter().enumerate() {
            for &b in &jobs[index + 1..] {
                if !self.compatible(a, b) {
                    continue;
                }
                let length = self.instance.start_up + self.least_build(a, b);
                if !self.may_be_in_time(a, b, length) {
                    continue;
                }
                let (above_a, above_b) = (self.descendants.of(a), self.descendants.of(b));
                steps.take(20 + above_a.len());
                let common = in_both(above_a, above_b) as i64;
                let on_path: u64 = above_a
                    .iter()
                    .zip(above_b)
                    .zip(&critical)
                    .map(|((a, b), critical)| u64::from((a & b & critical).count_ones()))
                    .sum();
                let layer = self.instance.model.layer as i64;
                let saved = (self.length[a] + self.length[b]) as i64 - length as i64;
                pairs.push((saved + layer * (common + 20 * on_path as i64), a, b));
            }
            steps.take(2 * jobs.len());
        }
        pairs.sort_unstable_by_key(|&(score, a, b)| (-score, a, b));
        pairs
    }

    fn compatible(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.parts[a], &self.parts[b]);
        let apart = self.instance.options.granularity == Granularity::Target;
        compatible_systems(a.system, b.system)
            && !(apart && (a.component != b.component || (a.targets > 0 && b.targets > 0)))
    }

    /// The least time that the derivations of two jobs could take as one, milliseconds.
    fn least_build(&self, a: usize, b: usize) -> Millis {
        let (a, b) = (&self.parts[a], &self.parts[b]);
        let slots = self.instance.model.slots_of(a.system.min(b.system)) as Millis;
        a.build.max(b.build).max((a.work + b.work) / slots)
    }

    fn may_be_in_time(&self, a: usize, b: usize, length: Millis) -> bool {
        let start = self.earliest[a].max(if self.inputs.has(b, a) { 0 } else { self.earliest[b] });
        let tail = self.tail[b].max(if self.inputs.has(b, a) { 0 } else { self.tail[a] });
        start + length + tail <= self.figures.makespan.max(self.deadline) + self.instance.model.layer * HOPED
    }

    /// Merges `b` into `a` where that closes no cycle and makes the plan better.
    fn merge_if_better(&mut self, scheduler: &mut Scheduler, a: usize, b: usize, steps: &mut Steps) -> bool {
        let least = self.instance.start_up + self.least_build(a, b);
        // Merges since the pairs were listed may have made them incompatible.
        if !self.compatible(a, b) || !self.may_be_in_time(a, b, least) || self.closes_cycle(a, b) {
            return false;
        }
        let machine = self.instance.model.capacity_of(self.parts[a].system.min(self.parts[b].system));
        let optimistic = self.figures_with(a, b, self.least_build(a, b), steps);
        if !self.is_better(optimistic) {
            return false;
        }
        let tasks = merged(&self.parts[a].tasks, &self.parts[b].tasks);
        steps.take(20 * tasks.len());
        let build = scheduler.length(&tasks, machine);
        if !self.is_better(self.figures_with(a, b, build, steps)) {
            return false;
        }
        self.merge(a, b, tasks, build);
        true
    }

    fn is_better(&self, figures: Figures) -> bool {
        let now = self.figures;
        if figures.makespan > now.makespan.max(self.deadline) || figures.layers > now.layers {
            return false;
        }
        let faster = figures.makespan < now.makespan;
        let cheaper = figures.job_time < now.job_time;
        match self.instance.options.objective {
            Objective::Time => faster || cheaper,
            Objective::Balanced | Objective::Cost => cheaper || (faster && figures.job_time == now.job_time),
        }
    }

    /// True where a path leads from one to the other through a third job.
    fn closes_cycle(&self, a: usize, b: usize) -> bool {
        meet(self.descendants.of(a), self.ancestors.of(b)) || meet(self.descendants.of(b), self.ancestors.of(a))
    }

    /// What the plan would come to with `a` and `b` as one job that builds for so many milliseconds.
    fn figures_with(&self, a: usize, b: usize, build: Millis, steps: &mut Steps) -> Figures {
        let Instance { model, start_up, .. } = *self.instance;
        let (before_a, before_b) = (self.ancestors.of(a), self.ancestors.of(b));
        let linked = u64::from(self.ancestors.has(a, b)) + u64::from(self.ancestors.has(b, a));
        let mut rows: Vec<(u64, usize)> = Vec::with_capacity(self.order.len());
        for &job in &self.order {
            let own = self.ancestors.of(job);
            let (has_a, has_b) = (self.ancestors.has(job, a), self.ancestors.has(job, b));
            let layers = match (has_a, has_b) {
                _ if job == a => in_either(before_a, before_b) - linked,
                _ if job == b => continue,
                (true, true) => in_both(own, own) - 1,
                (true, false) => in_either(own, before_b),
                (false, true) => in_either(own, before_a),
                (false, false) => in_both(own, own),
            };
            rows.push((layers, job));
        }
        steps.take(rows.len() * (12 + 2 * before_a.len()));
        // An ancestor has fewer ancestors: by their number inputs come first.
        rows.sort_unstable();
        let mut ends = vec![0; self.parts.len()];
        let mut figures = Figures { makespan: 0, job_time: 0, layers: 0 };
        for (layers, job) in rows {
            let latest = |job: usize| {
                let inputs = members(self.inputs.of(job));
                inputs.map(|input| ends[if input == b { a } else { input }]).max().unwrap_or(0)
            };
            // The merged job has not ended yet: where it stands among its own inputs it counts as nothing.
            let start = if job == a { latest(a).max(latest(b)) } else { latest(job) };
            let length = start_up + model.layer * layers + if job == a { build } else { self.parts[job].build };
            ends[job] = start + length;
            figures.layers += layers;
            figures.job_time += length;
            figures.makespan = figures.makespan.max(ends[job]);
        }
        figures
    }

    fn merge(&mut self, a: usize, b: usize, tasks: Vec<Node>, build: Millis) {
        for input in members(self.inputs.of(b)).collect::<Vec<_>>() {
            self.consumers.remove(input, b);
            if input != a {
                self.consumers.insert(input, a);
                self.inputs.insert(a, input);
            }
        }
        for consumer in members(self.consumers.of(b)).collect::<Vec<_>>() {
            self.inputs.remove(consumer, b);
            if consumer != a {
                self.inputs.insert(consumer, a);
                self.consumers.insert(a, consumer);
            }
        }
        self.inputs.clear(b);
        self.consumers.clear(b);
        self.parts[b].tasks = Vec::new();
        self.parts[b].merged = true;
        let (system, targets) = (self.parts[b].system, self.parts[b].targets);
        let part = &mut self.parts[a];
        part.work = tasks.iter().map(|&task| self.instance.problem.duration[task as usize]).sum();
        (part.tasks, part.build, part.system) = (tasks, build, part.system.min(system));
        part.targets += targets;
        self.order = self.topological();
        self.measure();
    }

    fn topological(&self) -> Vec<usize> {
        let inputs = (0..self.parts.len()).map(|job| members(self.inputs.of(job)).count());
        let order = topological::as_ready(InDegrees::new(inputs), |job| {
            members(self.consumers.of(job as usize)).map(|consumer| consumer as u32)
        });
        order.into_iter().map(|job| job as usize).filter(|&job| !self.parts[job].merged).collect()
    }
}
