//! Plans for a workspace, where every transitive ancestor of a job is a layer that takes time to attach.
//!
//! In: the [`Instance`], with a model in which layers take time. Out: the best plan found. How many layers a job attaches depends on the whole plan, which the search
//! for merges cannot know. So the plan that is best where layers are free comes first, and is improved in rounds: each unit expects what attaching took in the plan so far,
//! as a part of its job's start-up; critical or badly filled jobs are taken apart and merged again under these; then [`layer_merges`](super::layer_merges) takes away what
//! layers it can. What is no better, judged exactly, is dropped: knowing what layers cost never makes a plan worse.
//!
//! For large graphs that pays where each target has its own job and durations can be trusted: 3.6 % of wall time, at most 16 %. If targets share jobs it buys less than 1 % for twice the time,
//! and if durations are guesses plans are 3.6 % shorter without it, 20 % at most. There the search takes a few layers for a part of every job's start-up instead.

use super::context::Search;
use super::effort::{is_large, worth, worth_steps};
use super::job_sets::{JobSets, members};
use super::jobs::{Instance, Jobs};
use super::layer_merges::{MOST_JOBS, adapt};
use super::marks::Marks;
use super::portfolio::{self, Candidate, simulated};
use super::schedule::Scheduler;
use super::search::Refill;
use super::steps::Steps;
use super::sweep::existing;

use crate::plan::model::{Granularity, Model, Objective, Stage};
use crate::plan::problem::Millis;

/// Rounds of search, the first from the shortest plan, the others from the one before.
const ROUNDS: u32 = 6;
/// Elementary steps of the search in each round.
const ROUND_STEPS: u64 = 40_000_000;
/// Elementary steps of merging for the sake of layers, in each round.
const MERGE_STEPS: u64 = 30_000_000;
/// Rounds that shorten, and that refill, within each round.
const SHORTEN: u32 = 24;
/// Deadlines as parts of the makespan of the plan made without layers in mind.
const SHARES: [f64; 6] = [0.996, 0.996, 0.996, 0.992, 0.988, 0.985];
const REFILL: u32 = 40;

/// Layers that are a part of each job's start-up in a quick search: about as many as the jobs on the longest path attach.
const EXPECTED: Millis = 16;

/// A plan where layers take time.
pub fn search(instance: &Instance) -> Candidate {
    let options = instance.options;
    let pays = options.granularity == Granularity::Target && options.trusts_durations();
    if (pays || !is_large(instance)) && instance.does(Stage::LayerRounds) {
        improved_in_rounds(instance)
    } else {
        with_expected_layers(instance)
    }
}

fn with_expected_layers(instance: &Instance) -> Candidate {
    let start_up = instance.start_up + EXPECTED * instance.model.layer;
    let found = portfolio::search(&Instance { start_up, ..*instance });
    Candidate { jobs: rebuilt(instance, &mut Scheduler::new(instance.problem), &found.jobs), ..found }
}

fn improved_in_rounds(instance: &Instance) -> Candidate {
    let free = Model { layer: 0, fetch: 0, ..instance.model.clone() };
    let (first, shortest) = first_plan(&Instance { model: &free, ..*instance }, instance);
    if first.jobs.count() > MOST_JOBS || first.layers == 0 {
        return first;
    }
    let mut scheduler = Scheduler::new(instance.problem);
    let mut merge = |jobs: &Jobs, deadline| {
        if !instance.does(Stage::LayerMerges) {
            return simulated(instance, rebuilt(instance, &mut scheduler, jobs), 0);
        }
        let jobs = adapt(instance, &mut scheduler, jobs, deadline, &mut Steps::new(worth_steps(instance, MERGE_STEPS)));
        simulated(instance, jobs, 0)
    };
    let mut best = better(instance, &first, first.clone(), merge(&first.jobs, 0));
    let mut last = best.clone();
    let path = longest_path(instance, &first.jobs);
    let improved = |choice: &Candidate| choice.makespan < first.makespan && choice.layers < first.layers;
    let rounds = worth(instance, ROUNDS);
    for round in 0..2 * rounds {
        if round >= rounds && improved(&best) {
            break;
        }
        if round == rounds {
            last = first.clone();
        }
        let attach = attachments(instance, &last.jobs);
        let informed = Instance { attach: &attach, ..*instance };
        // The shorter the deadline, the more jobs and layers: the first rounds are content with little.
        let share = if round < rounds { SHARES[round as usize % SHARES.len()] } else { 0.998 };
        let deadline = (path as f64 * share) as Millis;
        let from = if round == 1 { &shortest } else { &last.jobs };
        let found = merge(&searched(&informed, from, deadline, round.into()), deadline);
        last = better(instance, &first, best.clone(), found.clone());
        if last.makespan >= first.makespan {
            last = found.clone();
        }
        best = better(instance, &first, best, found);
    }
    best
}

