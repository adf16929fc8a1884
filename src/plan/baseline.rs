//! What simpler plans would do: *flat*, *ordered* and *per derivation*, beside which the plan's own figures stand.
//!
//! In: the problem and the cost model. Out: one [`Strategy`] each, with exact build counts. A baseline's job takes
//! start-up + max(longest path, work / slots), which favours it: no schedule of its builds is shorter.
//!
//! Which targets reach a node is kept in bit sets, [`BLOCK`] targets at a time, so that memory stays linear. With T(v) the targets
//! that reach v, the flat job of each target in T(v) builds v. The ordered job of t builds v unless a target below t reaches v:
//! X(v) holds those t; it is T(v) without v itself where v is a target, else what v's consumers pass down.
//!
//! Blocks are taken by ascending number. Nothing above a block's last target is reached by it, nor was it by an earlier block: a sweep starts
//! at that target, and what stands above is still empty.

use super::Strategy;
use super::model::Model;
use super::prices::Prices;
use super::problem::{Adjacency, Millis, Node, Problem};
use super::simulate::start_and_end;

/// Targets that are followed at once.
const BLOCK: usize = 512;
const WORDS: usize = BLOCK / 64;
type Bits = [u64; WORDS];

/// The three baselines.
#[derive(Clone, Debug, Default)]
pub struct Baselines {
    /// One job a target, each building its whole needed closure, in no order.
    pub flat: Strategy,
    /// One job a target, after the jobs of the targets below it, less what those have built.
    pub ordered: Strategy,
    /// One job a needed derivation.
    pub per_derivation: Strategy,
}

/// Work of one target's job.
#[derive(Clone, Copy, Default)]
struct Work {
    total: Millis,
    longest: Millis,
}

/// Computes the baselines.
pub fn baselines(problem: &Problem, model: &Model, prices: &Prices) -> Baselines {
    let targets: Vec<Node> = (0..problem.len() as Node).filter(|&node| problem.target[node as usize]).collect();
    let mut flat = vec![Work::default(); targets.len()];
    let mut ordered = vec![Work::default(); targets.len()];
    let (mut flat_builds, mut ordered_builds) = (0, 0);

    let mut height = vec![0; problem.len()];
    for node in 0..problem.len() {
        let below = problem.inputs.of(node as Node).iter().map(|&input| height[input as usize]).max().unwrap_or(0);
        height[node] = below + problem.duration[node];
    }
    for (work, &target) in flat.iter_mut().zip(&targets) {
        work.longest = height[target as usize];
    }

    let mut sweep = Sweep::new(problem.len());
    for ((block, flat), ordered) in targets.chunks(BLOCK).zip(flat.chunks_mut(BLOCK)).zip(ordered.chunks_mut(BLOCK)) {
        flat_builds += sweep.reach(problem, block, flat);
        ordered_builds += sweep.order(problem, block, ordered);
    }

    let job_time = |work: &Work, target: Node| {
        let slots = model.slots_of(problem.system[target as usize]) as u64;
        model.start_up + work.longest.max(work.total.div_ceil(slots))
    };
    let no_order = Adjacency::from_lists(targets.iter().map(|_| Vec::new()));
    let flat_jobs: Vec<Option<Millis>> =
        flat.iter().zip(&targets).map(|(work, &node)| Some(job_time(work, node))).collect();
    let target_systems: Vec<_> = targets.iter().map(|&node| problem.system[node as usize]).collect();

    // An ordered job waits for the targets below it, through whatever lies between: that takes no time of its own.
    let mut ordered_jobs = vec![None; problem.len()];
    for (work, &node) in ordered.iter().zip(&targets) {
        ordered_jobs[node as usize] = Some(job_time(work, node));
    }
    let single_jobs: Vec<Option<Millis>> =
        problem.duration.iter().map(|&duration| Some(model.start_up + duration)).collect();

    let strategy = |durations: &[Option<Millis>], systems: &[_], inputs: &Adjacency, builds| Strategy {
        jobs: durations.iter().flatten().count() as u64,
        builds,
        job_time: durations.iter().flatten().sum(),
        makespan: start_and_end(durations, inputs, model.concurrency).1.into_iter().max().unwrap_or(0),
        credits: durations
            .iter()
            .zip(systems)
            .filter_map(|(duration, &system)| Some(prices.credits(system, (*duration)?)))
            .sum(),
    };
    Baselines {
        flat: strategy(&flat_jobs, &target_systems, &no_order, flat_builds),
        ordered: strategy(&ordered_jobs, &problem.system, &problem.inputs, ordered_builds),
        per_derivation: strategy(&single_jobs, &problem.system, &problem.inputs, problem.len() as u64),
    }
}

/// Buffers for one block of targets; all columns have one entry a node.
struct Sweep {
    /// T: targets of the block that reach the node.
    reached: Vec<Bits>,
    /// X: those of them whose ordered jobs leave the node to a target below.
    left: Vec<Bits>,
    /// Longest paths from targets whose ordered jobs build the node, as a range of `paths`.
    ranges: Vec<std::ops::Range<u32>>,
    /// Target within the block, and the longest path from it down to the node, both ends included.
    paths: Vec<(u16, Millis)>,
}

impl Sweep {
    fn new(nodes: usize) -> Self {
        Self {
            reached: vec![[0; WORDS]; nodes],
            left: vec![[0; WORDS]; nodes],
            ranges: vec![0..0; nodes],
            paths: Vec::new(),
        }
    }

