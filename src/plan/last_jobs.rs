//! Which job of the last plan each needed derivation was in, though its path may be another one since: everything behind a change is.
//!
//! In: the needed derivations and the last plan. Out: the number of a job for each, or none.

use std::collections::HashMap;

use super::KeptJobs;
use super::needed::NeededGraph;
use super::problem::{Node, Partition, Problem};
use crate::graph::Graph;
use crate::history::last_plan::LastPlan;
use crate::history::records::package_of;
use crate::nix::store_path;

/// What a derivation of the last plan is recognised by: a name, its system, and what it is like, where that counts.
type Key<'a> = (&'a str, &'a str, Option<u32>);

/// What of a derivation's features count.
#[derive(Clone, Copy)]
enum By {
    Likeness,
    Name,
    Package,
}

/// Ways to recognise derivations, the surest first, and whether only what is there once counts: that shows where those belong that are there several times.
const WAYS: [(By, bool); 5] =
    [(By::Likeness, true), (By::Name, true), (By::Likeness, false), (By::Name, false), (By::Package, false)];

impl By {
    fn key<'a>(self, name: &'a str, system: &'a str, likeness: Option<u32>) -> Key<'a> {
        match self {
            By::Likeness => (package_of(name), system, likeness),
            By::Name => (name, system, None),
            By::Package => (package_of(name), system, None),
        }
    }
}

/// So many inputs and consumers show where a derivation belongs: a hub has thousands.
const MOST_NEIGHBOURS: usize = 64;

/// The job of the last plan that owned each derivation, or one that is like it, or one of the same name, or else of the same package: each of
/// the last plan's once. Of several of one kind it is the one whose job has most of what is around it.
pub fn last_jobs(graph: &Graph, small: &NeededGraph, likeness: &[u32], last: &LastPlan) -> Vec<Option<u32>> {
    let owned: Vec<(u32, &str, &str)> = (0..)
        .zip(&last.jobs)
        .flat_map(|(number, job)| job.derivations.iter().map(move |base| (number, &*job.system, base.as_str())))
        .collect();
    let by_base: HashMap<&str, usize> = owned.iter().enumerate().map(|(at, (_, _, base))| (*base, at)).collect();
    let mut is_open = vec![true; owned.len()];
    let mut found: Vec<Option<u32>> = vec![None; small.drvs.len()];
    for (node, &id) in small.drvs.iter().enumerate() {
        let path = graph.path(id);
        let base = store_path::split(&path).map_or("", |(_, base)| base);
        if let Some(&at) = by_base.get(base)
            && std::mem::take(&mut is_open[at])
        {
            found[node] = Some(owned[at].0);
        }
    }
    for (by, is_once) in WAYS {
        let mut open: HashMap<Key, Vec<usize>> = HashMap::new();
        for (at, (_, system, base)) in owned.iter().enumerate().filter(|(at, _)| is_open[*at]) {
            let likeness = last.likeness.get(*base).copied();
            if likeness.is_some() || !matches!(by, By::Likeness) {
                open.entry(by.key(store_path::name_of(base), system, likeness)).or_default().push(at);
            }
        }
        let key = |node: Node| {
            let drv = graph.node(small.drvs[node as usize]);
            by.key(drv.name(), &drv.system, Some(likeness[node as usize]))
        };
        let mut wanted: HashMap<Key, u32> = HashMap::new();
        let nodes: Vec<Node> = (0..small.drvs.len() as Node).filter(|&node| found[node as usize].is_none()).collect();
        nodes.iter().for_each(|&node| *wanted.entry(key(node)).or_default() += 1);
        let is_alone = |node: Node, open: &HashMap<Key, Vec<usize>>| {
            wanted.get(&key(node)) == Some(&1) && open.get(&key(node)).is_some_and(|at| at.len() == 1)
        };
        // These from the targets down.
        let (alone, several): (Vec<Node>, Vec<Node>) = nodes.into_iter().partition(|&node| is_alone(node, &open));
        for node in alone.into_iter().chain(several.into_iter().rev().filter(|_| !is_once)) {
            let Some(candidates) = open.get_mut(&key(node)).filter(|candidates| !candidates.is_empty()) else {
                continue;
            };
            let near = neighbours(&small.problem, node, &found);
            let worth = |at: &usize| near.get(&owned[*at].0).copied().unwrap_or(0);
            // Of equals the last one, as the nodes come from last to first.
            let best = (0..candidates.len()).max_by_key(|&index| (worth(&candidates[index]), index)).unwrap_or(0);
            let at = candidates.remove(best);
            is_open[at] = false;
            found[node as usize] = Some(owned[at].0);
        }
    }
    found
}

/// How many inputs and consumers of a node were in each job of the last plan.
fn neighbours(problem: &Problem, node: Node, found: &[Option<u32>]) -> HashMap<u32, u32> {
    let mut near = HashMap::new();
    for &other in problem.inputs.of(node).iter().chain(problem.consumers.of(node)).take(MOST_NEIGHBOURS) {
        if let Some(job) = found[other as usize] {
            *near.entry(job).or_default() += 1;
        }
    }
    near
}

/// How many jobs own what a job of the last plan owned, and nothing else.
pub fn as_before(partition: &Partition, earlier: &[Option<u32>], last: &LastPlan) -> KeptJobs {
    let mut owned: HashMap<u32, usize> = HashMap::new();
    for job in earlier.iter().flatten() {
        *owned.entry(*job).or_default() += 1;
    }
    let jobs = partition.jobs.iter().filter(|job| {
        let first = job.owned.first().and_then(|&node| earlier[node as usize]);
        first.is_some_and(|first| {
            let is_whole = owned.get(&first) == Some(&job.owned.len())
                && last.jobs.get(first as usize).is_some_and(|last| last.derivations.len() == job.owned.len());
            is_whole && job.owned.iter().all(|&node| earlier[node as usize] == Some(first))
        })
    });
    KeptJobs { jobs: jobs.count() as u64, of: last.jobs.len() as u64 }
}
