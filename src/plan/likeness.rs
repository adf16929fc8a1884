//! What a derivation is like: a number that follows from its package and from those around it, and neither from paths nor from versions. It tells derivations of one name apart,
//! from pipeline to pipeline.
//!
//! In: the needed derivations. Out: a number for each, and those that the next plan needs, where names leave a choice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::needed::{NeededGraph, hash};
use super::partition::zero::mix;
use super::problem::{Adjacency, Node, Problem};
use crate::graph::Graph;
use crate::history::records::package_of;

/// So many steps away is around: with three, 12 of 2,153 derivations of a real plan that are not fetches have a twin, with two 28. What has changed farther away makes no difference.
const STEPS: usize = 3;

/// What more consumers have is the same whatever is around it: else each change would be near everything.
const MOST_CONSUMERS: usize = 64;

/// What each needed derivation is like. Fetches say nothing about others: which of several with one output is built follows from paths.
pub fn likeness(graph: &Graph, small: &NeededGraph) -> Vec<u32> {
    let package = |id| hash(package_of(graph.node(id).name()));
    let of_itself: Vec<u64> = small.drvs.iter().map(|&id| package(id)).collect();
    let is_fetch: Vec<bool> = small.drvs.iter().map(|&id| graph.node(id).fixed_output).collect();
    around(&small.problem, of_itself, &is_fetch).into_iter().map(|value| (value >> 32) as u32).collect()
}

fn around(problem: &Problem, mut of_each: Vec<u64>, is_fetch: &[bool]) -> Vec<u64> {
    for _ in 0..STEPS {
        // Sums, as neighbours have no order that lasts.
        let sum = |edges: &Adjacency, node: Node, side: u64| {
            let others = edges.of(node).iter().filter(|&&other| !is_fetch[other as usize]);
            others.map(|&other| mix(of_each[other as usize] ^ side)).fold(0, u64::wrapping_add)
        };
        let next = |node: Node| {
            let own = of_each[node as usize];
            if problem.consumers.of(node).len() > MOST_CONSUMERS {
                return own;
            }
            let below = if is_fetch[node as usize] { 0 } else { sum(&problem.inputs, node, 1) };
            mix(own.wrapping_add(below).wrapping_add(sum(&problem.consumers, node, 2)))
        };
        of_each = (0..problem.len() as Node).map(next).collect();
    }
    of_each
}

/// The same by path, of those whose package and system others have too.
pub fn where_names_leave_a_choice(graph: &Graph, small: &NeededGraph, likeness: &[u32]) -> BTreeMap<Arc<str>, u32> {
    let key = |at: usize| {
        let drv = graph.node(small.drvs[at]);
        (package_of(drv.name()), &*drv.system)
    };
    let mut count: HashMap<(&str, &str), u32> = HashMap::new();
    (0..small.drvs.len()).for_each(|at| *count.entry(key(at)).or_default() += 1);
    let several = (0..small.drvs.len()).filter(|&at| count.get(&key(at)).is_some_and(|count| *count > 1));
    several.map(|at| (graph.path(small.drvs[at]).into(), likeness[at])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(lists: Vec<Vec<Node>>) -> Problem {
        let inputs = Adjacency::from_lists(lists);
        let duration = vec![1; inputs.len()];
        Problem { consumers: inputs.reversed(), inputs, duration, ..Problem::default() }
    }

    #[test]
    fn twins_are_told_apart_by_what_is_around_them_and_not_by_their_numbers() {
        // A chain 0 ← 1 ← 2 and a node 3 by itself; the same numbered the other way where that is possible.
        let one = around(&problem(vec![vec![], vec![0], vec![1], vec![]]), vec![5, 5, 5, 5], &[false; 4]);
        let other = around(&problem(vec![vec![], vec![], vec![1], vec![2]]), vec![5, 5, 5, 5], &[false; 4]);
        assert_eq!([one[0], one[1], one[2], one[3]], [other[1], other[2], other[3], other[0]]);
        let mut all = one.clone();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4, "an input is not a consumer");
    }

    #[test]
    fn what_is_far_away_makes_no_difference() {
        let chain = |last: u64| {
            let lists = (0..6).map(|node: Node| node.checked_sub(1).into_iter().collect()).collect();
            around(&problem(lists), vec![1, 2, 3, 4, 5, last], &[false; 6])
        };
        let (one, other) = (chain(6), chain(7));
        assert_eq!([0, 1, 2, 3, 4, 5].map(|at| one[at] == other[at]), [true, true, false, false, false, false]);
    }

    #[test]
    fn neither_fetches_nor_what_everything_needs_bring_changes_near() {
        // 1 and 2 need 0; 2 is a fetch, and which one it is may change.
        let with = |fetch: u64, is_fetch: bool| {
            let problem = problem(vec![vec![], vec![0], vec![0]]);
            around(&problem, vec![1, 2, fetch], &[false, false, is_fetch])
        };
        assert_eq!(with(3, true)[..2], with(4, true)[..2]);
        assert_ne!(with(3, false)[..2], with(4, false)[..2]);
        // A hub with 100 consumers, and with one more.
        let hub = |consumers: usize| {
            let lists = (0..=consumers).map(|node| if node == 0 { vec![] } else { vec![0] }).collect();
            around(&problem(lists), vec![7; consumers + 1], &vec![false; consumers + 1])
        };
        assert_eq!(hub(100)[..2], hub(101)[..2]);
    }
}
