//! Makes several plans and takes the best for the objective.
//!
//! In: what does not change during a search ([`Ground`]). Out: [`Choice`], the jobs of the best plan and what is known about it. Each plan is run
//! on paper, with the provider's concurrency, before it is compared.

use super::jobs::{Ground, Job, Jobs};
use super::schedule::Scheduler;
use super::search::{Tools, merge_all, refill, shorten};
use super::sweep::alive;
use super::units::Unit;
use super::zero::{EdgeOrder, Marks, Zeroing, zero};
use crate::plan::model::Objective;
use crate::plan::problem::{Adjacency, Millis};
use crate::plan::simulate::{Simulation, run};

/// Steps of a whole search at the default effort, about two seconds of one core.
const STEPS: u64 = 400_000_000;
/// Shares of the steps, in hundredths, after which each stage stops.
const STARTS: u64 = 15;
const SHORTENED: u64 = 40;
const MERGED: u64 = 60;
/// No single stage takes more than this, whatever the graph.
const MOST_STEPS: u64 = 1_500_000_000;
/// Most rounds of refilling.
const MOST_ROUNDS: u32 = 3000;
/// Different orders in which critical edges are tried.
const ORDERS: u64 = 10;

/// A plan among others.
#[derive(Clone, Default)]
pub struct Choice {
    pub jobs: Jobs,
    pub makespan: Millis,
    pub job_time: Millis,
    /// Mean number of layers that a job attaches, where layers cost something.
    pub layers: f64,
    /// The deadline it was merged under, without limits of concurrency, milliseconds.
    pub deadline: Millis,
}

/// The best plan for the objective. `share` is the part of the default number of steps.
pub fn search(ground: &Ground, share: f64) -> Choice {
    let steps = (STEPS as f64 * share * f64::from(ground.options.effort.0)) as u64;
    let part = |hundredths: u64| steps / 100 * hundredths;
    let mut tools = Tools::new(ground, MOST_STEPS);
    let single = Jobs::singletons(ground, &mut tools.scheduler);
    let mut starts = zeroed(&mut tools, &single, part(STARTS));
    for (index, (makespan, jobs)) in starts.iter_mut().take(2).enumerate() {
        tools.steps.set_limit(part(STARTS) + (part(SHORTENED) - part(STARTS)) * (index as u64 + 1) / 2);
        let rounds = (10 * jobs.count() as u32).min(120).saturating_mul(ground.options.effort.0);
        *makespan = shorten(&mut tools, jobs, rounds, index as u64);
    }
    starts.sort_by_key(|start| start.0);
    let shortest = starts[0].0;
    let reserve = ground.options.reserve.unwrap_or_else(|| ground.options.default_reserve());

    let mut choices = vec![judged(ground, single, shortest)];
    choices.extend(owned_by_first_target(ground, &mut tools.scheduler).map(|jobs| judged(ground, jobs, shortest)));
    let mut add = |tools: &mut Tools, jobs: &Jobs, deadline: Millis, thrift: i64| {
        let mut jobs = jobs.clone();
        tools.steps.set_limit(tools.steps.spent() + MOST_STEPS);
        merge_all(tools, &mut jobs, deadline, reserve, thrift);
        choices.push(judged(ground, jobs, deadline));
    };
    add(&mut tools, &starts[0].1, shortest, 4);
    let factor = factor(ground.options.objective);
    let deadline = (shortest as f64 * factor) as Millis;
    for (index, (makespan, jobs)) in starts.iter().enumerate() {
        for thrift in [4, 1] {
            let first = index == 0 && thrift == 4;
            let again = first && factor == 1.0;
            if *makespan <= deadline && !again && (first || tools.steps.spent() < part(MERGED)) {
                add(&mut tools, jobs, deadline, thrift);
            }
        }
    }
    let (best, most) = best(choices, ground.options.objective);
    let mut jobs = best.jobs.clone();
    if best.deadline < jobs.measure(ground).1 {
        return best;
    }
    tools.steps.set_limit(part(100));
    let rounds = (20 * jobs.count() as u32).min(MOST_ROUNDS).saturating_mul(ground.options.effort.0);
    refill(&mut tools, &mut jobs, best.deadline, reserve, rounds, 17);
    let refilled = judged(ground, jobs, best.deadline);
    let better = match ground.options.objective {
        Objective::Time => (refilled.makespan, refilled.job_time) < (best.makespan, best.job_time),
        _ => refilled.makespan <= most && refilled.job_time <= best.job_time,
    };
    if better { refilled } else { best }
}

