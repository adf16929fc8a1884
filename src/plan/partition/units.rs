//! The problem as the search sees it: units instead of nodes.
//!
//! In: a [`Problem`] and, for each node, the group that owns it or "co-located". Out: [`Units`], a smaller acyclic graph.
//! A unit is what no job may cut: one owned node, a floating derivation with its consumers, or a bin of fetches. It carries
//! the co-located nodes that every job with it has to build, so that the search never thinks about co-location again.

use std::collections::HashSet;

use crate::plan::problem::{ANY_SYSTEM, Adjacency, Millis, Node, Problem, System};
use crate::topological::{self, InDegrees};

/// A unit: an index into the columns of [`Units`].
pub type Unit = u32;

/// The group of a node that no group owns.
pub const CO_LOCATED: u32 = u32::MAX;

/// The graph of units, numbered so that every input of a unit has a smaller number.
#[derive(Clone, Debug, Default)]
pub struct Units {
    /// The nodes that a unit owns, ascending.
    pub owned: Adjacency,
    /// The co-located nodes that a job with this unit builds too, ascending.
    pub co_located: Adjacency,
    /// Inputs of each unit, less those that another input has too.
    pub inputs: Adjacency,
    /// The same edges the other way round.
    pub consumers: Adjacency,
    /// The system of each unit.
    pub system: Vec<System>,
    /// How many targets a unit owns.
    pub targets: Vec<u32>,
    /// The smallest unit of the connected part of the graph that each unit is in.
    pub component: Vec<Unit>,
    /// The unit of each owned node, [`CO_LOCATED`] for others.
    pub of_node: Vec<Unit>,
}

/// The groups do not form an acyclic graph; these nodes lie on its cycles.
pub struct Cycle(pub Vec<Node>);

impl Units {
    /// Number of units.
    pub fn len(&self) -> usize {
        self.system.len()
    }

    /// True where there is no unit.
    pub fn is_empty(&self) -> bool {
        self.system.is_empty()
    }

    /// Collects the units from the group of each node (any numbers below the number of nodes, or [`CO_LOCATED`]).
    pub fn new(problem: &Problem, group: &[u32]) -> Result<Self, Cycle> {
        let nodes = problem.len();
        let mut members: Vec<Vec<Node>> = vec![Vec::new(); nodes];
        for node in 0..nodes {
            if group[node] != CO_LOCATED {
                members[group[node] as usize].push(node as Node);
            }
        }
        let (closure, reached) = co_located_closures(problem, group);
        let mut inputs: Vec<Vec<u32>> = vec![Vec::new(); nodes];
        for (own, list) in members.iter().enumerate() {
            let mut found = Vec::new();
            for &node in list {
                for &input in problem.inputs.of(node) {
                    match group[input as usize] {
                        CO_LOCATED => found.extend(reached[input as usize].iter().map(|&other| group[other as usize])),
                        other => found.push(other),
                    }
                }
            }
            found.sort_unstable();
            found.dedup();
            found.retain(|&other| other as usize != own);
            inputs[own] = found;
        }
        let order = topological_order(&members, &inputs)?;
        let mut unit_of_group = vec![CO_LOCATED; nodes];
        for (unit, &own) in order.iter().enumerate() {
            unit_of_group[own as usize] = unit as Unit;
        }
        let full = Adjacency::from_lists(
            order.iter().map(|&own| inputs[own as usize].iter().map(|&other| unit_of_group[other as usize]).collect()),
        );
        let inputs = without_shortcuts(&full);
        let consumers = inputs.reversed();
        let co_located = Adjacency::from_lists(order.iter().map(|&own| {
            let mut list = Vec::new();
            for &node in &members[own as usize] {
                for &input in problem.inputs.of(node) {
                    if group[input as usize] == CO_LOCATED {
                        list.push(input);
                        list.extend_from_slice(&closure[input as usize]);
                    }
                }
            }
            list
        }));
        let system = order
            .iter()
            .map(|&own| {
                let systems = members[own as usize].iter().map(|&node| problem.system[node as usize]);
                systems.min().unwrap_or(ANY_SYSTEM)
            })
            .collect();
        let targets = order
            .iter()
            .map(|&own| members[own as usize].iter().filter(|&&node| problem.target[node as usize]).count() as u32)
            .collect();
        let of_node =
            group.iter().map(|&own| if own == CO_LOCATED { CO_LOCATED } else { unit_of_group[own as usize] }).collect();
        let component = components(&inputs);
        let owned = Adjacency::from_lists(order.iter().map(|&own| std::mem::take(&mut members[own as usize])));
        Ok(Self { owned, co_located, inputs, consumers, system, targets, component, of_node })
    }

    /// The nodes that a job with this unit builds on account of it, in any order.
    pub fn tasks(&self, unit: Unit) -> impl Iterator<Item = Node> + '_ {
        self.owned.of(unit).iter().chain(self.co_located.of(unit)).copied()
    }

    /// The nodes that a job with these units builds, ascending.
    pub fn tasks_of(&self, units: &[Unit]) -> Vec<Node> {
        let mut tasks: Vec<Node> = units.iter().flat_map(|&unit| self.tasks(unit)).collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }

    /// These units and what they need of `list`, itself or by way of others in it; all ascending.
    pub fn needed_in(&self, list: &[Unit], these: Vec<Unit>) -> Vec<Unit> {
        reached(&self.inputs, list, these)
    }

    /// These units and what needs them in `list`, itself or by way of others in it; all ascending.
    pub fn needing_in(&self, list: &[Unit], these: Vec<Unit>) -> Vec<Unit> {
        reached(&self.consumers, list, these)
    }

    /// The number of units on the longest path that ends before each unit.
    pub fn levels(&self) -> Vec<u32> {
        let mut levels = vec![0u32; self.len()];
        for unit in 0..self.len() as Unit {
            let deepest = self.inputs.of(unit).iter().map(|&input| levels[input as usize] + 1).max();
            levels[unit as usize] = deepest.unwrap_or(0);
        }
        levels
    }
}

