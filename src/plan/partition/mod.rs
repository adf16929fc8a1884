//! The planner: cuts the needed derivations into jobs.
//!
//! In: a [`Problem`], a [`Model`] of what jobs cost and [`PartitionOptions`]. Out: a [`Solution`], the [`Partition`] with notes on what could not be had.
//! The same input gives the same partition on every machine: no clock, no threads, no hash order; work is counted in [`steps`].
//!
//! A job costs its start-up, builds a few derivations at once, and hands on its results only when it ends. So two jobs cost one start-up more than one,
//! and one job makes its consumers wait for all of it. The planner looks for the cut that is best for the [`Objective`], in these steps:
//!
//! 1. [`contract`]: cheap derivations are *co-located* (built in every job that needs them) where that is cheaper than sharing them; floating ones are tied to
//!    their consumers; fetches by the thousand are packed into bins. What is left are the [`units`], an acyclic graph that no longer has these cases.
//! 2. [`waves`]: a plan in which jobs of one wave start when all of the waves before have ended, from few waves of jobs that exchange nothing. Run as a free graph it is shorter
//!    still, and its jobs are well filled. Where durations can be trusted and the graph is large, the steps 3 and 5 are left out: they found nothing better.
//! 3. [`zero`]: from one job a unit, jobs are merged along the longest path until no merge shortens it. Different orders of trying edges lead to
//!    different results, so there are several starts, and a local search that takes critical jobs apart and tries again ([`search`]). This gives the shortest makespan.
//! 4. [`sweep`]: with that makespan times 1.01, 1.15 or 2 (the objective) as deadline, jobs are merged as long as that saves job time and no path gets longer than the deadline. Merges
//!    that save much and use up little slack come first, and jobs grow in rounds, which keeps them alike and their slack usable.
//! 5. [`search`]: badly filled neighbouring jobs are taken apart and merged again, and kept so where that saves job time.
//! 6. [`portfolio`]: all the plans that came up, and a plain one (a job a unit), are run on paper with the provider's concurrency; the objective chooses.
//!    All this happens for each connected part of the graph by itself ([`parts`]).
//! 7. [`fit`]: where the choice breaks a limit of the provider, jobs are merged under looser deadlines, at last without any; `single` comes from there too.
//!
//! Where durations are guesses, [`guesses`] takes jobs apart in which the longest path often waits for a build that it does not need.
//!
//! Graphs of more than some 16,000 units and edges are not searched: [`rounds`] makes a few plans in one go, and the shortest one's jobs are
//! merged once, with a bounded number of steps.
//!
//! What keeps it right: every change is a merge that closes no cycle, or a split into single units. What keeps it fast: [`jobs`] stores no edges, the length of a job is
//! computed only for pairs that may pay, jobs with many consumers are looked at from their own side only, and everything counts its steps.
//!
//! Where every layer of a workspace costs time ([`Model::layer`]), a job's ancestors make it longer. That depends on the whole plan: where it pays, [`layers`] improves the plan
//! that is best where layers are free.

pub mod bands;
mod context;
pub mod contract;
mod effort;
pub mod fit;
pub mod guesses;
mod job_sets;
pub mod jobs;
pub mod kept;
mod layer_merges;
mod layers;
#[cfg(test)]
mod limits;
mod marks;
pub mod neighbours;
mod parts;
pub mod portfolio;
#[cfg(test)]
mod properties;
pub mod repair;
pub mod rounds;
pub mod schedule;
pub mod search;
#[cfg(test)]
mod shapes;
#[cfg(test)]
mod stability;
pub mod steps;
pub mod sweep;
pub mod units;
#[cfg(test)]
mod wave_properties;
pub mod waves;
pub mod zero;

use super::model::{self, Granularity, Model, Objective, PartitionOptions, Stage};
use super::problem::{JobNodes, Millis, Node, Partition, Problem};
use crate::plural::counted;
use bands::InWaves;
use context::Search;
use jobs::{Instance, Jobs};
use portfolio::Candidate;
use schedule::{OVERFULL, Scheduler};
use units::{CO_LOCATED, Units};
use waves::Barrier;

/// An answer and what is to be said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solution {
    /// The jobs.
    pub partition: Partition,
    /// Limits and requests that were not met or cost something, in words.
    pub notes: Vec<String>,
}

