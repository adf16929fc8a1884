//! Which targets' jobs build what, where each target has a job: bit sets of [`BLOCK`] targets at a time, so that memory stays linear.
//!
//! In: a problem, and targets of it. Out: what the flat and the ordered job of each of these has to do.
//!
//! With T(v) the targets that reach v, the flat job of each target in T(v) builds v. The ordered job of t builds v unless a target below t reaches v:
//! X(v) holds those t; it is T(v) without v itself where v is a target, else what v's consumers pass down.
//!
//! A block looks only at the nodes that it reaches, consumers before inputs: most blocks of a large graph reach a small part of it.

use std::ops::Range;

use crate::plan::problem::{Millis, Node, Problem};

/// Targets that are followed at once.
pub const BLOCK: usize = 512;
const WORDS: usize = BLOCK / 64;
type Bits = [u64; WORDS];

/// Work of one target's job.
#[derive(Clone, Copy, Default)]
pub struct TargetWork {
    /// All durations together, milliseconds.
    pub total: Millis,
    /// The longest path, milliseconds.
    pub longest: Millis,
    /// Derivations that it builds; counted for ordered jobs.
    pub builds: u64,
    /// Derivations that others have built and its own take from; counted for ordered jobs.
    pub missing: u64,
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
pub struct Blocks<'a> {
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
    /// Nothing yet.
    pub fn new(problem: &'a Problem) -> Self {
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

    /// Adds up the work of the flat and of the ordered jobs of a block, and gives the number of builds of the flat ones.
    pub fn add_up(&mut self, block: &[Node], flat: &mut [TargetWork], ordered: &mut [TargetWork]) -> u64 {
        let mut builds = 0;
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
                    builds += u64::from(bits.count_ones());
                    if bits == u64::MAX {
                        full[word] += duration;
                    } else {
                        each_bit(bits, |bit| flat[word * 64 + bit].total += duration);
                    }
                }
                let built: Bits = std::array::from_fn(|word| reached[word] & !left[word]);
                self.extend_paths(node, built, ordered);
            }
        }
        for (index, work) in flat.iter_mut().enumerate() {
            work.total += full[index / 64];
        }
        for row in self.rows.drain(..) {
            self.row_of[row.node as usize] = NONE;
        }
        self.paths.clear();
        builds
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

    /// Finds the longest paths to a node from the targets whose ordered jobs build it, and adds it to their work. Those that build a consumer of it alone fetch it.
    fn extend_paths(&mut self, node: Node, built: Bits, work: &mut [TargetWork]) {
        let consumers = self.problem.consumers.of(node).iter().map(|&consumer| self.row_of[consumer as usize]);
        let ranges = consumers.filter(|&row| row != NONE).map(|row| self.rows[row as usize].paths.clone());
        let ranges: Vec<Range<u32>> = ranges.filter(|paths| !paths.is_empty()).collect();
        let above = |paths: &Range<u32>| paths.start as usize..paths.end as usize;
        let mut takers = [0; WORDS];
        for &(index, path) in ranges.iter().flat_map(|range| &self.paths[above(range)]) {
            let index = usize::from(index);
            takers[index / 64] |= 1 << (index % 64);
            self.longest[index] = path.max(self.longest[index]);
        }
        let start = self.paths.len() as u32;
        let duration = self.problem.duration[node as usize];
        for (word, bits) in built.into_iter().enumerate() {
            each_bit(takers[word] & !bits, |bit| work[word * 64 + bit].missing += 1);
            each_bit(bits, |bit| {
                let index = word * 64 + bit;
                let path = self.longest[index] + duration;
                self.paths.push((index as u16, path));
                work[index].builds += 1;
                work[index].total += duration;
                work[index].longest = work[index].longest.max(path);
            });
        }
        for &(index, _) in ranges.iter().flat_map(|range| &self.paths[above(range)]) {
            self.longest[usize::from(index)] = 0;
        }
        let end = self.paths.len() as u32;
        self.row(node).paths = start..end;
    }
}

fn each_bit(mut bits: u64, mut then: impl FnMut(usize)) {
    while bits != 0 {
        then(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}
