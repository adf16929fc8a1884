//! The jobs of a plan: with names, in order, on the machines that were chosen for what they build.
//!
//! In: a partition that was run on paper ([`Simulated`]), and what finds names. Out: [`Job`]s.

use std::sync::Arc;

use anyhow::{Result, ensure};

use super::job_graph::JobGraph;
use super::job_namer::JobNamer;
use super::model::Model;
use super::names;
use super::needed::NeededGraph;
use super::partition::bands::InWaves;
use super::predicted::Predicted;
use super::problem::{Adjacency, JobNodes, Millis, Node};
use super::simulate::Simulation;
use super::{Estimate, EstimateSource, Job, JobIndex, JobOptions};
use crate::fleet::system::BUILTIN;

/// Jobs, and what happens when they run.
pub struct Simulated {
    /// What each builds, and in which wave.
    pub jobs: InWaves,
    /// The jobs that each takes from.
    pub direct: Adjacency,
    /// When they start and end.
    pub simulation: Simulation,
}

/// The jobs in topological order, then by id. An error for a job that builds nothing, or takes from itself by way of others.
pub fn job_list(simulated: &Simulated, namer: &JobNamer, reserved_names: &[&str], model: &Model) -> Result<Vec<Job>> {
    let Simulated { jobs, simulation, .. } = simulated;
    let partition = &jobs.partition;
    let namings: Vec<_> = partition.jobs.iter().map(|job| namer.naming(job)).collect();
    let job_names = names::assign(&namings, reserved_names);
    let mut by_id: Vec<usize> = (0..job_names.len()).collect();
    by_id.sort_unstable_by_key(|&job| &job_names[job].id);
    let mut rank = vec![0; by_id.len()];
    for (position, &job) in by_id.iter().enumerate() {
        rank[job] = position as u32;
    }
    let job_graph = JobGraph::new(&simulated.direct, &rank)?;
    let paths: Vec<Arc<str>> = namer.small.drvs.iter().map(|&id| namer.graph.path(id).into()).collect();
    let indices = |jobs: &[u32]| jobs.iter().map(|&job| JobIndex(job)).collect();
    let paths_of = |nodes: &[Node]| nodes.iter().map(|&node| paths[node as usize].clone()).collect();
    let mut list = Vec::with_capacity(partition.jobs.len());
    for ((&number, requires), inputs) in job_graph.order.iter().zip(&job_graph.requires).zip(&job_graph.inputs) {
        let number = number as usize;
        let nodes = &partition.jobs[number];
        let placement = namer.placements.list.get(usize::from(nodes.system));
        ensure!(nodes.owned.len() + nodes.co_located.len() > 0, "job {number} builds nothing");
        list.push(Job {
            id: job_names[number].id.clone(),
            name: job_names[number].name.clone(),
            system: placement.map_or(BUILTIN, |placement| &placement.system).into(),
            targets: namer.targets(nodes).cloned().collect(),
            derivations: paths_of(&nodes.owned),
            co_located: paths_of(&nodes.co_located),
            requires: indices(requires),
            inputs: indices(inputs),
            wave: jobs.waves.get(number).map(|wave| wave + 1),
            executor: placement.map(|placement| placement.executor.clone()),
            image: placement.and_then(|placement| placement.image.clone()),
            resource_class: placement.map(|placement| placement.resource_class.clone()),
            options: placement.map_or_else(JobOptions::default, |placement| placement.options.clone()),
            estimate: estimate(namer.small, nodes, simulation.end[number] - simulation.start[number]),
            predicted: Some(predicted(simulated, namer.small, number, model)),
        });
    }
    Ok(list)
}

/// How long a job takes, with the weakest of the sources that its derivations' durations have.
fn estimate(small: &NeededGraph, nodes: &JobNodes, duration: Millis) -> Estimate {
    let built = nodes.owned.iter().chain(&nodes.co_located);
    let from = built.map(|&node| small.estimates[node as usize].from).max();
    Estimate { duration, from: from.unwrap_or(EstimateSource::Default) }
}

/// The run of a job on paper, phase by phase.
fn predicted(simulated: &Simulated, small: &NeededGraph, number: usize, model: &Model) -> Predicted {
    let Simulated { jobs, simulation, .. } = simulated;
    let nodes = &jobs.partition.jobs[number];
    let (start, restore) = (simulation.start[number], simulation.restore[number]);
    let hand_off = simulation.hand_off[number];
    let build = simulation.end[number].saturating_sub(start + model.start_up + restore + hand_off);
    let mut predicted = Predicted {
        start,
        start_up: model.start_up,
        restore,
        build,
        hand_off: (model.hand_off > 0 || model.sizes.is_some()).then_some(hand_off),
        slots: model.slots_of(nodes.system) as u32,
        ..Predicted::default()
    };
    for &node in nodes.owned.iter().chain(&nodes.co_located) {
        predicted.push(&small.estimates[node as usize]);
    }
    predicted
}
