//! Makes plans that a provider accepts: fewer jobs, fewer requirements, whatever that costs.
//!
//! In: the jobs of a good plan and the [`PlanLimits`](crate::plan::model::PlanLimits). Out: jobs within the limits, with notes on what was given up or could not be met. Also
//! the plan of granularity `single`, since that is the packing with the fewest jobs.

use super::context::Search;
use super::jobs::{Instance, JobNumber, Jobs, Union, compatible_systems, merged};
use super::marks::Marks;
use super::neighbours::reduced_inputs;
use super::schedule::Scheduler;
use super::sweep::existing;
use super::units::{Unit, Units};
use crate::plan::model::Granularity;
use crate::plan::problem::{ANY_SYSTEM, System};
use crate::plural::counted;

/// Systems that are tried as the first one to be built.
const MOST_FIRST: usize = 32;

/// Units of one system that can run as one job, one phase after the other: as few phases as a greedy choice finds, which is the fewest for
/// two systems. In each phase everything is taken that does not wait for another system.
pub fn phases(units: &Units) -> Vec<Vec<Unit>> {
    let mut systems: Vec<System> = units.system.iter().copied().filter(|&system| system != ANY_SYSTEM).collect();
    systems.sort_unstable();
    systems.dedup();
    if systems.is_empty() {
        systems.push(ANY_SYSTEM);
    }
    // Where there are more kinds of machines, nearly all of them are for one target.
    let plans = systems.iter().take(MOST_FIRST).map(|&first| phases_from(units, &systems, first));
    plans.min_by_key(Vec::len).unwrap_or_default()
}

fn phases_from(units: &Units, systems: &[System], first: System) -> Vec<Vec<Unit>> {
    let mut left = units.inputs.in_degrees();
    let mut ready: Vec<Vec<Unit>> = vec![Vec::new(); systems.len() + 1];
    let slot = |unit: Unit| systems.binary_search(&units.system[unit as usize]).unwrap_or(systems.len());
    for unit in left.ready() {
        ready[slot(unit)].push(unit);
    }
    let mut plan = Vec::new();
    let mut next = systems.iter().position(|&system| system == first);
    while let Some(system) = next {
        let mut phase = Vec::new();
        // What any machine can build goes with the first that comes.
        while let Some(unit) = ready[system].pop().or_else(|| ready[systems.len()].pop()) {
            phase.push(unit);
            for &consumer in units.consumers.of(unit) {
                if left.arrive(consumer) {
                    ready[slot(consumer)].push(consumer);
                }
            }
        }
        phase.sort_unstable();
        if !phase.is_empty() {
            plan.push(phase);
        }
        next = (0..systems.len()).filter(|&other| !ready[other].is_empty()).max_by_key(|&other| ready[other].len());
    }
    plan
}

/// One job a phase.
pub fn single(instance: &Instance, scheduler: &mut Scheduler) -> Jobs {
    packed(instance, scheduler, &phases(instance.units), 0)
}

/// At most `most` jobs where there are not more phases than that: phases cut into stretches of equal work, in an order in which inputs come first.
pub fn packed(instance: &Instance, scheduler: &mut Scheduler, phases: &[Vec<Unit>], most: usize) -> Jobs {
    let work = |unit: Unit| -> u64 {
        instance.units.owned.of(unit).iter().map(|&node| instance.problem.duration[node as usize] + 1).sum()
    };
    let total: u64 = phases.iter().flatten().map(|&unit| work(unit)).sum();
    let spare = most.saturating_sub(phases.len()) as u64;
    let mut owner = vec![0; instance.units.len()];
    for phase in phases {
        let own: u64 = phase.iter().map(|&unit| work(unit)).sum();
        let parts = 1 + spare * own / total.max(1);
        let mut before = 0;
        let mut first = (u64::MAX, 0);
        for &unit in phase {
            let part = before * parts / own.max(1);
            if part != first.0 {
                first = (part, unit);
            }
            owner[unit as usize] = first.1;
            before += work(unit);
        }
    }
    Jobs::from_owners(instance, scheduler, &owner)
}

