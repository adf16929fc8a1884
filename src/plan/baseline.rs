//! What simpler plans would do: *flat*, *ordered* and *per derivation*, beside which the plan's own figures stand.
//!
//! In: the problem and the cost model. Out: one [`Strategy`] each, with exact build counts. A baseline's job takes
//! start-up + max(longest path, work / slots), which favours it: no schedule of its builds is shorter.
//!
//! Which targets reach a node is kept in bit sets, [`BLOCK`] targets at a time, so that memory stays linear. With T(v) the targets
//! that reach v, the flat job of each target in T(v) builds v. The ordered job of t builds v unless a target below t reaches v:
//! X(v) holds those t; it is T(v) without v itself where v is a target, else what v's consumers pass down.
//!
//! A block looks only at the nodes that it reaches, consumers before inputs: most blocks of a large graph reach a small part of it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Strategy;
use super::model::Model;
use super::prices::Prices;
use super::problem::{ANY_SYSTEM, Adjacency, Millis, Node, Problem, System};
use super::simulate::start_and_end;

/// Targets that are followed at once.
const BLOCK: usize = 512;
const WORDS: usize = BLOCK / 64;
type Bits = [u64; WORDS];

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

/// Work of one target's job.
#[derive(Clone, Copy, Default)]
struct TargetWork {
    total: Millis,
    longest: Millis,
}

/// Computes the baselines.
pub fn baselines(problem: &Problem, model: &Model, prices: &Prices) -> Baselines {
    let targets: Vec<Node> = (0..problem.len() as Node).filter(|&node| problem.target[node as usize]).collect();
    let mut flat = vec![TargetWork::default(); targets.len()];
    let mut ordered = vec![TargetWork::default(); targets.len()];
    let (mut flat_builds, mut ordered_builds) = (0, 0);

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
        let builds = blocks.add_up(block, flat, ordered);
        flat_builds += builds.0;
        ordered_builds += builds.1;
    }

    let job_time = |work: &TargetWork, target: Node| {
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
        single: single(problem, model, prices, &height),
    }
}

/// One job a kind of machine; what any machine builds is in the largest. `height` is the longest path up to each node, which may lead through the
/// jobs of other machines: a job is done when its last derivation can be, and when all of its slots have done its work.
fn single(problem: &Problem, model: &Model, prices: &Prices, height: &[Millis]) -> Strategy {
    let mut of_system: BTreeMap<System, TargetWork> = BTreeMap::new();
    for (node, &system) in problem.system.iter().enumerate() {
        let work = of_system.entry(system).or_default();
        work.total += problem.duration[node];
        work.longest = work.longest.max(height[node]);
    }
    if of_system.len() > 1
        && let Some(anywhere) = of_system.remove(&ANY_SYSTEM)
        && let Some(largest) = of_system.values_mut().max_by_key(|work| work.total)
    {
        largest.total += anywhere.total;
    }
    let lengths = of_system.iter().map(|(&system, work)| {
        let slots = model.slots_of(system) as u64;
        (system, model.start_up + work.longest.max(work.total.div_ceil(slots)))
    });
    let lengths: Vec<(System, Millis)> = lengths.collect();
    Strategy {
        jobs: lengths.len() as u64,
        builds: problem.len() as u64,
        job_time: lengths.iter().map(|(_, length)| length).sum(),
        makespan: lengths.iter().map(|(_, length)| *length).max().unwrap_or(0),
        credits: lengths.iter().map(|&(system, length)| prices.credits(system, length)).sum(),
    }
}

/// A node that the block's targets reach.
struct Row {
    node: Node,
    /// T: targets of the block that reach the node.
    reached: Bits,
    /// X: those of them whose ordered jobs leave the node to a target below.
    left: Bits,
    /// Longest paths from targets whose ordered jobs build the node, as a range of `paths`.
    paths: Range<u32>,
}

/// No row.
const NONE: u32 = u32::MAX;

/// Adds up blocks of targets, one after the other.
struct Blocks<'a> {
    problem: &'a Problem,
    rows: Vec<Row>,
    /// The row of each node, [`NONE`] where the block does not reach it.
    row_of: Vec<u32>,
    /// Nodes that are reached and still to be looked at, a bit each.
    open: Vec<u64>,
    /// Target within the block, and the longest path from it down to the node, both ends included.
    paths: Vec<(u16, Millis)>,
    /// The longest path from each target of the block to the node in hand; all zero between nodes.
    longest: [Millis; BLOCK],
}

impl<'a> Blocks<'a> {
    fn new(problem: &'a Problem) -> Self {
        Self {
            problem,
            rows: Vec::new(),
            row_of: vec![NONE; problem.len()],
            open: vec![0; problem.len().div_ceil(64)],
            paths: Vec::new(),
            longest: [0; BLOCK],
        }
    }