/// Cuts a problem into jobs.
pub fn partition(problem: &Problem, model: &Model, options: &PartitionOptions) -> Solution {
    if problem.is_empty() {
        return Solution::default();
    }
    let (units, mut notes) = contract::contract(problem, model);
    let own_jobs = options.granularity == Granularity::Target;
    let targets = units.targets.iter().filter(|&&targets| targets > 0).count();
    let sharing = PartitionOptions { granularity: Granularity::Auto, ..options.clone() };
    let options = match options.limits.jobs {
        Some(most) if own_jobs && targets > most => {
            notes.push(format!("targets share jobs: the plan may have at most {}", counted(most, "job")));
            &sharing
        }
        _ => options,
    };
    // Every job takes some time: then every edge leads forward in time, which the tests for cycles rely on.
    let instance = Instance {
        problem,
        units: &units,
        model,
        options,
        start_up: model.start_up.max(1),
        attach: &[],
        floor: 0,
        giant: false,
    };
    let mut jobs = if options.granularity == Granularity::Single {
        fit::single(&instance, &mut Scheduler::new(problem))
    } else {
        parts::in_parts(&instance, search)
    };
    let tight = options.objective == Objective::Time && options.granularity != Granularity::Single;
    if tight && !effort::is_giant(&instance) && instance.does(Stage::Separate) {
        let separate = contract::separate(problem, model);
        let bare = Instance { units: &separate, ..instance };
        if let Some(mut shorter) = at_most_a_job_a_derivation(&instance, &bare, &jobs) {
            notes.extend(fit_limits(&bare, &mut shorter));
            return Solution { partition: written(problem, &separate, &shorter), notes };
        }
    }
    notes.extend(fit_limits(&instance, &mut jobs));
    Solution { partition: written(problem, &units, &jobs), notes }
}

/// Cuts a problem into jobs that come in waves, at most `most.jobs` a wave. Targets that should have their own jobs share some where there are too few waves. None where no
/// such plan was found, and for graphs that are too large to be searched.
pub fn partition_in_waves(
    problem: &Problem,
    model: &Model,
    options: &PartitionOptions,
    most: model::Waves,
) -> Option<InWaves> {
    let (units, _) = contract::contract(problem, model);
    let start_up = model.start_up.max(1);
    let instance = Instance { problem, units: &units, model, options, start_up, attach: &[], floor: 0, giant: false };
    if problem.is_empty() || options.granularity == Granularity::Single || effort::is_giant(&instance) {
        return None;
    }
    let runners = model.concurrency.min(most.jobs);
    let barrier = Barrier { waves: most.count, queue: model.queue, runners, sharing: true, longest: Millis::MAX };
    let plan = waves::search(&instance, &barrier, &[portfolio::factor(options.objective) - 1.0]).pop()?;
    let jobs = Jobs::from_owners(&instance, &mut Scheduler::new(problem), &plan.owner);
    let partition = written(problem, &units, &jobs);
    let wave = |job: &JobNodes| {
        let unit = job.owned.iter().map(|&node| units.of_node[node as usize]).find(|&unit| unit != CO_LOCATED)?;
        Some(plan.wave[unit as usize] as u32)
    };
    let waves: Vec<u32> = partition.jobs.iter().map(wave).collect::<Option<_>>()?;
    let mut count = vec![0; most.count];
    for &wave in &waves {
        count[wave as usize] += 1;
    }
    count.iter().all(|&jobs| jobs <= most.jobs).then_some(InWaves { partition, waves })
}

/// Jobs without co-location where these take longer than a job a derivation would. What rides along with a derivation on the longest path makes it longer, by seconds.
fn at_most_a_job_a_derivation(instance: &Instance, bare: &Instance, jobs: &Jobs) -> Option<Jobs> {
    let single = Jobs::singletons(bare, &mut Scheduler::new(instance.problem));
    let most = portfolio::simulated(bare, single.clone(), 0).makespan;
    if portfolio::simulated(instance, jobs.clone(), 0).makespan <= most {
        return None;
    }
    let found = parts::in_parts(bare, search);
    // Parts that were planned each for itself may wait for each other's machines.
    let short = portfolio::simulated(bare, found.clone(), 0).makespan <= most;
    Some(if short { found } else { single })
}

/// The best plan for one part of the graph.
fn search(instance: &Instance) -> Candidate {
    if instance.giant {
        return portfolio::search(instance);
    }
    let best = if instance.model.ancestors_count() { layers::search(instance) } else { portfolio::search(instance) };
    guesses::made_robust(instance, best)
}