/// True where a job takes from more than `most` others, those included that come by way of others.
pub fn has_wider(instance: &Instance, jobs: &Jobs, most: usize) -> bool {
    let mut marks = Marks::default();
    let mut before: Vec<Vec<JobNumber>> = vec![Vec::new(); jobs.list.len()];
    for job in jobs.topological(instance) {
        let mut all = jobs.inputs(instance, &mut marks, job);
        for at in 0..all.len() {
            all.extend_from_slice(&before[all[at] as usize]);
        }
        all.sort_unstable();
        all.dedup();
        if all.len() > most {
            return true;
        }
        before[job as usize] = all;
    }
    false
}

impl Search<'_> {
    /// Merges direct requirements of jobs that have more than `most` of them. Returns a note where that is not possible.
    ///
    /// The reduced requirements of a job have no path between them, so merging them closes no cycle.
    pub fn limit_requires(&mut self, jobs: &mut Jobs, most: usize) -> Vec<String> {
        let instance = self.instance;
        let most = most.max(1);
        let (mut shared, mut over) = (0, 0);
        // A merge changes what is implied elsewhere; a few passes settle it.
        for _ in 0..4 {
            let mut changed = false;
            over = 0;
            for job in existing(jobs).collect::<Vec<_>>() {
                if jobs.list[job as usize].units.is_empty() || jobs.inputs(instance, &mut self.marks, job).len() <= most
                {
                    continue;
                }
                let required = reduced_inputs(instance, jobs, job);
                let excess = required.len().saturating_sub(most);
                let left = self.merge_some(jobs, required, excess, false);
                let rest = if left > 0 {
                    let required = reduced_inputs(instance, jobs, job);
                    let excess = required.len().saturating_sub(most);
                    let rest = self.merge_some(jobs, required, excess, true);
                    shared += usize::from(rest < excess);
                    rest
                } else {
                    0
                };
                changed |= excess > 0;
                over = over.max(rest);
            }
            if !changed {
                break;
            }
        }
        let mut notes = Vec::new();
        if shared > 0 && instance.options.granularity == Granularity::Target {
            notes.push(format!("targets share jobs: a job may require at most {}", counted(most, "other")));
        }
        if over > 0 {
            notes.push(format!("a job still requires {over} others more than the {most} that the provider allows"));
        }
        notes
    }

    /// Merges some of these jobs with each other so that there are `excess` fewer; returns how many could not be saved.
    fn merge_some(
        &mut self,
        jobs: &mut Jobs,
        mut list: Vec<JobNumber>,
        mut excess: usize,
        share_targets: bool,
    ) -> usize {
        let instance = self.instance;
        let kind = |jobs: &Jobs, job: JobNumber| {
            let state = &jobs.list[job as usize];
            let apart = instance.options.granularity == Granularity::Target && !share_targets;
            (state.system, apart && state.targets > 0)
        };
        list.sort_by_key(|&job| (kind(jobs, job), jobs.list[job as usize].length, jobs.list[job as usize].units[0]));
        let groups: Vec<Vec<JobNumber>> = list
            .chunk_by(|&a, &b| kind(jobs, a) == kind(jobs, b))
            .filter(|group| !kind(jobs, group[0]).1)
            .map(<[JobNumber]>::to_vec)
            .collect();
        for group in groups {
            let saved = excess.min(group.len() - 1);
            let parts = group.len() - saved;
            for part in 0..parts {
                let members = &group[part * group.len() / parts..(part + 1) * group.len() / parts];
                self.merge_members(jobs, members);
            }
            excess -= saved;
        }
        excess
    }

    /// Makes one job of several; the caller knows that this closes no cycle.
    fn merge_members(&mut self, jobs: &mut Jobs, members: &[JobNumber]) {
        let [first, others @ ..] = members else { return };
        debug_assert!(
            others.iter().all(|&other| {
                compatible_systems(jobs.list[*first as usize].system, jobs.list[other as usize].system)
            })
        );
        let mut tasks = jobs.list[*first as usize].tasks.clone();
        let start_up = members.iter().map(|&job| jobs.list[job as usize].start_up).max().unwrap_or(0);
        for &other in others {
            tasks = merged(&tasks, &jobs.list[other as usize].tasks);
            jobs.merge(*first, other, Union::default());
        }
        let state = &mut jobs.list[*first as usize];
        state.work = tasks.iter().map(|&task| self.instance.problem.duration[task as usize]).sum();
        state.start_up = start_up;
        state.length = start_up + self.scheduler.length(&tasks, self.instance.model.capacity_of(state.system));
        state.tasks = tasks;
    }
}
