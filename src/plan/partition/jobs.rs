//! The state of the search: which job each unit is in, and when jobs can start and must start.
//!
//! In: [`Units`] and a scheduler. Out: [`Jobs`], cheap to change: a merge or a split touches the units concerned and nothing else, because
//! the edges between jobs are read off the units' edges when they are asked for.

use super::schedule::Scheduler;
use super::units::{Unit, Units};
use crate::plan::model::{Granularity, Model, PartitionOptions, Stage};
use crate::plan::problem::{ANY_SYSTEM, Millis, Node, Problem, System};
use crate::topological::{self, InDegrees};

/// A job: an index into [`Jobs::list`].
pub type JobNumber = u32;

/// What does not change during a search.
pub struct Instance<'a> {
    pub problem: &'a Problem,
    pub units: &'a Units,
    pub model: &'a Model,
    pub options: &'a PartitionOptions,
    /// Start-up to plan with, milliseconds, at least 1: the model's, and for giants the layers that a job is expected to attach.
    pub start_up: Millis,
    /// What attaching layers is expected to take for a job with each unit, milliseconds; empty where that is nothing.
    pub attach: &'a [Millis],
    /// Other parts of the plan take at least this long, milliseconds: what ends before delays nothing.
    pub floor: Millis,
    /// The whole graph is too large to be searched.
    pub giant: bool,
}

/// One job.
#[derive(Clone, Debug, Default)]
pub struct JobState {
    /// Ascending; empty where the job was merged into another.
    pub units: Vec<Unit>,
    /// Nodes that the job builds, co-located ones too, ascending.
    pub tasks: Vec<Node>,
    /// Start-up, with what attaching layers is expected to take, milliseconds.
    pub start_up: Millis,
    /// Start-up and list schedule, milliseconds.
    pub length: Millis,
    /// Sum of the durations of `tasks`, milliseconds.
    pub work: Millis,
    pub system: System,
    pub targets: u32,
    /// A job of an earlier plan: it takes what is new, and no other such job.
    pub settled: bool,
    /// Earliest start, milliseconds.
    pub earliest: Millis,
    /// Latest start that keeps the deadline, milliseconds; may be negative before a deadline is set.
    pub latest: i64,
    /// Longest path from the end of the job to the end of everything, milliseconds.
    pub tail: Millis,
}

impl Instance<'_> {
    /// True unless the stage is left out.
    pub fn does(&self, stage: Stage) -> bool {
        self.options.without != Some(stage)
    }

    /// How long the derivations of one job may take, milliseconds, where the provider limits that.
    pub fn longest_build(&self) -> Millis {
        self.options.limits.job_length.map_or(Millis::MAX, |most| most.saturating_sub(self.start_up))
    }

    /// Start-up of a job of one unit, milliseconds.
    pub fn start_up_of(&self, unit: Unit) -> Millis {
        self.start_up + self.attach.get(unit as usize).copied().unwrap_or(0)
    }
}

impl JobState {
    /// List schedule alone, milliseconds.
    pub fn build(&self) -> Millis {
        self.length - self.start_up
    }

    /// Earliest end, milliseconds.
    pub fn earliest_end(&self) -> Millis {
        self.earliest + self.length
    }

    /// Latest end that keeps the deadline, milliseconds.
    pub fn latest_end(&self) -> i64 {
        self.latest + self.length as i64
    }
}

/// A set of jobs that would become one.
#[derive(Clone, Debug, Default)]
pub struct Union {
    pub tasks: Vec<Node>,
    pub start_up: Millis,
    pub length: Millis,
    pub work: Millis,
}

/// All jobs and the map from units to them.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    pub of_unit: Vec<JobNumber>,
    pub list: Vec<JobState>,
    /// When everything must have ended, milliseconds; what `latest` of the jobs refers to.
    pub deadline: Millis,
}

impl Jobs {
    /// One job a unit.
    pub fn singletons(instance: &Instance, scheduler: &mut Scheduler) -> Self {
        let count = instance.units.len() as JobNumber;
        let list = (0..count).map(|unit| state_of(instance, scheduler, vec![unit])).collect();
        Self { of_unit: (0..count).collect(), list, deadline: 0 }
    }

    /// One job for each set of units with the same owner (any numbers below the number of units).
    pub fn from_owners(instance: &Instance, scheduler: &mut Scheduler, owner: &[u32]) -> Self {
        let mut units = vec![Vec::new(); owner.len()];
        for (unit, &own) in owner.iter().enumerate() {
            units[own as usize].push(unit as Unit);
        }
        let list = units.into_iter().map(|units| state_of(instance, scheduler, units)).collect();
        Self { of_unit: owner.to_vec(), list, deadline: 0 }
    }

