//! The jobs of an earlier plan, as far as they still can be jobs: a target more moves one job and not all of them.
//!
//! In: for each node the earlier job that it was in, where it was in one. Out: a partition with these jobs; what is new shares them where that
//! pays, and never makes two of them one. What has become a target gets a job with what it needs of its old one. Where that takes too long, or too much machine time, the same with a
//! few jobs changed ([`repaired`]).

use std::collections::{BTreeMap, HashSet};

use super::context::Search;
use super::contract::contract;
use super::effort::is_giant;
use super::jobs::{Instance, JobNumber, Jobs, compatible_systems};
use super::repair::{Goal, repaired};
use super::schedule::Scheduler;
use super::units::{Unit, Units};
use super::written;
use crate::plan::keeping::Cost;
use crate::plan::model::{Granularity, Model, PartitionOptions, Stage};
use crate::plan::problem::{ANY_SYSTEM, Millis, Partition, Problem};

/// Elementary steps that placing what is new may take, a third of a second of one core.
const STEPS: u64 = 60_000_000;

/// How many jobs of a hundred may change where the plan would be too slow or too dear as it was.
const MOST_CHANGES: usize = 4;

/// No job, among numbers of earlier ones.
const NEW: u32 = u32::MAX;

/// The jobs of an earlier plan with what is new among them.
pub struct Kept<'a> {
    problem: &'a Problem,
    model: &'a Model,
    options: &'a PartitionOptions,
    units: Units,
    jobs: Jobs,
}

impl<'a> Kept<'a> {
    /// None where less than half of what is built was built before. What is new may make the plan take up to `most` milliseconds.
    pub fn new(
        problem: &'a Problem,
        model: &'a Model,
        options: &'a PartitionOptions,
        earlier: &[Option<u32>],
        most: Millis,
    ) -> Option<Self> {
        if problem.is_empty() || options.granularity == Granularity::Single {
            return None;
        }
        let (units, _) = contract(problem, model);
        let mut kept = Self { problem, model, options, units, jobs: Jobs::default() };
        kept.jobs = jobs(&kept.instance(), earlier, most)?;
        Some(kept)
    }

    fn instance(&self) -> Instance<'_> {
        let Self { problem, model, options, units, .. } = self;
        let start_up = model.start_up.max(1);
        Instance { problem, units, model, options, start_up, attach: &[], floor: 0, giant: false }
    }

    /// The jobs as they are.
    pub fn partition(&self) -> Partition {
        written(self.problem, &self.units, &self.jobs)
    }

    /// True where a plan for this has to stand durations that turn out longer.
    pub fn expects_surprises(&self) -> bool {
        let instance = self.instance();
        self.options.expects_surprises() && instance.does(Stage::Guesses) && !is_giant(&instance)
    }

    /// The jobs with few of them changed, where they cost `costs` and may cost `most`. None where it would have to be many.
    pub fn repaired(&self, costs: Cost, most: Cost) -> Option<Partition> {
        let instance = self.instance();
        let mut jobs = self.jobs.clone();
        let changes = (jobs.count() * MOST_CHANGES / 100).max(2);
        let path = jobs.measure(&instance).1;
        let (wall, machine) = most.thousandths_of(costs);
        let goal = Goal { path: path * wall / 1000, job_time: jobs.total() * machine / 1000, changes };
        Some(written(self.problem, &self.units, &repaired(&instance, &jobs, goal)?))
    }
}

