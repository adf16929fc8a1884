//! What simpler plans would do: *flat*, *ordered*, *per derivation* and *single*, beside which the plan's own figures stand.
//!
//! In: the problem and the cost model. Out: one [`Strategy`] each, with exact build counts. A baseline's job takes
//! start-up + max(longest path, work / slots), which favours it: no schedule of its builds is shorter. What it fetches from other jobs and hands on counts as in the plan;
//! flat jobs take nothing from each other, and hand on their target alone.

mod blocks;

use std::collections::BTreeMap;

use self::blocks::{BLOCK, Blocks, TargetWork};
use super::Strategy;
use super::ancestors::{Above, ancestors};
use super::model::Model;
use super::prices::Prices;
use super::problem::{ANY_SYSTEM, Adjacency, Millis, Node, Problem, System};
use super::simulate::start_and_end;

/// The baselines.
#[derive(Clone, Debug, Default)]
pub struct Baselines {
    /// One job a target, each building its whole needed closure, in no order.
    pub flat: Strategy,
    /// One job a target, after the jobs of the targets below it, less what those have built.
    pub ordered: Strategy,
    /// One job a needed derivation.
    pub per_derivation: Strategy,
    /// One job a kind of machine.
    pub single: Strategy,
}

/// Computes the baselines. Each of their jobs waits `model.queue` for its machine.
pub fn baselines(problem: &Problem, model: &Model, prices: &Prices) -> Baselines {
    let targets: Vec<Node> = (0..problem.len() as Node).filter(|&node| problem.target[node as usize]).collect();
    let mut flat = vec![TargetWork::default(); targets.len()];
    let mut ordered = vec![TargetWork::default(); targets.len()];
    let mut flat_builds = 0;

    let mut height = vec![0; problem.len()];
    for node in 0..problem.len() {
        let below = problem.inputs.of(node as Node).iter().map(|&input| height[input as usize]).max().unwrap_or(0);
        height[node] = below + problem.duration[node];
    }
    for (work, &target) in flat.iter_mut().zip(&targets) {
        work.longest = height[target as usize];
    }

    let mut blocks = Blocks::new(problem);
    for ((block, flat), ordered) in targets.chunks(BLOCK).zip(flat.chunks_mut(BLOCK)).zip(ordered.chunks_mut(BLOCK)) {
        flat_builds += blocks.add_up(block, flat, ordered);
    }
    // Its rows are the largest of what is needed here, and what comes next needs as much again.
    drop(blocks);

    let job_time = |work: &TargetWork, target: Node| {
        let slots = model.slots_of(problem.system[target as usize]) as u64;
        model.start_up + work.longest.max(work.total.div_ceil(slots))
    };
    let no_order = Adjacency::from_lists(targets.iter().map(|_| Vec::new()));
    let flat_jobs: Vec<Option<Millis>> =
        flat.iter().zip(&targets).map(|(work, &node)| Some(job_time(work, node) + model.hand_off)).collect();
    let target_systems: Vec<_> = targets.iter().map(|&node| problem.system[node as usize]).collect();

    // An ordered job waits for the targets below it, through whatever lies between: that takes no time of its own.
    let mut ordered_jobs = vec![None; problem.len()];
    let (mut ordered_builds, mut ordered_missing) = (vec![None; problem.len()], vec![0; problem.len()]);
    for (work, &node) in ordered.iter().zip(&targets) {
        let node_at = node as usize;
        ordered_jobs[node_at] = Some(job_time(work, node) + model.hand_off * work.builds);
        (ordered_builds[node_at], ordered_missing[node_at]) = (Some(work.builds), work.missing);
    }
    add_restores(&mut ordered_jobs, problem, model, &ordered_builds, &ordered_missing);
    let alone = |duration: &Millis| Some(model.start_up + duration + model.hand_off);
    let mut alone_jobs: Vec<Option<Millis>> = problem.duration.iter().map(alone).collect();
    let missing: Vec<u64> = (0..problem.len() as Node).map(|node| problem.inputs.of(node).len() as u64).collect();
    add_restores(&mut alone_jobs, problem, model, &vec![Some(1); problem.len()], &missing);

    let strategy = |durations: &[Option<Millis>], systems: &[_], inputs: &Adjacency, builds| Strategy {
        jobs: durations.iter().flatten().count() as u64,
        builds,
        job_time: durations.iter().flatten().sum(),
        makespan: start_and_end(durations, inputs, model.concurrency, model.queue).1.into_iter().max().unwrap_or(0),
        credits: durations
            .iter()
            .zip(systems)
            .filter_map(|(duration, &system)| Some(prices.credits(system, (*duration)?)))
            .sum(),
    };
    Baselines {
        flat: strategy(&flat_jobs, &target_systems, &no_order, flat_builds),
        ordered: strategy(&ordered_jobs, &problem.system, &problem.inputs, ordered_builds.iter().flatten().sum()),
        per_derivation: strategy(&alone_jobs, &problem.system, &problem.inputs, problem.len() as u64),
        single: single(problem, model, prices, &height),
    }
}