    /// The same jobs, numbered from 0 on.
    pub fn without_gaps(mut self) -> Self {
        let mut place = Vec::with_capacity(self.list.len());
        let mut next = 0;
        for job in &self.list {
            place.push(next);
            next += JobNumber::from(!job.units.is_empty());
        }
        for job in &mut self.of_unit {
            *job = place[*job as usize];
        }
        self.list.retain(|job| !job.units.is_empty());
        self
    }

    /// Number of jobs.
    pub fn count(&self) -> usize {
        self.list.iter().filter(|job| !job.units.is_empty()).count()
    }

    /// Total job time, milliseconds.
    pub fn total(&self) -> Millis {
        self.list.iter().map(|job| job.length).sum()
    }

    /// True where the rules let two jobs be one, edges aside. Where each target has its own job, parts of the graph without a connection stay apart too:
    /// something added elsewhere then leaves a job as it is.
    pub fn compatible(&self, instance: &Instance, a: JobNumber, b: JobNumber) -> bool {
        let (a, b) = (&self.list[a as usize], &self.list[b as usize]);
        let component = |job: &JobState| instance.units.component[job.units[0] as usize];
        if instance.options.granularity == Granularity::Target && component(a) != component(b) {
            return false;
        }
        compatible_systems(a.system, b.system)
            && !(a.settled && b.settled)
            && (instance.options.granularity != Granularity::Target || a.targets == 0 || b.targets == 0)
    }

    /// What two jobs would be as one.
    pub fn union(&self, instance: &Instance, scheduler: &mut Scheduler, a: JobNumber, b: JobNumber) -> Union {
        let (a, b) = (&self.list[a as usize], &self.list[b as usize]);
        let tasks = merged(&a.tasks, &b.tasks);
        let system = a.system.min(b.system);
        let start_up = a.start_up.max(b.start_up);
        let length = start_up + scheduler.length(&tasks, instance.model.capacity_of(system));
        let repeated = a.tasks.len() + b.tasks.len() > tasks.len();
        let work = if repeated { work_of(instance.problem, &tasks) } else { a.work + b.work };
        Union { tasks, start_up, length, work }
    }

    /// Moves everything in `b` to `a`. `earliest`, `latest` and `tail` of `a` are the caller's to set.
    pub fn merge(&mut self, a: JobNumber, b: JobNumber, union: Union) {
        let gone = std::mem::take(&mut self.list[b as usize]);
        for &unit in &gone.units {
            self.of_unit[unit as usize] = a;
        }
        let kept = &mut self.list[a as usize];
        kept.units = merged(&kept.units, &gone.units);
        kept.tasks = union.tasks;
        kept.start_up = union.start_up;
        kept.length = union.length;
        kept.work = union.work;
        kept.system = kept.system.min(gone.system);
        kept.targets += gone.targets;
        kept.settled |= gone.settled;
    }

    /// Leaves a job the units of `kept` (ascending) and makes a new one of its others; returns the new job.
    pub fn split(
        &mut self,
        instance: &Instance,
        scheduler: &mut Scheduler,
        job: JobNumber,
        kept: &[Unit],
    ) -> JobNumber {
        let units = std::mem::take(&mut self.list[job as usize].units);
        let (kept, others): (Vec<Unit>, Vec<Unit>) =
            units.into_iter().partition(|unit| kept.binary_search(unit).is_ok());
        let made = self.list.len() as JobNumber;
        for &unit in &others {
            self.of_unit[unit as usize] = made;
        }
        self.list[job as usize] = state_of(instance, scheduler, kept);
        self.list.push(state_of(instance, scheduler, others));
        made
    }

    /// Gives each unit of a job its own; the first unit keeps the job's number. Returns the new jobs.
    pub fn explode(
        &mut self,
        instance: &Instance,
        scheduler: &mut Scheduler,
        job: JobNumber,
        free: &mut Vec<JobNumber>,
    ) -> Vec<JobNumber> {
        let units = std::mem::take(&mut self.list[job as usize].units);
        let mut made = Vec::with_capacity(units.len());
        for (index, &unit) in units.iter().enumerate() {
            let place = if index == 0 { Some(job) } else { free.pop() };
            let state = state_of(instance, scheduler, vec![unit]);
            let place = match place {
                Some(place) => {
                    self.list[place as usize] = state;
                    place
                }
                None => {
                    self.list.push(state);
                    self.list.len() as JobNumber - 1
                }
            };
            self.of_unit[unit as usize] = place;
            made.push(place);
        }
        made
    }