    /// Fills `reached`; adds up the flat jobs' work and gives the number of their builds.
    fn reach(&mut self, problem: &Problem, block: &[Node], work: &mut [Work]) -> u64 {
        let mut builds = 0;
        // A full word, as in a chain of targets, is added once instead of 64 times.
        let mut full = [0; WORDS];
        let last = last_of(block);
        for node in (0..=last as usize).rev() {
            let mut bits = [0; WORDS];
            for &consumer in up_to(problem.consumers.of(node as Node), last) {
                for (bits, above) in bits.iter_mut().zip(&self.reached[consumer as usize]) {
                    *bits |= above;
                }
            }
            if problem.target[node]
                && let Ok(index) = block.binary_search(&(node as Node))
            {
                bits[index / 64] |= 1 << (index % 64);
            }
            self.reached[node] = bits;
            let duration = problem.duration[node];
            for (word, bits) in bits.into_iter().enumerate() {
                builds += u64::from(bits.count_ones());
                if bits == u64::MAX {
                    full[word] += duration;
                } else {
                    each_bit(bits, |bit| work[word * 64 + bit].total += duration);
                }
            }
        }
        for (index, work) in work.iter_mut().enumerate() {
            work.total += full[index / 64];
        }
        builds
    }

    /// From `reached`: the ordered jobs' work and longest paths, and the number of their builds.
    fn order(&mut self, problem: &Problem, block: &[Node], work: &mut [Work]) -> u64 {
        let mut builds = 0;
        self.paths.clear();
        let mut longest = [0; BLOCK];
        let last = last_of(block);
        for node in (0..=last as usize).rev() {
            let reached = self.reached[node];
            let mut left = [0; WORDS];
            if problem.target[node] {
                left = reached;
                if let Ok(index) = block.binary_search(&(node as Node)) {
                    left[index / 64] &= !(1 << (index % 64));
                }
            } else if reached != left {
                for &consumer in up_to(problem.consumers.of(node as Node), last) {
                    for (left, above) in left.iter_mut().zip(&self.left[consumer as usize]) {
                        *left |= above;
                    }
                }
            }
            self.left[node] = left;
            let start = self.paths.len() as u32;
            let mut built = reached;
            for (built, left) in built.iter_mut().zip(left) {
                *built &= !left;
            }
            if built != [0; WORDS] {
                for &consumer in up_to(problem.consumers.of(node as Node), last) {
                    let range = self.ranges[consumer as usize].clone();
                    for &(index, path) in &self.paths[range.start as usize..range.end as usize] {
                        let longest = &mut longest[usize::from(index)];
                        *longest = path.max(*longest);
                    }
                }
                let duration = problem.duration[node];
                for (word, bits) in built.into_iter().enumerate() {
                    builds += u64::from(bits.count_ones());
                    each_bit(bits, |bit| {
                        let index = word * 64 + bit;
                        let path = longest[index] + duration;
                        self.paths.push((index as u16, path));
                        work[index].total += duration;
                        work[index].longest = work[index].longest.max(path);
                    });
                }
                for &consumer in up_to(problem.consumers.of(node as Node), last) {
                    let range = self.ranges[consumer as usize].clone();
                    for &(index, _) in &self.paths[range.start as usize..range.end as usize] {
                        longest[usize::from(index)] = 0;
                    }
                }
            }
            self.ranges[node] = start..self.paths.len() as u32;
        }
        builds
    }
}

/// The last target of a block, which is not empty.
fn last_of(block: &[Node]) -> Node {
    block.last().copied().unwrap_or(0)
}

/// The part of an ascending list that is not above `last`.
fn up_to(list: &[Node], last: Node) -> &[Node] {
    &list[..list.partition_point(|&node| node <= last)]
}

fn each_bit(mut bits: u64, mut then: impl FnMut(usize)) {
    while bits != 0 {
        then(bits.trailing_zeros() as usize);
        bits &= bits - 1;
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
            name_hash: vec![0; count],
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
            let model = Model { start_up: 45, concurrency: usize::MAX, ..Model::default() };
            let found = baselines(&problem, &model, &Prices::default());
            let (mut flat, mut ordered) = (Strategy::default(), Strategy::default());
            let closures: Vec<_> = targets.iter().map(|&target| closure(&problem, target)).collect();
            for (index, &target) in targets.iter().enumerate() {
                let mut set = closures[index].clone();
                let add = |strategy: &mut Strategy, set: &[bool]| {
                    let work: Millis = set.iter().zip(&problem.duration).filter(|(inside, _)| **inside).map(|(_, d)| d).sum();
                    strategy.builds += set.iter().filter(|inside| **inside).count() as u64;
                    strategy.job_time += 45 + longest(&problem, set).max(work.div_ceil(4));
                };
                add(&mut flat, &set);
                for (other, &below) in targets.iter().enumerate() {
                    if below != target && closures[index][below as usize] {
                        for node in 0..set.len() {
                            set[node] &= !closures[other][node];
                        }
                    }
                }
                add(&mut ordered, &set);
            }
            prop_assert_eq!((found.flat.builds, found.flat.job_time), (flat.builds, flat.job_time));
            prop_assert_eq!((found.ordered.builds, found.ordered.job_time), (ordered.builds, ordered.job_time));
            prop_assert_eq!(found.per_derivation.builds, 700);
        }
    }
}
