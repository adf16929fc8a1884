//! Plans parts of the graph that nothing connects apart from each other: what is added to one part leaves the jobs of the others as they are.
//!
//! In: the [`Instance`] of the whole problem and how to search. Out: jobs for all of it. A part is a connected part of the graph of units, or all the small ones
//! together, which otherwise would not fill a job each. Parts are searched as problems of their own, numbered anew, so that nothing elsewhere can sway a choice. The
//! part with the longest path comes first; the others may take as long as the longest so far, as only that counts.

use std::cmp::Reverse;

use super::effort::is_giant;
use super::jobs::{Instance, Jobs};
use super::portfolio::Candidate;
use super::schedule::Scheduler;
use super::units::{CO_LOCATED, Unit, Units, longest_paths};
use crate::plan::problem::{Adjacency, Millis, Node, Problem};
use crate::plan::simulate::lower_bound;

/// A part with fewer units than this is planned together with others like it.
const LARGE: usize = 64;

/// The jobs of all parts.
pub fn in_parts(instance: &Instance, search: fn(&Instance) -> Candidate) -> Jobs {
    let giant = is_giant(instance);
    let mut floor = lower_bound(instance.problem, instance.model);
    let parts = parts(instance);
    if parts.len() < 2 {
        return search(&Instance { floor, giant, ..*instance }).jobs;
    }
    let mut owner: Vec<Unit> = (0..instance.units.len() as Unit).collect();
    for part in parts {
        let Some(part) = Subproblem::new(instance, &part) else {
            // A part of an acyclic graph is acyclic.
            return search(&Instance { floor, giant, ..*instance }).jobs;
        };
        let choice = search(&Instance { problem: &part.problem, units: &part.units, floor, giant, ..*instance });
        floor = floor.max(choice.makespan);
        let unit_of = |unit: Unit| {
            let node = part.nodes[part.units.owned.of(unit)[0] as usize];
            instance.units.of_node[node as usize]
        };
        for (unit, &job) in choice.jobs.of_unit.iter().enumerate() {
            owner[unit_of(unit as Unit) as usize] = unit_of(choice.jobs.list[job as usize].units[0]);
        }
    }
    Jobs::from_owners(instance, &mut Scheduler::new(instance.problem), &owner)
}

/// The units of each part, ascending; the part with the longest path first, all small ones together last.
fn parts(instance: &Instance) -> Vec<Vec<Unit>> {
    let units = instance.units;
    let mut members: Vec<Vec<Unit>> = vec![Vec::new(); units.len()];
    for (unit, &component) in units.component.iter().enumerate() {
        members[component as usize].push(unit as Unit);
    }
    members.retain(|part| !part.is_empty());
    let (mut large, small): (Vec<_>, Vec<_>) = members.into_iter().partition(|part| part.len() >= LARGE);
    let (head, _) = longest_paths(instance.problem);
    let longest = |part: &Vec<Unit>| -> Millis {
        let nodes = part.iter().flat_map(|&unit| units.owned.of(unit));
        nodes.map(|&node| head[node as usize]).max().unwrap_or(0)
    };
    large.sort_by_cached_key(|part| (Reverse(longest(part)), part[0]));
    let mut small = small.concat();
    small.sort_unstable();
    large.extend((!small.is_empty()).then_some(small));
    large
}

/// A part as a problem of its own.
struct Subproblem {
    problem: Problem,
    units: Units,
    /// The node of the whole problem that each of its nodes is.
    nodes: Vec<Node>,
}

impl Subproblem {
    /// What was owned stays owned, what was co-located stays that. None where its units form a cycle.
    fn new(instance: &Instance, part: &[Unit]) -> Option<Self> {
        let whole = instance.problem;
        let mut nodes: Vec<Node> = part.iter().flat_map(|&unit| instance.units.tasks(unit)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let own = |list: &[Node]| -> Vec<Node> {
            list.iter().filter_map(|node| nodes.binary_search(node).ok()).map(|node| node as Node).collect()
        };
        let inputs = Adjacency::from_lists(nodes.iter().map(|&node| own(whole.inputs.of(node))));
        let at = |node: &Node| *node as usize;
        let problem = Problem {
            consumers: inputs.reversed(),
            inputs,
            duration: nodes.iter().map(|node| whole.duration[at(node)]).collect(),
            cheap: nodes.iter().map(|node| whole.cheap[at(node)]).collect(),
            target: nodes.iter().map(|node| whole.target[at(node)]).collect(),
            system: nodes.iter().map(|node| whole.system[at(node)]).collect(),
            floating: nodes.iter().map(|node| whole.floating[at(node)]).collect(),
            confined: nodes.iter().map(|node| whole.confined[at(node)]).collect(),
            portable: nodes.iter().map(|node| whole.portable[at(node)]).collect(),
            bytes: if whole.bytes.is_empty() {
                Vec::new()
            } else {
                nodes.iter().map(|node| whole.bytes[at(node)]).collect()
            },
            memory: if whole.memory.is_empty() {
                Vec::new()
            } else {
                nodes.iter().map(|node| whole.memory[at(node)]).collect()
            },
            spread: nodes.iter().map(|node| whole.spread.get(at(node)).copied().unwrap_or_default()).collect(),
            name_hash: nodes.iter().map(|node| whole.name_hash[at(node)]).collect(),
            rank: nodes.iter().filter_map(|node| whole.rank.get(at(node)).copied()).collect(),
        };
        // Any member's number can name a group.
        let group: Vec<u32> = nodes
            .iter()
            .map(|node| match instance.units.of_node[at(node)] {
                CO_LOCATED => CO_LOCATED,
                unit => own(&instance.units.owned.of(unit)[..1]).first().copied().unwrap_or(CO_LOCATED),
            })
            .collect();
        let units = Units::new(&problem, &group).ok()?;
        Some(Self { problem, units, nodes })
    }
}
