//! The partition: which job builds which needed derivation.
//!
//! Each target has a job. A derivation whose consumers all sit in one job goes there too. What several jobs take from it heads a job
//! of its own, which takes what only it uses. Every job is thus entered at one derivation only, its head, and a cycle between jobs
//! would be a cycle between their heads: there is none. Cheap derivations are co-located with their consumers.

use petgraph::graph::DiGraph;
use petgraph::unionfind::UnionFind;

use super::problem::{ANY_SYSTEM, JobNodes, Node, Partition, Problem, System};

/// Which jobs want a node.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    By(u32),
    BySeveral,
}

/// Cuts the problem into jobs.
pub fn partition(problem: &Problem) -> Partition {
    let count = problem.len();
    let mut wanted: Vec<Wanted> = vec![Wanted::BySeveral; count];
    let mut owner: Vec<Option<u32>> = vec![None; count];
    let mut systems: Vec<System> = Vec::new();
    // The one system of all jobs that build the node; none for several.
    let mut built_on: Vec<Option<System>> = vec![None; count];
    for node in (0..count).rev() {
        let system = problem.system[node];
        let consumers = problem.consumers.of(node as Node);
        let first = consumers.first().map(|&consumer| consumer as usize);
        let jobs =
            first.map(|first| wanted[first]).filter(|&jobs| consumers.iter().all(|&c| wanted[c as usize] == jobs));
        let on = first
            .and_then(|first| built_on[first])
            .filter(|&on| consumers.iter().all(|&consumer| built_on[consumer as usize] == Some(on)));
        if problem.cheap[node]
            && !problem.target[node]
            && !problem.floating[node]
            && (system == ANY_SYSTEM || on == Some(system))
        {
            wanted[node] = jobs.unwrap_or(Wanted::BySeveral);
            built_on[node] = on;
            continue;
        }
        let job = match jobs {
            Some(Wanted::By(job))
                if !problem.target[node] && (system == systems[job as usize] || system == ANY_SYSTEM) =>
            {
                job
            }
            _ => {
                systems.push(system);
                systems.len() as u32 - 1
            }
        };
        wanted[node] = Wanted::By(job);
        built_on[node] = Some(systems[job as usize]);
        owner[node] = Some(job);
    }

    merge_floating(problem, &mut owner, &mut systems);
    let mut jobs: Vec<JobNodes> =
        systems.into_iter().map(|system| JobNodes { system, ..JobNodes::default() }).collect();
    for (node, owner) in owner.iter().enumerate() {
        if let Some(job) = owner {
            jobs[*job as usize].owned.push(node as Node);
        }
    }
    let mut seen = vec![u32::MAX; count];
    for (number, job) in jobs.iter_mut().enumerate() {
        let mut stack = job.owned.clone();
        while let Some(node) = stack.pop() {
            for &input in problem.inputs.of(node) {
                if owner[input as usize].is_none() && seen[input as usize] != number as u32 {
                    seen[input as usize] = number as u32;
                    job.co_located.push(input);
                    stack.push(input);
                }
            }
        }
        job.co_located.sort_unstable();
    }
    jobs.retain(|job| !job.owned.is_empty());
    Partition { jobs }
}

/// Puts each derivation with unknown output paths into one job with its consumers of the same system, and then whatever lies
/// between two derivations of one job.
fn merge_floating(problem: &Problem, owner: &mut [Option<u32>], systems: &mut [System]) {
    if !problem.floating.contains(&true) {
        return;
    }
    let mut sets = UnionFind::<u32>::new(systems.len());
    for node in 0..problem.len() {
        let Some(job) = owner[node].filter(|_| problem.floating[node]) else { continue };
        let mut above = problem.consumers.of(node as Node).to_vec();
        while let Some(consumer) = above.pop() {
            match owner[consumer as usize] {
                // A co-located consumer is built wherever its own consumers are.
                None => above.extend(problem.consumers.of(consumer)),
                Some(other) if systems[other as usize] == systems[job as usize] => drop(sets.union(job, other)),
                Some(_) => {}
            }
        }
    }
    // Jobs that need each other are one job.
    loop {
        let mut graph = DiGraph::<(), ()>::new();
        let nodes: Vec<_> = systems.iter().map(|_| graph.add_node(())).collect();
        for (node, job) in owner.iter().enumerate() {
            let Some(job) = job else { continue };
            let mut below = problem.inputs.of(node as Node).to_vec();
            while let Some(input) = below.pop() {
                match owner[input as usize] {
                    None => below.extend(problem.inputs.of(input)),
                    Some(other) => {
                        let (from, to) = (sets.find(*job), sets.find(other));
                        if from != to {
                            graph.update_edge(nodes[from as usize], nodes[to as usize], ());
                        }
                    }
                }
            }
        }
        let mut changed = false;
        for component in petgraph::algo::tarjan_scc(&graph) {
            for pair in component.windows(2) {
                changed |= sets.union(pair[0].index() as u32, pair[1].index() as u32);
            }
        }
        if !changed {
            break;
        }
    }
    for job in owner.iter_mut().flatten() {
        let set = sets.find(*job);
        if systems[set as usize] == ANY_SYSTEM {
            systems[set as usize] = systems[*job as usize];
        }
        *job = set;
    }
}