/// Merges jobs until the limits hold; says what that took.
fn fit_limits(instance: &Instance, jobs: &mut Jobs) -> Vec<String> {
    let limits = &instance.options.limits;
    let mut scheduler = Scheduler::new(instance.problem);
    let mut notes = Vec::new();
    let over = |jobs: &Jobs| limits.jobs.is_some_and(|most| jobs.count() > most);
    let own = instance.options.granularity == Granularity::Target;
    let fewest = if own { instance.units.targets.iter().filter(|&&targets| targets > 0).count() } else { 1 };
    if over(jobs) && limits.jobs.is_some_and(|most| fewest <= most) {
        merge_under_looser_deadlines(instance, jobs, LOOSER, over);
    }
    if over(jobs) && own {
        let sharing = PartitionOptions { granularity: Granularity::Auto, ..instance.options.clone() };
        let instance = Instance { options: &sharing, ..*instance };
        *jobs = parts::in_parts(&instance, search);
        if over(jobs) {
            merge_under_looser_deadlines(&instance, jobs, LOOSER, over);
        }
        notes.push(format!(
            "targets share jobs, since the plan may have at most {} jobs",
            limits.jobs.unwrap_or_default()
        ));
    }
    if over(jobs) {
        let most = limits.jobs.unwrap_or_default();
        let phases = fit::phases(instance.units);
        *jobs = fit::packed(instance, &mut scheduler, &phases, most);
        if jobs.count() > most {
            notes.push(format!(
                "there are at least {}, {} more than the provider allows",
                counted(jobs.count() as u64, "job"),
                jobs.count() - most
            ));
        }
    }
    if let Some(most) = limits.inputs {
        notes.extend(limit_inputs(instance, jobs, most));
    }
    if let Some(most) = limits.requires {
        notes.extend(Search::new(instance, u64::MAX).limit_requires(jobs, most));
    }
    if let Some(most) = limits.job_length {
        // What does not fit on its disk is said elsewhere.
        let lengths = || jobs.list.iter().map(|job| job.length).filter(|length| *length < OVERFULL);
        let longest = lengths().max().unwrap_or(0);
        if longest > most {
            let long = lengths().filter(|length| *length > most).count();
            notes.push(format!(
                "too long for a job, which may take {} s: {}, the longest {} s, {} s too long (a single derivation cannot be divided)",
                most / 1000,
                counted(long as u64, "job"),
                longest / 1000,
                (longest - most).div_ceil(1000)
            ));
        }
    }
    notes
}

/// Merges jobs until none takes the results of more than `most` others, and says so. Targets that should have their own jobs share some where the plan would be half as long again, or
/// impossible.
fn limit_inputs(instance: &Instance, jobs: &mut Jobs, most: usize) -> Option<String> {
    let wide = |jobs: &Jobs| fit::has_wider(instance, jobs, most);
    let all = jobs.count();
    if !wide(jobs) {
        return None;
    }
    let merged = |granularity| {
        let options = PartitionOptions { granularity, ..instance.options.clone() };
        let instance = Instance { options: &options, ..*instance };
        let mut jobs = jobs.clone();
        merge_under_looser_deadlines(&instance, &mut jobs, LITTLE_LOOSER, wide);
        let path = jobs.measure(&instance).1;
        Some((path, jobs)).filter(|(_, jobs)| !wide(jobs))
    };
    let shared = merged(Granularity::Auto);
    let own = if instance.options.granularity == Granularity::Target { merged(Granularity::Target) } else { None };
    let found = match (own, shared) {
        (Some(own), Some(shared)) => Some(if own.0 <= shared.0 / 2 * 3 { own } else { shared }),
        (own, shared) => own.or(shared),
    };
    *jobs = match found {
        Some((_, jobs)) => jobs,
        // One of them is the job that takes from the others.
        None => fit::packed(instance, &mut Scheduler::new(instance.problem), &fit::phases(instance.units), most + 1),
    };
    let count = jobs.count();
    Some(if wide(jobs) {
        format!(
            "a job takes the artifacts of more than {most} others, and there have to be {count} jobs: use `--handoff packages`"
        )
    } else {
        format!(
            "{count} jobs instead of {all}, so that none takes the artifacts of more than {most} others: `--handoff packages` has no such limit"
        )
    })
}

/// By how much deadlines get longer, in percent: fast where any number of jobs that is small enough will do, and slowly where the plan should stay as short as it can.
const LOOSER: Millis = 150;
const LITTLE_LOOSER: Millis = 115;

/// Merges jobs under longer and longer deadlines, until there is nothing left to mend.
fn merge_under_looser_deadlines(instance: &Instance, jobs: &mut Jobs, percent: Millis, broken: impl Fn(&Jobs) -> bool) {
    const ROUNDS: usize = 12;
    let (_, mut deadline) = jobs.measure(instance);
    for _ in 0..ROUNDS {
        deadline = deadline * percent / 100;
        Search::new(instance, 300_000_000).merge_all(jobs, deadline, 0.0, 1);
        if !broken(jobs) {
            return;
        }
    }
}

/// The partition that the jobs stand for. A co-located node that only one job needs is that job's own.
fn written(problem: &Problem, units: &Units, jobs: &Jobs) -> Partition {
    let mut uses = vec![0u32; problem.len()];
    for job in &jobs.list {
        for &task in &job.tasks {
            uses[task as usize] += 1;
        }
    }
    let owned = |task: &Node| units.of_node[*task as usize] != CO_LOCATED || uses[*task as usize] == 1;
    let mut list: Vec<JobNodes> = jobs
        .list
        .iter()
        .filter(|job| !job.units.is_empty())
        .map(|job| {
            let (owned, co_located) = job.tasks.iter().copied().partition(owned);
            JobNodes { system: job.system, owned, co_located }
        })
        .collect();
    list.sort_unstable_by_key(|job| job.owned.first().copied());
    Partition { jobs: list }
}
