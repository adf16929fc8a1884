//! Decides, before any search, what is co-located and what no job may cut.
//!
//! In: a [`Problem`] and the [`Model`]. Out: [`Units`], and notes on what could not be had. In this order:
//! 1. A floating derivation is grouped with its consumers of the same system, and with whatever lies between them.
//! 2. A cheap derivation is co-located, unless it is a target, floating, slow, wanted on another system or in a job with contexts, or would
//!    multiply edges or copies without bound; then it is owned like any other.
//! 3. Under a hub (a derivation with minutes of cheap inputs, as a TeX distribution has) the cheap inputs are owned, so that several
//!    jobs can fetch them, and packed into bins: fetches of one level, wanted at about the same time by the same hubs.

use super::units::{CO_LOCATED, Cycle, Units, longest_paths};
use crate::plan::model::Model;
use crate::plan::problem::{Millis, Node, Problem};

/// Most co-located derivations that one derivation may bring along.
const MOST_COPIES: usize = 256;

/// Units of a problem; notes say which constraint of the problem could not be met.
pub fn contract(problem: &Problem, model: &Model) -> (Units, Vec<String>) {
    contract_with(problem, |floating| choose_groups(problem, model, floating), model)
}

/// Units of a problem in which nothing is co-located: one a derivation, but for floating ones.
pub fn separate(problem: &Problem, model: &Model) -> Units {
    contract_with(problem, |floating| (floating.to_vec(), Vec::new()), model).0
}

/// The group of each node, and each input that a hub has owned, with its hub.
type Grouping = (Vec<u32>, Vec<(Node, Node)>);

fn contract_with(problem: &Problem, choose: impl Fn(&[u32]) -> Grouping, model: &Model) -> (Units, Vec<String>) {
    let mut notes = Vec::new();
    let mut relaxed = vec![false; problem.len()];
    loop {
        let floating = group_floating(problem, &relaxed);
        let (mut group, hub_inputs) = choose(&floating);
        let cycle = match Units::new(problem, &group) {
            Ok(units) if hub_inputs.is_empty() => return (units, notes),
            Ok(units) => {
                bin(problem, model, &units, &hub_inputs, &mut group);
                match Units::new(problem, &group) {
                    Ok(units) => return (units, notes),
                    Err(cycle) => cycle,
                }
            }
            Err(cycle) => cycle,
        };
        // Only groups of floating derivations across systems can cross each other: those on the cycle are let go.
        let Cycle(nodes) = cycle;
        for &node in &nodes {
            if problem.floating[node as usize] && !relaxed[node as usize] {
                relaxed[node as usize] = true;
            }
        }
        notes.push(format!(
            "{} derivations without known output paths cannot all share a job with their consumers: other systems lie between them",
            nodes.iter().filter(|&&node| problem.floating[node as usize]).count()
        ));
    }
}

/// The group of each node: itself, or the smallest node of what a floating derivation holds together.
fn group_floating(problem: &Problem, relaxed: &[bool]) -> Vec<u32> {
    let nodes = problem.len();
    let mut groups = Groups { parent: (0..nodes as u32).collect() };
    let mut any = false;
    for (node, &let_go) in relaxed.iter().enumerate() {
        if problem.floating[node] && !let_go {
            for &consumer in problem.consumers.of(node as Node) {
                if problem.system[consumer as usize] == problem.system[node] {
                    groups.join(node as u32, consumer);
                    any = true;
                }
            }
        }
    }
    while any {
        let before: Vec<u32> = (0..nodes as u32).map(|node| groups.find(node)).collect();
        any = join_cycles(problem, &mut groups, &before);
    }
    (0..nodes as u32).map(|node| groups.find(node)).collect()
}