    /// The row of a node that is reached.
    fn row(&mut self, node: Node) -> &mut Row {
        let at = &mut self.row_of[node as usize];
        if *at == NONE {
            *at = self.rows.len() as u32;
            self.open[node as usize / 64] |= 1 << (node % 64);
            self.rows.push(Row { node, reached: [0; WORDS], left: [0; WORDS], paths: 0..0 });
        }
        &mut self.rows[*at as usize]
    }

    /// Adds up the work of the flat and of the ordered jobs of a block, and gives the numbers of their builds.
    fn add_up(&mut self, block: &[Node], flat: &mut [TargetWork], ordered: &mut [TargetWork]) -> (u64, u64) {
        let (mut flat_builds, mut ordered_builds) = (0, 0);
        // A full word, as in a chain of targets, is added once instead of 64 times.
        let mut full = [0; WORDS];
        for (index, &target) in block.iter().enumerate() {
            self.row(target).reached[index / 64] |= 1 << (index % 64);
        }
        // Inputs have smaller numbers: what opens while a word is looked at is in this word or a lower one.
        for word in (0..self.open.len()).rev() {
            while self.open[word] != 0 {
                let bit = 63 - self.open[word].leading_zeros();
                self.open[word] &= !(1 << bit);
                let node = word as Node * 64 + bit;
                let (reached, left) = self.pass_down(node, block);
                let duration = self.problem.duration[node as usize];
                for (word, bits) in reached.into_iter().enumerate() {
                    flat_builds += u64::from(bits.count_ones());
                    if bits == u64::MAX {
                        full[word] += duration;
                    } else {
                        each_bit(bits, |bit| flat[word * 64 + bit].total += duration);
                    }
                }
                let built: Bits = std::array::from_fn(|word| reached[word] & !left[word]);
                if built != [0; WORDS] {
                    ordered_builds += self.extend_paths(node, built, ordered);
                }
            }
        }
        for (index, work) in flat.iter_mut().enumerate() {
            work.total += full[index / 64];
        }
        for row in self.rows.drain(..) {
            self.row_of[row.node as usize] = NONE;
        }
        self.paths.clear();
        (flat_builds, ordered_builds)
    }

    /// Completes T and X of a node whose consumers are done, and hands them to its inputs.
    fn pass_down(&mut self, node: Node, block: &[Node]) -> (Bits, Bits) {
        let problem = self.problem;
        let is_target = problem.target[node as usize];
        let row = self.row(node);
        if is_target {
            row.left = row.reached;
            if let Ok(index) = block.binary_search(&node) {
                row.left[index / 64] &= !(1 << (index % 64));
            }
        }
        let (reached, left) = (row.reached, row.left);
        for &input in problem.inputs.of(node) {
            let row = self.row(input);
            for word in 0..WORDS {
                row.reached[word] |= reached[word];
                row.left[word] |= left[word];
            }
        }
        (reached, left)
    }

    /// Finds the longest paths to a node from the targets whose ordered jobs build it; adds it to their work and gives their number.
    fn extend_paths(&mut self, node: Node, built: Bits, work: &mut [TargetWork]) -> u64 {
        let consumers = self.problem.consumers.of(node).iter().map(|&consumer| self.row_of[consumer as usize]);
        let ranges = consumers.filter(|&row| row != NONE).map(|row| self.rows[row as usize].paths.clone());
        let ranges: Vec<Range<u32>> = ranges.filter(|paths| !paths.is_empty()).collect();
        let above = |paths: &Range<u32>| paths.start as usize..paths.end as usize;
        for &(index, path) in ranges.iter().flat_map(|range| &self.paths[above(range)]) {
            let longest = &mut self.longest[usize::from(index)];
            *longest = path.max(*longest);
        }
        let (mut builds, start) = (0, self.paths.len() as u32);
        let duration = self.problem.duration[node as usize];
        for (word, bits) in built.into_iter().enumerate() {
            builds += u64::from(bits.count_ones());
            each_bit(bits, |bit| {
                let index = word * 64 + bit;
                let path = self.longest[index] + duration;
                self.paths.push((index as u16, path));
                work[index].total += duration;
                work[index].longest = work[index].longest.max(path);
            });
        }
        for &(index, _) in ranges.iter().flat_map(|range| &self.paths[above(range)]) {
            self.longest[usize::from(index)] = 0;
        }
        let end = self.paths.len() as u32;
        self.row(node).paths = start..end;
        builds
    }
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
            bytes: Vec::new(),
            memory: Vec::new(),
            name_hash: vec![0; count],
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
            let all: Millis = problem.duration.iter().sum();
            let longest = longest(&problem, &vec![true; 700]);
            prop_assert_eq!((found.single.jobs, found.single.makespan), (1, 45 + longest.max(all.div_ceil(4))));
        }
    }
}
