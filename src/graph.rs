//! The derivation graph: derivations as compact numbers, and what they take from each other.
//!
//! Every input has a smaller number than its consumers; where that leaves a choice, the order is by name. `graph/load.rs` reads one
//! from `.drv` files.

mod batch;
pub mod derivation_files;
mod load;
mod same_outputs;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::fleet::requirement::Requirement;
use crate::nix::store_path;

/// A node of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrvId(pub u32);

impl DrvId {
    /// The number as an array index.
    #[inline(always)]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// A set of outputs of one derivation: bit `i` stands for its output `i`, the last bit for all from 63 on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputSet(u64);

impl OutputSet {
    /// From this index on all outputs are one.
    pub const SHARED: usize = 63;

    /// The set of one output.
    pub fn one(index: usize) -> Self {
        Self(1 << index.min(Self::SHARED))
    }

    /// The first `count` outputs.
    pub fn first(count: usize) -> Self {
        Self(if count >= 64 { u64::MAX } else { (1 << count) - 1 })
    }

    /// True if the set has the output.
    pub fn has(self, index: usize) -> bool {
        self.0 & Self::one(index).0 != 0
    }

    /// Adds the other set's outputs; gives those that are new.
    pub fn add(&mut self, other: Self) -> Self {
        let new = Self(other.0 & !self.0);
        self.0 |= other.0;
        new
    }

    /// True for no outputs.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Name of each output of a derivation to its store path; none where only the build tells.
pub type OutputPaths = BTreeMap<String, Option<String>>;

/// An output of a derivation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// `out`, `dev`, …
    pub name: Arc<str>,
    /// Base name of its store path; none where only the build tells.
    pub base: Option<Box<str>>,
}

/// What the planner needs to know of one derivation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Base name of the `.drv` file.
    pub base: Arc<str>,
    /// The system it is built on.
    pub system: Arc<str>,
    /// Its outputs, in the file's order.
    pub outputs: Box<[Output]>,
    /// Every output's content is known beforehand: a fetch.
    pub fixed_output: bool,
    /// `__impure`: built anew whenever it is needed, into a path that only this build knows.
    pub impure: bool,
    /// The derivation says that building it costs less than asking elsewhere.
    pub prefer_local_build: bool,
    /// False: Nix builds it even where a cache has it, unless it is asked for by output path.
    pub allow_substitutes: bool,
    /// What the machine must offer: `kvm`, `big-parallel`, …
    pub required_system_features: Arc<[String]>,
    /// Base names of the sources that it names, ascending.
    pub sources: Arc<[Box<str>]>,
}

impl Node {
    /// The name part: `hello-2.10`.
    pub fn name(&self) -> &str {
        store_path::name_of(&self.base)
    }

    /// What building it requires of a machine.
    pub fn requirement(&self) -> Requirement<'_> {
        Requirement { system: &self.system, features: &self.required_system_features }
    }

    /// True where an output's path is known only after the build (content-addressed, or fed by such a derivation).
    pub fn is_floating(&self) -> bool {
        self.outputs.is_empty() || self.outputs.iter().any(|output| output.base.is_none())
    }
}

/// A derivation that another one takes outputs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The derivation.
    pub drv: DrvId,
    /// Which of its outputs.
    pub outputs: OutputSet,
}

/// Derivations and what they take from each other.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    store_dir: String,
    nodes: Vec<Node>,
    offsets: Vec<u32>,
    inputs: Vec<Input>,
    /// Inputs as the file has them, of derivations that take from one for which another stands.
    named: HashMap<DrvId, Box<[Input]>>,
    /// Derivations for which another one with the same outputs stands.
    same: BTreeMap<DrvId, DrvId>,
    ids: HashMap<Arc<str>, DrvId>,
}

impl Graph {
    /// Number of derivations.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.inputs.len()
    }

    /// The store directory of all paths.
    pub fn store_dir(&self) -> &str {
        &self.store_dir
    }

    /// All derivations, inputs before consumers.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = DrvId> + use<> {
        (0..self.nodes.len() as u32).map(DrvId)
    }

    /// All derivations, in the same order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> + Clone {
        self.nodes.iter()
    }

    /// One derivation.
    #[inline(always)]
    pub fn node(&self, id: DrvId) -> &Node {
        &self.nodes[id.at()]
    }

    /// What one derivation takes from others, ascending. Where several have the same outputs, that is from the one that stands for them.
    #[inline(always)]
    pub fn inputs(&self, id: DrvId) -> &[Input] {
        &self.inputs[self.offsets[id.at()] as usize..self.offsets[id.at() + 1] as usize]
    }

    /// The outputs of one derivation.
    pub fn output_paths(&self, id: DrvId) -> OutputPaths {
        let outputs = self.node(id).outputs.iter();
        outputs
            .map(|output| (output.name.to_string(), output.base.as_deref().map(|base| self.full_path(base))))
            .collect()
    }

    /// The one that stands for a derivation, mostly itself.
    pub fn representative(&self, id: DrvId) -> DrvId {
        self.same.get(&id).copied().unwrap_or(id)
    }

    /// The inputs that a derivation's file names, ascending.
    pub fn named_inputs(&self, id: DrvId) -> &[Input] {
        match self.named.get(&id) {
            Some(inputs) => inputs,
            None => self.inputs(id),
        }
    }

    /// Derivations that have the same outputs as another one, with the one that stands for them. Nothing takes from the former.
    pub fn same_outputs(&self) -> impl Iterator<Item = (DrvId, DrvId)> {
        self.same.iter().map(|(&drv, &stands)| (drv, stands))
    }

    /// The full path of a `.drv` file.
    pub fn path(&self, id: DrvId) -> String {
        self.full_path(&self.node(id).base)
    }

    /// The full path of something in the store directory.
    pub fn full_path(&self, base: &str) -> String {
        format!("{}/{base}", self.store_dir)
    }

    /// The derivation with this path, or the one that stands for it.
    pub fn find(&self, path: &str) -> Option<DrvId> {
        let base = path.strip_prefix(&self.store_dir)?.strip_prefix('/')?;
        self.ids.get(base).copied()
    }
}