/// Adds what jobs at these nodes take to attach layers and to fetch: all that jobs before them have built where there are layers, else what they miss.
fn add_restores(
    jobs: &mut [Option<Millis>],
    problem: &Problem,
    model: &Model,
    builds: &[Option<u64>],
    missing: &[u64],
) {
    let restores: Vec<Millis> = if model.ancestors_count() {
        let above = ancestors(&problem.inputs, &problem.consumers, builds);
        let fetched = |(above, missing): (&Above, &u64)| {
            model.layer * above.layers + model.fetch * if model.whole_layers { above.owned } else { *missing }
        };
        above.iter().zip(missing).map(fetched).collect()
    } else {
        missing.iter().map(|missing| model.fetch * missing).collect()
    };
    for (job, restore) in jobs.iter_mut().zip(restores) {
        *job = job.map(|time| time + restore);
    }
}

/// One job a kind of machine; what any machine builds is in the largest. `height` is the longest path up to each node, which may lead through the
/// jobs of other machines: a job is done when its last derivation can be, and when all of its slots have done its work.
fn single(problem: &Problem, model: &Model, prices: &Prices, height: &[Millis]) -> Strategy {
    let mut of_system: BTreeMap<System, TargetWork> = BTreeMap::new();
    for (node, &system) in problem.system.iter().enumerate() {
        let work = of_system.entry(system).or_default();
        work.builds += 1;
        work.total += problem.duration[node];
        work.longest = work.longest.max(height[node]);
    }
    if of_system.len() > 1
        && let Some(anywhere) = of_system.remove(&ANY_SYSTEM)
        && let Some(largest) = of_system.values_mut().max_by_key(|work| work.total)
    {
        largest.total += anywhere.total;
        largest.builds += anywhere.builds;
    }
    let lengths = of_system.iter().map(|(&system, work)| {
        let slots = model.slots_of(system) as u64;
        let time = model.start_up + work.longest.max(work.total.div_ceil(slots)) + model.hand_off * work.builds;
        (system, time)
    });
    let lengths: Vec<(System, Millis)> = lengths.collect();
    Strategy {
        jobs: lengths.len() as u64,
        builds: problem.len() as u64,
        job_time: lengths.iter().map(|(_, length)| length).sum(),
        makespan: lengths.iter().map(|(_, length)| length + model.queue).max().unwrap_or(0),
        credits: lengths.iter().map(|&(system, length)| prices.credits(system, length)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Strategy; // named, for proptest exports another one
    use crate::plan::problem::ANY_SYSTEM;
    use proptest::prelude::*;

    fn problem(lists: Vec<Vec<Node>>, target: Vec<bool>, duration: Vec<Millis>) -> Problem {
        let inputs = Adjacency::from_lists(lists);
        let count = inputs.len();
        Problem {
            consumers: inputs.reversed(),
            inputs,
            duration,
            cheap: vec![false; count],
            target,
            system: vec![ANY_SYSTEM; count],
            portable: vec![false; count],
            floating: vec![false; count],
            confined: vec![false; count],
            bytes: Vec::new(),
            memory: Vec::new(),
            name_hash: vec![0; count],
            rank: Vec::new(),
            spread: Vec::new(),
        }
    }

    fn closure(problem: &Problem, node: Node) -> Vec<bool> {
        let mut seen = vec![false; problem.len()];
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut seen[node as usize], true) {
                stack.extend(problem.inputs.of(node));
            }
        }
        seen
    }

    /// Longest path within the set, by trying every node from below.
    fn longest(problem: &Problem, set: &[bool]) -> Millis {
        let mut height = vec![0; problem.len()];
        for node in 0..problem.len() {
            if set[node] {
                let below =
                    problem.inputs.of(node as Node).iter().map(|&input| height[input as usize]).max().unwrap_or(0);
                height[node] = below + problem.duration[node];
            }
        }
        height.into_iter().max().unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Against sets made the slow way, with enough targets for more than one block.
        #[test]
        fn counts_and_times_are_those_of_sets(
            edges in proptest::collection::vec((0u32..700, 0u32..700), 0..1500),
            is_target in proptest::collection::vec(any::<bool>(), 700),
            seconds in proptest::collection::vec(1u64..100, 700),
        ) {
            let mut lists = vec![Vec::new(); 700];
            for (a, b) in edges {
                if a != b {
                    lists[a.max(b) as usize].push(a.min(b));
                }
            }
            let problem = problem(lists, is_target, seconds);
            let targets: Vec<Node> = (0..700).filter(|&node| problem.target[node as usize]).collect();
            let cache = Model { start_up: 45, concurrency: usize::MAX, fetch: 3, hand_off: 7, ..Model::default() };
            let workspace = Model { layer: 11, whole_layers: true, ..cache.clone() };
            let found = baselines(&problem, &cache, &Prices::default());
            let layered = baselines(&problem, &workspace, &Prices::default());
            let (mut flat, mut ordered) = (Strategy::default(), Strategy::default());
            let closures: Vec<_> = targets.iter().map(|&target| closure(&problem, target)).collect();
            let count = |set: &[bool]| set.iter().filter(|inside| **inside).count() as u64;
            let (mut sets, mut restores) = (Vec::new(), 0);
            for (index, &target) in targets.iter().enumerate() {
                let mut set = closures[index].clone();
                let add = |strategy: &mut Strategy, set: &[bool]| {
                    let work: Millis = set.iter().zip(&problem.duration).filter(|(inside, _)| **inside).map(|(_, d)| d).sum();
                    strategy.builds += count(set);
                    strategy.job_time += 45 + longest(&problem, set).max(work.div_ceil(4));
                };
                add(&mut flat, &set);
                flat.job_time += 7;
                for (other, &below) in targets.iter().enumerate() {
                    if below != target && closures[index][below as usize] {
                        for node in 0..set.len() {
                            set[node] &= !closures[other][node];
                        }
                    }
                }
                add(&mut ordered, &set);
                let mut fetched = vec![false; 700];
                for node in (0..700).filter(|&node| set[node as usize]) {
                    problem.inputs.of(node).iter().for_each(|&input| fetched[input as usize] |= !set[input as usize]);
                }
                restores += 3 * count(&fetched);
                sets.push(set);
            }
            let hand_offs = 7 * ordered.builds;
            let mut layers = 0;
            for (index, &target) in targets.iter().enumerate() {
                let below = (0..targets.len()).filter(|&other| targets[other] != target && closures[index][targets[other] as usize]);
                layers += below.map(|other| 11 + 3 * count(&sets[other])).sum::<u64>();
            }
            prop_assert_eq!((found.flat.builds, found.flat.job_time), (flat.builds, flat.job_time));
            prop_assert_eq!((found.ordered.builds, found.ordered.job_time), (ordered.builds, ordered.job_time + restores + hand_offs));
            prop_assert_eq!(layered.ordered.job_time, ordered.job_time + layers + hand_offs);
            prop_assert_eq!(layered.flat, found.flat);
            prop_assert_eq!(found.per_derivation.builds, 700);
            let all: Millis = problem.duration.iter().sum();
            let longest = longest(&problem, &vec![true; 700]);
            prop_assert_eq!((found.single.jobs, found.single.makespan), (1, 45 + longest.max(all.div_ceil(4)) + 7 * 700));
            let above: u64 = (0..700).map(|node| count(&closure(&problem, node)) - 1).sum();
            let alone = 700 * (45 + 7) + all;
            prop_assert_eq!(found.per_derivation.job_time, alone + 3 * problem.inputs.edges() as u64);
            prop_assert_eq!(layered.per_derivation.job_time, alone + (11 + 3) * above);
        }
    }
}