/// Joins the groups of one system that lie on a common cycle; true where something was joined.
fn join_cycles(problem: &Problem, groups: &mut Groups, of: &[u32]) -> bool {
    let mut quotient = petgraph::graph::DiGraph::<(), (), u32>::with_capacity(of.len(), problem.inputs.edges());
    for _ in 0..of.len() {
        quotient.add_node(());
    }
    for node in 0..of.len() {
        for &input in problem.inputs.of(node as Node) {
            if of[input as usize] != of[node] {
                quotient.add_edge(of[input as usize].into(), of[node].into(), ());
            }
        }
    }
    let mut joined = false;
    for component in petgraph::algo::tarjan_scc(&quotient) {
        let systems = component.iter().map(|index| problem.system[index.index()]);
        let one_system = systems.clone().min() == systems.max();
        if component.len() > 1 && one_system {
            for index in &component[1..] {
                groups.join(component[0].index() as u32, index.index() as u32);
            }
            joined = true;
        }
    }
    joined
}

/// Disjoint sets whose representative is the smallest member.
struct Groups {
    parent: Vec<u32>,
}

impl Groups {
    fn find(&mut self, node: u32) -> u32 {
        let mut root = node;
        while self.parent[root as usize] != root {
            root = self.parent[root as usize];
        }
        let mut walk = node;
        while self.parent[walk as usize] != root {
            walk = std::mem::replace(&mut self.parent[walk as usize], root);
        }
        root
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a.max(b) as usize] = a.min(b);
    }
}

/// Cheap time in milliseconds up to which inputs ride along: two thirds of the work that the slots do in two start-ups,
/// 240 s with 45 s and 4 slots, at least a minute.
fn most_cheap_time(model: &Model) -> Millis {
    (model.start_up * model.most_slots() as Millis * 4 / 3).max(60_000)
}

/// The group of each node, [`CO_LOCATED`] for those that ride along; and, with its hub, each input that a hub has owned.
fn choose_groups(problem: &Problem, model: &Model, floating: &[u32]) -> Grouping {
    let nodes = problem.len();
    let mut members = vec![0u32; nodes];
    for &own in floating {
        members[own as usize] += 1;
    }
    let group: Vec<u32> = (0..nodes)
        .map(|node| {
            let alone = members[floating[node] as usize] == 1;
            let system = problem.system[node];
            let consumers = problem.consumers.of(node as Node);
            let elsewhere = system != crate::plan::problem::ANY_SYSTEM
                && !problem.portable[node]
                && consumers.iter().any(|&consumer| problem.system[consumer as usize] != system);
            let confined = consumers.iter().any(|&consumer| problem.confined[consumer as usize]);
            let slow = problem.duration[node] > model.start_up.max(10_000);
            let rides = problem.cheap[node]
                && !problem.target[node]
                && !problem.floating[node]
                && alone
                && !elsewhere
                && !confined
                && !slow
                && !consumers.is_empty();
            if rides { CO_LOCATED } else { floating[node] }
        })
        .collect();
    let (head, tail) = longest_paths(problem);
    let longest = head.iter().copied().max().unwrap_or(0);
    let limit = most_cheap_time(model);
    let mut reached = vec![0usize; nodes];
    let mut choice = CoLocation { problem, group, below: vec![Vec::new(); nodes], hub_inputs: Vec::new() };
    for node in 0..nodes {
        let mut brought = choice.copies(node as Node);
        let slack = longest + problem.duration[node] - head[node] - tail[node];
        let total = choice.time(&brought);
        if brought.len() > MOST_COPIES || (total > limit && (slack > limit * 5 / 4 || total > 4 * limit)) {
            choice.own_inputs_of_hub(node as Node, limit / 4);
            brought = choice.copies(node as Node);
        }
        let (inputs, consumers) = (problem.inputs.of(node as Node), problem.consumers.of(node as Node).len());
        reached[node] = inputs.iter().map(|&input| if choice.rides(input) { reached[input as usize] } else { 1 }).sum();
        if choice.rides(node as Node) {
            let multiplies =
                reached[node] * consumers > 8 * (inputs.len() + consumers) + 64 || brought.len() * consumers > 4096;
            if multiplies && consumers > 1 {
                choice.group[node] = floating[node];
            } else {
                choice.below[node] = brought;
            }
        }
    }
    (choice.group, choice.hub_inputs)
}

