//! What the planner solves: the needed part of the derivation graph in dense numbers, and an answer to it.
//!
//! In: the needed derivations as nodes `0..n` in an order in which inputs stand before their consumers, with durations.
//! Out: a [`Partition`], the sets of nodes that jobs build. Nothing here knows a path, a file or a provider.

use crate::topological::InDegrees;

/// A duration in milliseconds: whole numbers keep plans the same on every machine.
pub type Millis = u64;

/// A node of the problem: an index into its columns.
pub type Node = u32;

/// Adjacency in one array: the neighbours of `v` are `targets[offsets[v]..offsets[v + 1]]`, ascending, without repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adjacency {
    offsets: Vec<u32>,
    targets: Vec<Node>,
}

impl Adjacency {
    /// Collects one sorted, repeat-free list of neighbours a node.
    pub fn from_lists(lists: impl IntoIterator<Item = Vec<Node>>) -> Self {
        let mut adjacency = Self { offsets: vec![0], targets: Vec::new() };
        for mut list in lists {
            list.sort_unstable();
            list.dedup();
            adjacency.targets.extend(list);
            adjacency.offsets.push(adjacency.targets.len() as u32);
        }
        adjacency
    }

    /// The neighbours of one node, ascending.
    #[inline(always)]
    pub fn of(&self, node: Node) -> &[Node] {
        &self.targets[self.offsets[node as usize] as usize..self.offsets[node as usize + 1] as usize]
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// True where there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.targets.len()
    }

    /// The number of neighbours of each node, where these are its inputs.
    pub fn in_degrees(&self) -> InDegrees {
        InDegrees::new(self.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize))
    }

    /// The same edges the other way round.
    pub fn reversed(&self) -> Self {
        let mut offsets = vec![0u32; self.len() + 1];
        for &target in &self.targets {
            offsets[target as usize + 1] += 1;
        }
        for node in 0..self.len() {
            offsets[node + 1] += offsets[node];
        }
        let mut next = offsets.clone();
        let mut targets = vec![0; self.targets.len()];
        for node in 0..self.len() as Node {
            for &target in self.of(node) {
                targets[next[target as usize] as usize] = node;
                next[target as usize] += 1;
            }
        }
        Self { offsets, targets }
    }
}

/// The number of a system (`x86_64-linux`, …) in the problem, or of a kind of machine of that system where there are several; the
/// planner only compares them.
pub type System = u16;

/// The system of a derivation that any machine can build (`builtin`).
pub const ANY_SYSTEM: System = System::MAX;

/// How far a real duration may be from the estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spread {
    /// Measured, time and again nearly the same.
    None,
    /// About a quarter.
    Small,
    /// About twice as long or half.
    Medium,
    /// The median of durations that differ a lot: a heavy tail around it.
    Heavy,
    /// Nobody knows: a heavy tail, and most take less.
    #[default]
    Guess,
}

/// Hundredths of a natural logarithm up to which a standard deviation of logarithms is none, small, medium.
const BOUNDS: [u32; 3] = [8, 40, 100];

impl Spread {
    /// That of a standard deviation of logarithms, in hundredths.
    pub fn of(deviation: u32) -> Self {
        match deviation {
            _ if deviation <= BOUNDS[0] => Self::None,
            _ if deviation <= BOUNDS[1] => Self::Small,
            _ if deviation <= BOUNDS[2] => Self::Medium,
            _ => Self::Heavy,
        }
    }
}

/// The needed derivations as a planning problem. All columns have one entry a node.
///
/// Nodes are numbered so that every input of a node has a smaller number, and, where that leaves a choice, by name.
#[derive(Clone, Debug, Default)]
pub struct Problem {
    /// The needed inputs of each node.
    pub inputs: Adjacency,
    /// The needed consumers of each node.
    pub consumers: Adjacency,
    /// How long building the node alone takes.
    pub duration: Vec<Millis>,
    /// True for a fetch (fixed output), a derivation with `preferLocalBuild`, or one that was recorded to be as fast as a fetch: repeating it costs less than sharing it.
    pub cheap: Vec<bool>,
    /// True for a derivation that is a target: always owned, never co-located.
    pub target: Vec<bool>,
    /// Where the node can be built; [`ANY_SYSTEM`] for `builtin`.
    pub system: Vec<System>,
    /// True for a cheap node that all jobs with its consumers can build, whatever their system's number.
    pub portable: Vec<bool>,
    /// True for a derivation whose output paths nobody knows before it is built (content-addressed, dynamic):
    /// it stays in one job with its consumers of the same system.
    pub floating: Vec<bool>,
    /// True for a target whose job has contexts: nothing of another system is built in that job, `builtin` and cheap inputs included.
    pub confined: Vec<bool>,
    /// Bytes that the node's outputs take, 0 where that is not known; no entry at all where it is known of none.
    pub bytes: Vec<u64>,
    /// Memory that building the node takes, bytes, 0 where that is not known; no entry at all where it is known of none.
    pub memory: Vec<u64>,
    /// A hash of the node's name, the same from pipeline to pipeline (a node's number follows from paths, and a path changes with every input): the seed of what is drawn for it.
    pub name_hash: Vec<u64>,
    /// The place of each node among all in the order in which Nix begins what is ready; no entry at all where durations are guesses, and what has the longest path to the end
    /// of its job counts as begun first.
    pub rank: Vec<u32>,
    /// How far from `duration` the real time may be.
    pub spread: Vec<Spread>,
}

impl Problem {
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.duration.len()
    }

    /// True where nothing is to be built.
    pub fn is_empty(&self) -> bool {
        self.duration.is_empty()
    }

    /// The problem of these nodes alone, ascending: what else they need is there.
    pub fn part(&self, nodes: &[Node]) -> Self {
        let mut number = vec![None; self.len()];
        (0..).zip(nodes).for_each(|(at, &node): (Node, _)| number[node as usize] = Some(at));
        let inputs_of =
            |&node: &Node| self.inputs.of(node).iter().filter_map(|&input| number[input as usize]).collect();
        let inputs = Adjacency::from_lists(nodes.iter().map(inputs_of));
        Self {
            consumers: inputs.reversed(),
            inputs,
            duration: column(&self.duration, nodes),
            cheap: column(&self.cheap, nodes),
            target: column(&self.target, nodes),
            system: column(&self.system, nodes),
            portable: column(&self.portable, nodes),
            floating: column(&self.floating, nodes),
            confined: column(&self.confined, nodes),
            bytes: column(&self.bytes, nodes),
            memory: column(&self.memory, nodes),
            name_hash: column(&self.name_hash, nodes),
            rank: column(&self.rank, nodes),
            spread: column(&self.spread, nodes),
        }
    }
}

/// The entries of these nodes; none where the column has none.
fn column<T: Copy>(of_all: &[T], nodes: &[Node]) -> Vec<T> {
    nodes.iter().filter_map(|&node| of_all.get(node as usize).copied()).collect()
}

/// What one job builds: node numbers, ascending, which is a build order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobNodes {
    /// The one system of the job; [`ANY_SYSTEM`] only where every node says so.
    pub system: System,
    /// Built here and nowhere else.
    pub owned: Vec<Node>,
    /// Built here and in other jobs, on purpose; owned by none.
    pub co_located: Vec<Node>,
}

/// An answer: every node is owned by exactly one job, or co-located in each job that needs it and owned by none.
///
/// The graph between jobs (an edge where a node built in one has an input owned by the other) has no cycle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// The jobs, in any order.
    pub jobs: Vec<JobNodes>,
}
