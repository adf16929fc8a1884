//! The graph between jobs: who waits for whom, in which order jobs stand, and what they inherit.
//!
//! In: the problem and a partition of it. Out: for each job its inputs, transitively reduced and as a closure, in topological order.

use std::cmp::Reverse;

use anyhow::{Result, bail, ensure};

use super::problem::{Adjacency, Node, Partition, Problem};
use crate::topological;

/// Jobs in topological order, by new numbers.
#[derive(Clone, Debug)]
pub struct JobGraph {
    /// The partition's number of each job.
    pub order: Vec<u32>,
    /// Jobs that must have ended, transitively reduced; by new numbers, ascending.
    pub requires: Vec<Vec<u32>>,
    /// The closure of `requires`; by new numbers, ascending.
    pub inputs: Vec<Vec<u32>>,
}

/// The direct needs of each job: the owners of what it builds from and does not build itself.
///
/// An error where the partition breaks its promises (a node that nobody owns or that several do).
pub fn direct_inputs(problem: &Problem, partition: &Partition) -> Result<Adjacency> {
    let mut owner = vec![u32::MAX; problem.len()];
    for (job, nodes) in partition.jobs.iter().enumerate() {
        for &node in &nodes.owned {
            ensure!(owner[node as usize] == u32::MAX, "node {node} has two owners");
            owner[node as usize] = job as u32;
        }
    }
    let mut built_by = vec![u32::MAX; problem.len()];
    let mut seen = vec![u32::MAX; partition.jobs.len()];
    let mut lists = Vec::with_capacity(partition.jobs.len());
    for (job, nodes) in partition.jobs.iter().enumerate() {
        let built = || nodes.owned.iter().chain(&nodes.co_located);
        for &node in built() {
            built_by[node as usize] = job as u32;
        }
        let mut list = Vec::new();
        for &node in built() {
            for &input in problem.inputs.of(node) {
                if built_by[input as usize] == job as u32 {
                    continue;
                }
                let from = owner[input as usize];
                ensure!(from != u32::MAX, "job {job} needs node {input}, which nobody owns");
                if std::mem::replace(&mut seen[from as usize], job as u32) != job as u32 {
                    list.push(from as Node);
                }
            }
        }
        lists.push(list);
    }
    Ok(Adjacency::from_lists(lists))
}

impl JobGraph {
    /// Orders the jobs, inputs first and then by `rank`, a permutation, and reduces their edges.
    pub fn new(direct: &Adjacency, rank: &[u32]) -> Result<Self> {
        let count = direct.len();
        let consumers = direct.reversed();
        let order = topological::by_rank(
            direct.in_degrees(),
            |job| consumers.of(job).iter().copied(),
            |job| rank[job as usize],
        );
        let Ok(order) = order else {
            bail!(
                "the jobs need each other in a circle: this is an error in nixdag, please report it with the plan's inputs"
            );
        };
        let mut position = vec![0u32; count];
        for (at, &job) in order.iter().enumerate() {
            position[job as usize] = at as u32;
        }

        let mut requires: Vec<Vec<u32>> = Vec::with_capacity(count);
        let mut inputs: Vec<Vec<u32>> = Vec::with_capacity(count);
        let mut reached = vec![u32::MAX; count];
        for (at, &job) in order.iter().enumerate() {
            let mut candidates: Vec<u32> = direct.of(job).iter().map(|&input| position[input as usize]).collect();
            candidates.sort_unstable_by_key(|&input| Reverse(input));
            let (mut kept, mut closure) = (Vec::new(), Vec::new());
            // From the last one back: whatever is reached already follows from a later job.
            for input in candidates {
                if reached[input as usize] == at as u32 {
                    continue;
                }
                kept.push(input);
                for &below in inputs[input as usize].iter().chain([&input]) {
                    if std::mem::replace(&mut reached[below as usize], at as u32) != at as u32 {
                        closure.push(below);
                    }
                }
            }
            kept.reverse();
            closure.sort_unstable();
            requires.push(kept);
            inputs.push(closure);
        }
        Ok(Self { order, requires, inputs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_reduced_and_jobs_ordered_by_rank() {
        // 3 -> 2 -> 1 and 3 -> 1; 0 is alone and ranks last.
        let direct = Adjacency::from_lists([vec![], vec![], vec![1], vec![1, 2]]);
        let graph = JobGraph::new(&direct, &[3, 2, 1, 0]).unwrap();
        assert_eq!(graph.order, [1, 2, 3, 0]);
        assert_eq!(graph.requires, [vec![], vec![0], vec![1], vec![]]);
        assert_eq!(graph.inputs, [vec![], vec![0], vec![0, 1], vec![]]);
    }

    #[test]
    fn a_circle_is_an_error() {
        let direct = Adjacency::from_lists([vec![1], vec![0]]);
        assert!(JobGraph::new(&direct, &[0, 1]).is_err());
    }
}