    /// Jobs in topological order; shorter than the number of jobs where there is a cycle.
    pub fn topological(&self, instance: &Instance) -> Vec<JobNumber> {
        let mut inputs = vec![0; self.list.len()];
        for unit in 0..instance.units.len() as Unit {
            let own = self.of_unit[unit as usize];
            let from_elsewhere =
                instance.units.inputs.of(unit).iter().filter(|&&input| self.of_unit[input as usize] != own);
            inputs[own as usize] += from_elsewhere.count();
        }
        let mut order = topological::as_ready(InDegrees::new(inputs), |job| {
            let consumers = self.list[job as usize].units.iter().flat_map(|&unit| instance.units.consumers.of(unit));
            consumers.map(|&unit| self.of_unit[unit as usize]).filter(move |&other| other != job)
        });
        order.retain(|&job| !self.list[job as usize].units.is_empty());
        order
    }

    /// Sets earliest starts and tails; returns a topological order and the makespan (without limits of concurrency), milliseconds.
    pub fn measure(&mut self, instance: &Instance) -> (Vec<JobNumber>, Millis) {
        let order = self.topological(instance);
        for job in &mut self.list {
            job.earliest = 0;
            job.tail = 0;
        }
        let mut makespan = 0;
        for &job in &order {
            let end = self.list[job as usize].earliest_end();
            makespan = makespan.max(end);
            for index in 0..self.list[job as usize].units.len() {
                let unit = self.list[job as usize].units[index];
                for &consumer in instance.units.consumers.of(unit) {
                    let other = self.of_unit[consumer as usize];
                    if other != job {
                        let earliest = &mut self.list[other as usize].earliest;
                        *earliest = end.max(*earliest);
                    }
                }
            }
        }
        for &job in order.iter().rev() {
            let through = self.list[job as usize].length + self.list[job as usize].tail;
            for index in 0..self.list[job as usize].units.len() {
                let unit = self.list[job as usize].units[index];
                for &input in instance.units.inputs.of(unit) {
                    let other = self.of_unit[input as usize];
                    if other != job {
                        let tail = &mut self.list[other as usize].tail;
                        *tail = through.max(*tail);
                    }
                }
            }
        }
        (order, makespan)
    }

    /// Sets earliest and latest starts for a deadline in milliseconds; returns a topological order.
    pub fn measure_for(&mut self, instance: &Instance, deadline: Millis) -> Vec<JobNumber> {
        let (order, _) = self.measure(instance);
        self.deadline = deadline;
        for job in &mut self.list {
            job.latest = deadline as i64 - job.tail as i64 - job.length as i64;
        }
        order
    }
}

/// Systems of which one machine can build both.
pub fn compatible_systems(a: System, b: System) -> bool {
    a == b || a == ANY_SYSTEM || b == ANY_SYSTEM
}

/// A job of these units (ascending) before it has a place in time; the state of no job where there are none.
fn state_of(instance: &Instance, scheduler: &mut Scheduler, units: Vec<Unit>) -> JobState {
    if units.is_empty() {
        return JobState::default();
    }
    let each = || units.iter().map(|&unit| unit as usize);
    let system = each().map(|unit| instance.units.system[unit]).min().unwrap_or_default();
    let start_up = units.iter().map(|&unit| instance.start_up_of(unit)).max().unwrap_or_default();
    let tasks = instance.units.tasks_of(&units);
    JobState {
        start_up,
        length: start_up + scheduler.length(&tasks, instance.model.capacity_of(system)),
        work: work_of(instance.problem, &tasks),
        tasks,
        system,
        targets: each().map(|unit| instance.units.targets[unit]).sum(),
        units,
        ..JobState::default()
    }
}

fn work_of(problem: &Problem, tasks: &[Node]) -> Millis {
    tasks.iter().map(|&task| problem.duration[task as usize]).sum()
}

/// The union of two ascending lists, ascending.
pub fn merged(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut list = Vec::new();
    merge_into(&mut list, a, b);
    list
}

/// Appends the union of two ascending lists, ascending.
pub fn merge_into(list: &mut Vec<u32>, a: &[u32], b: &[u32]) {
    list.reserve(a.len() + b.len());
    let (mut a, mut b) = (a, b);
    while let ([left, rest @ ..], [right, others @ ..]) = (a, b) {
        list.push(*left.min(right));
        if left <= right {
            a = rest;
        }
        if right <= left {
            b = others;
        }
    }
    list.extend_from_slice(a);
    list.extend_from_slice(b);
}