/// For each co-located node, the co-located nodes below it and the owned nodes that these and itself have as inputs.
fn co_located_closures(problem: &Problem, group: &[u32]) -> (Vec<Vec<Node>>, Vec<Vec<Node>>) {
    let mut closure: Vec<Vec<Node>> = vec![Vec::new(); problem.len()];
    let mut reached: Vec<Vec<Node>> = vec![Vec::new(); problem.len()];
    for node in 0..problem.len() {
        if group[node] != CO_LOCATED {
            continue;
        }
        let (mut below, mut owned) = (Vec::new(), Vec::new());
        for &input in problem.inputs.of(node as Node) {
            if group[input as usize] == CO_LOCATED {
                below.extend_from_slice(&closure[input as usize]);
                below.push(input);
                owned.extend_from_slice(&reached[input as usize]);
            } else {
                owned.push(input);
            }
        }
        for list in [&mut below, &mut owned] {
            list.sort_unstable();
            list.dedup();
        }
        closure[node] = below;
        reached[node] = owned;
    }
    (closure, reached)
}

/// Kahn's order over the groups that have members; among the ready ones the group with the smallest node comes first.
fn topological_order(members: &[Vec<Node>], inputs: &[Vec<u32>]) -> Result<Vec<u32>, Cycle> {
    let consumers = Adjacency::from_lists(inputs.iter().cloned()).reversed();
    let order = topological::by_rank(
        InDegrees::new(inputs.iter().map(Vec::len)),
        |own| consumers.of(own).iter().copied(),
        |own| members[own as usize].first().copied(),
    );
    match order {
        Ok(mut order) => {
            order.retain(|&own| !members[own as usize].is_empty());
            Ok(order)
        }
        Err(left) => Err(Cycle(left.waiting().flat_map(|own| members[own as usize].iter().copied()).collect())),
    }
}

/// These units and all that edges lead to from them within `list`; all ascending.
fn reached(edges: &Adjacency, list: &[Unit], these: Vec<Unit>) -> Vec<Unit> {
    let mut seen: HashSet<Unit> = these.iter().copied().collect();
    let (mut part, mut at) = (these, 0);
    while at < part.len() {
        let next = edges.of(part[at]).iter().copied();
        part.extend(next.filter(|unit| list.binary_search(unit).is_ok() && seen.insert(*unit)).collect::<Vec<_>>());
        at += 1;
    }
    part.sort_unstable();
    part
}

/// Drops an input where another input has it too: the longer way implies the edge. Inputs of inputs beyond the 256th are not
/// looked at, which bounds the work by 256 steps an edge; what stays is redundant, not wrong.
pub fn without_shortcuts(inputs: &Adjacency) -> Adjacency {
    let mut implied_for = vec![u32::MAX; inputs.len()];
    Adjacency::from_lists((0..inputs.len() as Node).map(|node| {
        if inputs.of(node).len() < 2 {
            return inputs.of(node).to_vec();
        }
        for &input in inputs.of(node) {
            for &indirect in inputs.of(input).iter().take(256) {
                implied_for[indirect as usize] = node;
            }
        }
        inputs.of(node).iter().copied().filter(|&input| implied_for[input as usize] != node).collect()
    }))
}

/// The smallest member of the connected part of each unit.
fn components(inputs: &Adjacency) -> Vec<Unit> {
    let mut component: Vec<Unit> = (0..inputs.len() as Unit).collect();
    let find = |component: &mut Vec<Unit>, unit: Unit| {
        let mut unit = unit;
        while component[unit as usize] != unit {
            component[unit as usize] = component[component[unit as usize] as usize];
            unit = component[unit as usize];
        }
        unit
    };
    for unit in 0..inputs.len() as Unit {
        for &input in inputs.of(unit) {
            let (a, b) = (find(&mut component, unit), find(&mut component, input));
            component[a.max(b) as usize] = a.min(b);
        }
    }
    (0..inputs.len() as Unit).map(|unit| find(&mut component, unit)).collect()
}

/// The longest path in milliseconds that ends with each node, and the one that starts with it, both with the node itself.
pub fn longest_paths(problem: &Problem) -> (Vec<Millis>, Vec<Millis>) {
    let nodes = problem.len() as Node;
    let mut head = vec![0; problem.len()];
    let mut tail = vec![0; problem.len()];
    for node in 0..nodes {
        let before = problem.inputs.of(node).iter().map(|&input| head[input as usize]).max().unwrap_or(0);
        head[node as usize] = before + problem.duration[node as usize];
    }
    for node in (0..nodes).rev() {
        let after = problem.consumers.of(node).iter().map(|&consumer| tail[consumer as usize]).max().unwrap_or(0);
        tail[node as usize] = after + problem.duration[node as usize];
    }
    (head, tail)
}