/// How much longer than the shortest a plan may be.
pub fn factor(objective: Objective) -> f64 {
    match objective {
        Objective::Time => 1.0,
        Objective::Balanced => 1.15,
        Objective::Cost => 2.0,
    }
}

/// Zeroed plans from several orders of edges, shortest first.
fn zeroed(tools: &mut Tools, single: &Jobs, enough: u64) -> Vec<(Millis, Jobs)> {
    let mut starts = Vec::new();
    for index in 0..ORDERS {
        let order = match index {
            0 => EdgeOrder::ShortestFirst,
            1 => EdgeOrder::FromStart,
            2 => EdgeOrder::FromEnd,
            seed => EdgeOrder::Shuffled(seed),
        };
        let mut jobs = single.clone();
        let zeroing = Zeroing { order, choices: 5, enough: 0, moves: usize::MAX };
        let makespan = zero(tools.ground, &mut tools.scheduler, &mut jobs, zeroing, &mut tools.steps);
        starts.push((makespan, jobs));
        if tools.steps.spent() >= enough {
            break;
        }
    }
    starts.sort_by_key(|start| start.0);
    starts
}

/// Runs a plan on paper.
pub fn judged(ground: &Ground, jobs: Jobs, deadline: Millis) -> Choice {
    let simulation = simulate_jobs(ground, &jobs);
    let count = simulation.start.len().max(1) as f64;
    Choice {
        makespan: simulation.makespan,
        job_time: simulation.job_time,
        layers: simulation.layers as f64 / count,
        deadline,
        jobs,
    }
}

fn simulate_jobs(ground: &Ground, jobs: &Jobs) -> Simulation {
    let list: Vec<Job> = alive(jobs).collect();
    let mut place = vec![0u32; jobs.list.len()];
    for (index, &job) in list.iter().enumerate() {
        place[job as usize] = index as u32;
    }
    let build: Vec<Millis> = list.iter().map(|&job| jobs.list[job as usize].length - ground.start_up).collect();
    let mut marks = Marks::default();
    let inputs = Adjacency::from_lists(
        list.iter()
            .map(|&job| jobs.inputs(ground, &mut marks, job).iter().map(|&other| place[other as usize]).collect()),
    );
    run(&build, &inputs, ground.model)
}

/// The best of the plans that are short enough for the objective, and the longest makespan that is, milliseconds.
pub fn best(choices: Vec<Choice>, objective: Objective) -> (Choice, Millis) {
    let shortest = choices.iter().map(|choice| choice.makespan).min().unwrap_or(0);
    let most = (shortest as f64 * factor(objective)) as Millis;
    let key = |choice: &Choice| match objective {
        Objective::Time => (0, choice.makespan, choice.job_time),
        _ => (choice.makespan.saturating_sub(most), choice.job_time, choice.makespan),
    };
    let mut choices = choices.into_iter();
    let mut best = choices.next().unwrap_or_default();
    for choice in choices {
        if key(&choice) < key(&best) {
            best = choice;
        }
    }
    (best, most)
}

/// One job a target, which owns what no earlier target's job owns: what *ordered* does, without its repeats. None where a unit has no
/// target above it, or systems mix.
fn owned_by_first_target(ground: &Ground, scheduler: &mut Scheduler) -> Option<Jobs> {
    let units = ground.units;
    let count = units.len();
    let mut owner = vec![Unit::MAX; count];
    let mut stack = Vec::new();
    for target in (0..count as Unit).filter(|&unit| units.targets[unit as usize] > 0) {
        stack.push(target);
        owner[target as usize] = target;
        while let Some(unit) = stack.pop() {
            for &input in units.inputs.of(unit) {
                if owner[input as usize] == Unit::MAX && units.targets[input as usize] == 0 {
                    owner[input as usize] = target;
                    stack.push(input);
                }
            }
        }
    }
    let allowed = |unit: usize| owner[unit] != Unit::MAX && units.system[owner[unit] as usize] == units.system[unit];
    if !(0..count).all(allowed) {
        return None;
    }
    let jobs = Jobs::from_owners(ground, scheduler, &owner);
    let most = ground.options.limits.job_length.unwrap_or(Millis::MAX);
    let short = jobs.list.iter().all(|job| job.length <= most);
    (short && jobs.topological(ground).len() == jobs.count()).then_some(jobs)
}