/// The earlier jobs, and what is new in them or beside them.
fn jobs(instance: &Instance, earlier: &[Option<u32>], most: Millis) -> Option<Jobs> {
    let mut group = groups(instance, earlier);
    let is_new = |group: &[u32]| group.iter().filter(|&&group| group == NEW).count();
    if 2 * is_new(&group) > instance.units.len() {
        return None;
    }
    let mut scheduler = Scheduler::new(instance.problem);
    let mut jobs = Jobs::from_owners(instance, &mut scheduler, &owners(&group));
    let circles = in_circles(instance, &jobs);
    if !circles.is_empty() {
        for (group, job) in group.iter_mut().zip(&jobs.of_unit) {
            if circles.contains(job) {
                *group = NEW;
            }
        }
        jobs = Jobs::from_owners(instance, &mut scheduler, &owners(&group));
    }
    for (unit, &group) in group.iter().enumerate() {
        jobs.list[jobs.of_unit[unit] as usize].settled = group != NEW;
    }
    if is_new(&group) > 0 {
        let deadline = jobs.measure(instance).1.max(most);
        Search::new(instance, STEPS).merge_all(&mut jobs, deadline, 0.0, 4);
    }
    Some(jobs)
}

/// The earlier job of each unit, divided where it cannot be one job any more; [`NEW`] where there is none.
fn groups(instance: &Instance, earlier: &[Option<u32>]) -> Vec<u32> {
    let units = instance.units;
    let of_unit = |unit: Unit| units.owned.of(unit).iter().rev().find_map(|&node| earlier[node as usize]);
    let mut group: Vec<u32> = (0..units.len() as Unit).map(|unit| of_unit(unit).unwrap_or(NEW)).collect();
    let own_targets = instance.options.granularity == Granularity::Target;
    let mut members: BTreeMap<u32, Vec<Unit>> = BTreeMap::new();
    for (unit, &own) in (0..).zip(&group).filter(|(_, own)| **own != NEW) {
        members.entry(own).or_default().push(unit);
    }
    let mut next = members.keys().last().map_or(0, |last| last + 1);
    for list in members.values() {
        let system = list.iter().map(|&unit| units.system[unit as usize]).find(|&system| system != ANY_SYSTEM);
        let component = units.component[list[list.len() - 1] as usize];
        let fits = |unit: &Unit| {
            let at = *unit as usize;
            compatible_systems(units.system[at], system.unwrap_or(ANY_SYSTEM))
                && (!own_targets || units.component[at] == component)
        };
        let (mut left, other): (Vec<Unit>, Vec<Unit>) = list.iter().copied().partition(fits);
        other.into_iter().for_each(|unit| group[unit as usize] = NEW);
        // All targets but the last leave, each with what it needs of the job: nothing that stays is needed by what leaves.
        let targets: Vec<Unit> = left.iter().copied().filter(|&unit| units.targets[unit as usize] > 0).collect();
        for &target in targets.iter().rev().skip(1).rev().filter(|_| own_targets) {
            let part = units.needed_in(&left, vec![target]);
            part.iter().for_each(|&unit| group[unit as usize] = next);
            left.retain(|unit| part.binary_search(unit).is_err());
            next += 1;
        }
    }
    group
}

/// Each group's first unit for all of them; units without a group are their own.
fn owners(group: &[u32]) -> Vec<Unit> {
    let mut first: BTreeMap<u32, Unit> = BTreeMap::new();
    (0..).zip(group).map(|(unit, &own)| if own == NEW { unit } else { *first.entry(own).or_insert(unit) }).collect()
}

/// Jobs that need each other.
fn in_circles(instance: &Instance, jobs: &Jobs) -> HashSet<JobNumber> {
    let order = jobs.topological(instance);
    if order.len() == jobs.count() {
        return HashSet::new();
    }
    let mut graph = petgraph::graph::DiGraph::<(), (), u32>::new();
    jobs.list.iter().for_each(|_| _ = graph.add_node(()));
    for unit in 0..instance.units.len() as Unit {
        let own = jobs.of_unit[unit as usize];
        for &input in instance.units.inputs.of(unit) {
            let other = jobs.of_unit[input as usize];
            if other != own {
                graph.add_edge(other.into(), own.into(), ());
            }
        }
    }
    let circles = petgraph::algo::tarjan_scc(&graph).into_iter().filter(|circle| circle.len() > 1);
    circles.flatten().map(|job| job.index() as JobNumber).collect()
}