/// What rides along so far, decided from inputs to consumers.
struct CoLocation<'a> {
    problem: &'a Problem,
    /// The group of each node, [`CO_LOCATED`] for those that ride along.
    group: Vec<u32>,
    /// The co-located nodes that each co-located node brings along.
    below: Vec<Vec<Node>>,
    /// Each input that a hub has owned, with its hub.
    hub_inputs: Vec<(Node, Node)>,
}

impl CoLocation<'_> {
    fn rides(&self, node: Node) -> bool {
        self.group[node as usize] == CO_LOCATED
    }

    /// What the nodes take one after the other, milliseconds.
    fn time(&self, nodes: &[Node]) -> Millis {
        nodes.iter().map(|&node| self.problem.duration[node as usize]).sum()
    }

    /// The co-located nodes that a node brings along, ascending.
    fn copies(&self, node: Node) -> Vec<Node> {
        let mut list = Vec::new();
        for &input in self.problem.inputs.of(node) {
            if self.rides(input) {
                list.extend_from_slice(&self.below[input as usize]);
                list.push(input);
            }
        }
        // One input alone, as in a chain, leaves nothing to be sorted.
        list.sort_unstable();
        list.dedup();
        list
    }

    /// Makes the cheap inputs of a hub owned, but for those with most consumers, as far as these fit into `keep` milliseconds.
    fn own_inputs_of_hub(&mut self, hub: Node, keep: Millis) {
        let inputs = self.problem.inputs.of(hub).iter().copied();
        let mut inputs: Vec<Node> = inputs.filter(|&input| self.rides(input)).collect();
        inputs.sort_by_key(|&input| (std::cmp::Reverse(self.problem.consumers.of(input).len()), input));
        let (mut kept_time, mut kept_count) = (0, 0);
        for input in inputs {
            let copies = &self.below[input as usize];
            let time = self.problem.duration[input as usize] + self.time(copies);
            let shared = self.problem.consumers.of(input).len() > 4;
            if shared && kept_time + time <= keep && kept_count + copies.len() < MOST_COPIES / 4 {
                kept_time += time;
                kept_count += copies.len() + 1;
            } else {
                self.group[input as usize] = input;
                self.hub_inputs.push((input, hub));
            }
        }
    }
}

/// Packs the inputs of hubs into bins of one level and system, each with as much work as the slots do in a quarter of an hour's third.
///
/// Units of one level have no path between them, and every edge leads to a higher level: bins cannot close a cycle.
fn bin(problem: &Problem, model: &Model, units: &Units, hub_inputs: &[(Node, Node)], group: &mut [u32]) {
    let levels = units.levels();
    let limit = most_cheap_time(model);
    let (_, tail) = longest_paths(problem);
    let longest = tail.iter().copied().max().unwrap_or(0);
    let mut rows: Vec<_> = hub_inputs
        .iter()
        .map(|&(node, hub)| {
            let level = levels[units.of_node[node as usize] as usize];
            let wanted = (longest - tail[node as usize]) / limit;
            (problem.system[node as usize], level, wanted, hub, node)
        })
        .collect();
    rows.sort_unstable();
    let mut seen = vec![false; problem.len()];
    rows.retain(|row| !std::mem::replace(&mut seen[row.4 as usize], true));
    let (mut open, mut work) = (None, 0);
    for (system, level, wanted, hub, node) in rows {
        let room = limit * model.slots_of(system) as Millis;
        let duration = problem.duration[node as usize];
        let fits = |&(first, as_system, as_level, as_wanted, as_hub): &(Node, _, _, _, _)| {
            let alike = as_system == system && as_level == level;
            let same_purpose = (as_wanted, as_hub) == (wanted, hub) || work < room / 4;
            (alike && same_purpose && work + duration <= room).then_some(first)
        };
        match open.as_ref().and_then(fits) {
            Some(first) => {
                group[node as usize] = first;
                work += duration;
            }
            None => {
                open = Some((node, system, level, wanted, hub));
                work = duration;
            }
        }
    }
}
