//! Workers instead of jobs: N machines, each of which takes one derivation after another whose inputs are there, until none is left.
//!
//! In: the needed derivations, where each is built, the [`Model`], the objective. Out: how many workers of each kind of machine, in one stage or two, the lane of each, and what that
//! takes on paper ([`Way`]). A worker starts up once, where a graph of jobs pays a start for every job of its longest path. Pure, as all of planning. `docs/workers.md` has the protocol by which workers agree on who builds what.

pub mod blocks;
pub mod crew;
pub mod in_plan;
mod machine;
pub mod run;
#[cfg(test)]
mod run_tests;
pub mod search;
pub mod setting;
pub mod work;

use super::model::{Model, Objective};
use super::partition::contract::separate;
use super::partition::units::Units;
use super::placement::Placements;
use super::problem::{Node, Problem, System};
use crew::ProtocolCosts;
use search::{Way, choose};
use work::Work;

/// The best workers for a problem, and the units that they take; a worker can make so many names. None where there is nothing to build, and where something comes behind workers.
pub fn plan_workers(
    problem: &Problem,
    placements: &Placements,
    model: &Model,
    objective: Objective,
    most_names: Option<usize>,
) -> Option<(Units, Way)> {
    if are_behind(problem, placements).contains(&true) {
        return None;
    }
    let machines = machines(placements);
    let work_of = |units: &Units| Work::new(problem, units, &machines);
    let (units, costs) = (separate(problem, model), ProtocolCosts::default());
    let way = choose(&work_of(&units), model, &costs, objective)?;
    match most_names {
        Some(most) => blocks::fitting(problem, units, most, (model, &costs), work_of, way),
        None => Some((units, way)),
    }
}

/// For each node, whether no worker may build it: it is built with contexts or an environment, or needs what is. A derivation whose output paths nobody knows stays with its consumers
/// of the same kind of job.
pub fn are_behind(problem: &Problem, placements: &Placements) -> Vec<bool> {
    let is_plain = |system: &System| {
        let placement = placements.list.get(usize::from(*system));
        placement.is_some_and(|at| !at.options.context.is_empty() || !at.options.environment.is_empty())
    };
    let mut behind: Vec<bool> = problem.system.iter().map(is_plain).collect();
    loop {
        let mut has_changed = false;
        for node in 0..problem.len() {
            let inputs = problem.inputs.of(node as Node);
            if !behind[node] && inputs.iter().any(|&input| behind[input as usize]) {
                behind[node] = true;
                has_changed = true;
            }
            let is_needed_here = behind[node];
            for input in inputs.iter().map(|&input| input as usize).filter(|_| is_needed_here) {
                if problem.floating[input] && problem.system[input] == problem.system[node] && !behind[input] {
                    behind[input] = true;
                    has_changed = true;
                }
            }
        }
        if !has_changed {
            return behind;
        }
    }
}

/// The first placement on the same machine, of each placement: one worker builds for several systems where its machine does.
pub fn machines(placements: &Placements) -> Vec<System> {
    let machine = |at: usize| {
        let placement = &placements.list[at];
        (&placement.executor, &placement.image, &placement.resource_class)
    };
    let first = |at: usize| (0..=at).find(|&earlier| machine(earlier) == machine(at)).unwrap_or(at);
    (0..placements.list.len()).map(|at| first(at) as System).collect()
}