/// The better of the plans with and without waves, made where layers are `free` and judged where they are not; and the shortest jobs from which others can be made.
fn first_plan(free: &Instance, instance: &Instance) -> (Candidate, Jobs) {
    let plans: Vec<(Candidate, Jobs)> = (portfolio::with_and_without_waves(free).into_iter())
        .map(|(found, shortest)| (simulated(instance, found.jobs, 0), shortest))
        .collect();
    let shortest = plans.iter().map(|(plan, _)| plan.makespan).min().unwrap_or(0);
    let most = ((shortest as f64 * portfolio::factor(instance.options.objective)) as Millis).max(instance.floor);
    let key = |(plan, _): &(Candidate, Jobs)| (plan.makespan.saturating_sub(most), plan.job_time, plan.makespan);
    // The first of equals.
    plans.into_iter().min_by_key(key).unwrap_or_default()
}

/// Shortened and merged again under the deadline, with the expected start-ups; where even the shortest plan is longer, under its makespan.
fn searched(instance: &Instance, from: &Jobs, deadline: Millis, round: u64) -> Jobs {
    let steps = worth_steps(instance, ROUND_STEPS);
    let mut search = Search::new(instance, steps);
    let mut jobs = rebuilt(instance, &mut search.scheduler, from);
    let makespan = search.shorten(&mut jobs, worth(instance, SHORTEN), 1000 + round, deadline);
    let deadline = makespan.max(deadline);
    let reserve = instance.options.reserve.unwrap_or_else(|| instance.options.default_reserve());
    search.steps.set_limit(search.steps.spent() + steps);
    search.merge_all(&mut jobs, deadline, reserve, 4);
    search.refill(
        &mut jobs,
        Refill { deadline, reserve, rounds: worth(instance, REFILL), seed: 2000 + round, part: None },
    );
    jobs
}

/// The same jobs with the start-ups that are expected now.
pub fn rebuilt(instance: &Instance, scheduler: &mut Scheduler, jobs: &Jobs) -> Jobs {
    let owner: Vec<u32> = jobs.of_unit.iter().map(|&job| jobs.list[job as usize].units[0]).collect();
    Jobs::from_owners(instance, scheduler, &owner)
}

/// The longest path through a plan, layers counted, without limits of concurrency, milliseconds: what deadlines of merges refer to.
fn longest_path(instance: &Instance, jobs: &Jobs) -> Millis {
    let attach = attachments(instance, jobs);
    let instance = Instance { attach: &attach, ..*instance };
    rebuilt(&instance, &mut Scheduler::new(instance.problem), jobs).measure(&instance).1
}

/// The plan that is better for the objective, the first of equals. A plan that is neither faster than `first` nor has fewer layers is not worth being another one.
fn better(instance: &Instance, first: &Candidate, best: Candidate, found: Candidate) -> Candidate {
    let improved = |choice: &Candidate| choice.makespan < first.makespan && choice.layers < first.layers;
    let key = |choice: &Candidate| match instance.options.objective {
        Objective::Time => (!improved(choice), choice.makespan, choice.job_time),
        Objective::Balanced | Objective::Cost => (!improved(choice), choice.job_time, choice.makespan),
    };
    if key(&found) < key(&best) && improved(&found) { found } else { best }
}

/// What attaching its ancestors' layers takes for the job of each unit, milliseconds.
pub fn attachments(instance: &Instance, jobs: &Jobs) -> Vec<Millis> {
    let mut ancestors = JobSets::new(jobs.list.len());
    let mut marks = Marks::default();
    let mut jobs = jobs.clone();
    let (order, _) = jobs.measure(instance);
    for &job in &order {
        for input in jobs.inputs(instance, &mut marks, job) {
            ancestors.unite(job as usize, input as usize);
            ancestors.insert(job as usize, input as usize);
        }
    }
    let owned =
        |job: usize| -> usize { jobs.list[job].units.iter().map(|&unit| instance.units.owned.of(unit).len()).sum() };
    let mut attach = vec![0; instance.units.len()];
    for job in existing(&jobs) {
        let layer = |ancestor| instance.model.layer + instance.model.fetch * owned(ancestor) as Millis;
        let time = members(ancestors.of(job as usize)).map(layer).sum();
        for &unit in &jobs.list[job as usize].units {
            attach[unit as usize] = time;
        }
    }
    attach
}
