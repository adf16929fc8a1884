//! The needed derivations as a [`Problem`]: dense numbers, durations, systems.
//!
//! In: the graph, what is needed, the targets, where each derivation is built, and the cost model. Out: the problem and, beside it,
//! what turns its nodes back into derivations.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::estimate::{BuildEstimate, CostModel, EstimateKind, EstimateSource, are_recorded};
use super::partition::zero::mix;
use super::placement::Placements;
use super::problem::{ANY_SYSTEM, Adjacency, Node, Problem, Spread, System};
use crate::availability::Needed;
use crate::fleet::system::BUILTIN;
use crate::graph::{DrvId, Graph};

/// The problem and the way back.
#[derive(Clone, Debug)]
pub struct NeededGraph {
    /// What the planner solves.
    pub problem: Problem,
    /// The derivation of each node.
    pub drvs: Vec<DrvId>,
    /// How long each node takes, and who says so.
    pub estimates: Vec<BuildEstimate>,
}

impl NeededGraph {
    /// Numbers the needed derivations in the graph's order, in which inputs stand before consumers.
    pub fn new(graph: &Graph, needed: &Needed, targets: &[DrvId], placements: &Placements, costs: &CostModel) -> Self {
        let drvs: Vec<DrvId> = needed.ids().collect();
        let mut number: Vec<Option<Node>> = vec![None; graph.len()];
        for (node, id) in drvs.iter().enumerate() {
            number[id.at()] = Some(node as Node);
        }
        let mut target = vec![false; drvs.len()];
        for id in targets {
            if let Some(node) = number[id.at()] {
                target[node as usize] = true;
            }
        }
        let inputs = Adjacency::from_lists(drvs.iter().map(|&id| {
            let inputs = graph.inputs(id).iter().filter(|_| !needed.is_closed(id));
            inputs.filter_map(|input| number[input.drv.at()]).collect()
        }));

        let system: Vec<System> = drvs.iter().map(|id| placements.of.get(id).copied().unwrap_or(ANY_SYSTEM)).collect();

        let there = BuildEstimate {
            duration: 0,
            from: EstimateSource::Derivation,
            kind: EstimateKind::Recorded,
            spread: Spread::None,
        };
        let estimates: Vec<BuildEstimate> = drvs
            .iter()
            .zip(&target)
            .map(|(&id, &is_target)| needed.built_here(id).map_or_else(|| costs.of(graph, id, is_target), |_| there))
            .collect();
        // What records say to be as fast as a fetch is as cheap as one.
        let fast =
            |node: usize| estimates[node].from == EstimateSource::History && estimates[node].duration <= costs.fetch;
        let cheap = drvs
            .iter()
            .enumerate()
            .map(|(node, &id)| graph.node(id).fixed_output || graph.node(id).prefer_local_build || fast(node))
            .collect();
        let history = &costs.history;
        let of_each = |known: &dyn Fn(&str, &str, &str) -> Option<u64>| -> Vec<u64> {
            let of = |&id: &DrvId| {
                let node = graph.node(id);
                known(&graph.path(id), node.name(), &node.system).unwrap_or(0)
            };
            let values: Vec<u64> = if history.is_empty() { Vec::new() } else { drvs.iter().map(of).collect() };
            if values.iter().all(|value| *value == 0) { Vec::new() } else { values }
        };
        let problem = Problem {
            consumers: inputs.reversed(),
            inputs,
            duration: estimates.iter().map(|estimate| estimate.duration).collect(),
            cheap,
            target,
            confined: system.iter().map(|&system| placements.has_contexts(system)).collect(),
            system,
            portable: portable(graph, &drvs, &number, placements),
            floating: drvs.iter().map(|&id| graph.node(id).is_floating()).collect(),
            bytes: of_each(&|path, name, system| history.size(path, name, system)),
            memory: of_each(&|path, name, system| history.needs.memory(path, name, system)),
            spread: estimates.iter().map(|estimate| estimate.spread).collect(),
            name_hash: drvs.iter().map(|&id| hash(graph.node(id).name())).collect(),
            rank: if are_recorded(&estimates) { ranks(graph, &drvs) } else { Vec::new() },
        };
        Self { problem, drvs, estimates }
    }

    /// These nodes alone, ascending: what else they need is there.
    pub fn part(&self, nodes: &[Node]) -> Self {
        Self {
            problem: self.problem.part(nodes),
            drvs: nodes.iter().map(|&node| self.drvs[node as usize]).collect(),
            estimates: nodes.iter().map(|&node| self.estimates[node as usize]).collect(),
        }
    }
}

/// Derivations for which a needed one with the same outputs stands, by path.
pub fn same_as(graph: &Graph, needed: &Needed) -> BTreeMap<Arc<str>, Arc<str>> {
    let same = graph.same_outputs().filter(|(_, stands)| needed.has(*stands));
    same.map(|(drv, stands)| (graph.path(drv).into(), graph.path(stands).into())).collect()
}

/// A hash of a name, the same on every machine.
pub fn hash(name: &str) -> u64 {
    name.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)))
}

/// The place of each derivation in the order in which Nix (2.8 to 2.34) begins those that are ready: by the name of its file, then by path.
fn ranks(graph: &Graph, drvs: &[DrvId]) -> Vec<u32> {
    let key = |&node: &usize| (format!("{}.drv", graph.node(drvs[node]).name()), graph.path(drvs[node]));
    let mut order: Vec<usize> = (0..drvs.len()).collect();
    order.sort_by_cached_key(key);
    let mut ranks = vec![0; drvs.len()];
    (0..).zip(order).for_each(|(rank, node)| ranks[node] = rank);
    ranks
}

/// The nodes that each of their consumers can build too: a cheap one, of the same system, that needs nothing special, and whose cheap
/// inputs are like it, since they come along.
fn portable(graph: &Graph, drvs: &[DrvId], number: &[Option<Node>], placements: &Placements) -> Vec<bool> {
    let mut portable: Vec<bool> = drvs
        .iter()
        .map(|id| placements.portable.contains(id) && graph.node(*id).required_system_features.is_empty())
        .collect();
    for &consumer in drvs {
        for input in graph.inputs(consumer) {
            if let Some(node) = number[input.drv.at()] {
                let (own, above) = (&graph.node(input.drv).system, &graph.node(consumer).system);
                portable[node as usize] &= **own == **above || &**own == BUILTIN;
            }
        }
    }
    for (at, &id) in drvs.iter().enumerate() {
        let inputs = graph.inputs(id).iter().filter_map(|input| Some((input.drv, number[input.drv.at()]?)));
        let rides = |drv: DrvId| graph.node(drv).fixed_output || graph.node(drv).prefer_local_build;
        let fixed = inputs.filter(|&(drv, _)| rides(drv)).any(|(_, node)| !portable[node as usize]);
        portable[at] &= !fixed;
    }
    portable
}
